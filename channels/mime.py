"""A rendered email as bytes for the wire: headers, alternative parts, hidden preheader."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import HeaderParseError, NonASCIILocalPartDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from aiosmtplib.email import parse_address
from email_validator import EmailNotValidError, validate_email

from channels.dkim_signing import DkimKey
from channels.hand_off import KEY_HEADER, EmailProviderName, headers_for
from channels.provider import Rendered, sender_of

# RFC 5322's dot-atom: what may stand left of the @ in a Message-ID unquoted.
_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_LONGEST_LEFT: Final = 200
_LONGEST_KEY: Final = 512
_LONGEST_LOCAL: Final = 64
_LONGEST_URL: Final = 900
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BODY_TAG: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT: Final = re.compile(rb"(?m)^\.")
_POLICY: Final = SMTP.clone(cte_type="7bit")
_UTF8_POLICY: Final = _POLICY.clone(utf8=True)
_HIDDEN: Final = (
    '<div style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;mso-hide:all" aria-hidden="true">'
    "{}</div>"
)


class Unsendable(Exception):
    """This message can never be sent as it is; the text says why. Raised before anything is on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailConfig:
    """What mails say beside what is rendered.

    Arguments:
        message_id_domain: right side of the Message-IDs, ASCII; "": the sender's.
        provider: whose relay takes the mails, so that it is told each one's hand-off in a way that it repeats later.
        return_path: bare address of the envelope, to which bounces go; "": the sender's.
        verp: put the idempotency key into the local part of `return_path`, after a plus, where it fits: bounces then
            name their hand-off by where they go.
        dkim: what mails are signed with; None: they are not.
    """

    message_id_domain: str = ""
    provider: EmailProviderName = ""
    return_path: str = ""
    verp: bool = False
    dkim: DkimKey | None = None

    def __post_init__(self) -> None:
        if not self.message_id_domain.isascii():
            raise ValueError("message_id_domain: a domain in ASCII")
        if self.return_path and not _is_bare(self.return_path):
            raise ValueError("return_path: a bare address")
        if self.verp and not self.return_path:
            raise ValueError("verp: needs a return_path")


@dataclass(frozen=True, slots=True)
class Mail:
    """One recipient's mail, ready for a transaction.

    Arguments:
        sender, recipient: bare addresses of the envelope.
        message_id: with its angle brackets.
        idempotency_key: repeated in a header of its own.
        message: all other headers, and the parts.
        handles: further headers that are written as they are, each on one line.
        dkim: what it is signed with.
    """

    sender: str
    recipient: str
    message_id: str
    idempotency_key: str
    message: EmailMessage
    handles: Mapping[str, str] = field(default_factory=dict)
    dkim: DkimKey | None = None

    @property
    def needs_utf8(self) -> bool:
        """Whether an address cannot be written in ASCII, so that the server must offer SMTPUTF8."""
        return not (self.sender.isascii() and self.recipient.isascii())

    def wire(self) -> bytes:
        """The mail as DATA carries it: CRLF only, dots stuffed, ending in CRLF; the final dot is not part of it."""
        # These are written by hand: the email package would fold or encode those longer than a line.
        by_hand = {"Message-ID": self.message_id, KEY_HEADER: self.idempotency_key, **self.handles}
        names = "".join(f"{name}: {value}\r\n" for name, value in by_hand.items()).encode("ascii")
        rest = self.message.as_bytes(policy=_UTF8_POLICY if self.needs_utf8 else _POLICY)
        lines = _LINE_END.sub(b"\r\n", names + rest)
        if not lines.endswith(b"\r\n"):
            lines += b"\r\n"
        if self.dkim is not None:
            lines = self.dkim.signature_of(lines) + lines
        return _LEADING_DOT.sub(b"..", lines)


def one_address(text: str, field: str) -> Address:
    """The one mailbox that a field names, its domain in ASCII (IDNA) where it has to be.

    Arguments:
        text: an address or `Name <address>`.
        field: for the error.

    Raises:
        Unsendable: if the text names no mailbox or more than one, or could break out of a header or a command.
    """
    if _CONTROLS.search(text):
        raise Unsendable(f"{field}: a control character in {text!r}")
    try:
        header = _POLICY.header_factory("To", text)
        # An address beyond ASCII counts as a defect there; whether it can be sent is for the server to say.
        defects = [defect for defect in header.defects if not isinstance(defect, NonASCIILocalPartDefect)]
        if defects or len(header.addresses) != 1 or header.groups[0].display_name is not None:
            raise Unsendable(f"{field}: {text!r} is not one address")
        parsed: Address = header.addresses[0]
        local, domain = parsed.username, parsed.domain
        if not (local + domain).isascii():
            valid = validate_email(f"{local}@{domain}", check_deliverability=False, globally_deliverable=False)
            local, domain = valid.local_part, valid.ascii_domain
        if not local or not domain or re.search(r"[\s<>]", local + domain):
            raise Unsendable(f"{field}: {text!r} is no address")
        address = Address(display_name=parsed.display_name, username=local, domain=domain)
        if parse_address(address.addr_spec) != address.addr_spec:  # the SMTP client would read another one out of it
            raise Unsendable(f"{field}: {text!r} is no address")
        return address
    except (ValueError, IndexError, HeaderParseError, EmailNotValidError) as error:
        raise Unsendable(f"{field}: {text!r} is no address") from error


_sender_address = lru_cache(maxsize=256)(one_address)  # the same for a whole message


def _is_bare(text: str) -> bool:
    try:
        return one_address(text, "return_path").addr_spec == text
    except Unsendable:
        return False


def message_id(idempotency_key: str, domain: str) -> str:
    """The Message-ID of a hand-off: `<key@domain>`, a hash standing in for a key that does not fit there."""
    left = idempotency_key
    if len(left) > _LONGEST_LEFT or not _DOT_ATOM.match(left):
        left = hashlib.sha256(left.encode()).hexdigest()
    return f"<{left}@{domain}>"


def with_preheader(page: str, preheader: str) -> str:
    """The HTML with a preheader (plain text) as the hidden first element of its body.

    A page that carries the preheader already, put there when it was rendered, stays as it is.
    """
    hidden = html.escape(preheader)
    if not preheader or hidden in page or html.escape(preheader, quote=False) in page:
        return page
    body = _BODY_TAG.search(page)
    at = body.end() if body else 0
    return page[:at] + _HIDDEN.format(hidden) + page[at:]


def return_path_for(idempotency_key: str, config: MailConfig) -> str:
    """The envelope's sender for a hand-off; "": the mail's own."""
    local, _, domain = config.return_path.partition("@")
    tagged = f"{local}+{idempotency_key}"
    fits = len(tagged) <= _LONGEST_LOCAL and _DOT_ATOM.match(tagged) is not None
    return f"{tagged}@{domain}" if config.verp and fits else config.return_path


def compose(
    rendered: Rendered, idempotency_key: str, config: MailConfig | None = None, now: datetime | None = None
) -> Mail:
    """The mail of one recipient.

    Arguments:
        rendered: subject, addresses and bodies; at least one of `html` and `text`.
        idempotency_key: printable ASCII; goes into Message-ID and X-Muster-Idempotency-Key.
        config: what else it says.
        now: the Date; the present if None.

    Raises:
        Unsendable: an address that is none, no body at all, a key that no header can hold.
    """
    config = config or MailConfig()
    if not rendered.text and not rendered.html:
        raise Unsendable("there is neither a text nor an HTML body")
    if not (idempotency_key.isascii() and idempotency_key.isprintable() and 0 < len(idempotency_key) <= _LONGEST_KEY):
        raise Unsendable("the idempotency key does not fit into a header")
    sender, recipient = _sender_address(sender_of(rendered), "from"), one_address(rendered.to, "to")
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    if rendered.reply_to:
        message["Reply-To"] = _sender_address(rendered.reply_to, "reply_to")
    message["To"] = recipient
    message["Subject"] = _CONTROLS.sub(" ", rendered.subject).strip()
    message["Date"] = format_datetime(now or datetime.now(UTC))
    if rendered.text:
        message.set_content(rendered.text)
    if rendered.html:
        page = with_preheader(rendered.html, rendered.preheader)
        if rendered.text:
            message.add_alternative(page, subtype="html")
        else:
            message.set_content(page, subtype="html")
    identity = message_id(idempotency_key, config.message_id_domain or sender.domain)
    return Mail(
        return_path_for(idempotency_key, config) or sender.addr_spec,
        recipient.addr_spec,
        identity,
        idempotency_key,
        message,
        {**_unsubscribe(rendered), **headers_for(config.provider, idempotency_key)},
        config.dkim,
    )


def _unsubscribe(rendered: Rendered) -> dict[str, str]:
    """The headers of one-click unsubscription (RFC 8058), where the message has a link for it."""
    url = rendered.unsubscribe_url
    if not url:
        return {}
    if not (url.isascii() and url.isprintable()) or re.search(r"[\s<>]", url) or len(url) > _LONGEST_URL:
        raise Unsendable("the unsubscribe link does not fit into a header")
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
