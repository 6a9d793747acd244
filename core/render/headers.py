"""What may stand in a header line: one line, nothing that ends it or begins another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from email_validator import EmailNotValidError, validate_email

from core.errors import InvalidTemplate
from core.render.columnar import Frame, Texts
from core.render.environment import RowContext
from core.render.printing import Escape
from core.render.results import RenderError
from core.render.template import Template, compile_template

MAX_HEADER: Final = 2_000
"""Characters of one header's value; mail programs show a fraction, and servers refuse far longer lines."""

_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_MAILBOX: Final = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\s*", re.DOTALL)
_UNSAFE_VALUE: Final = re.compile(r"[^\t\x20-\x7e]")


def one_line(text: str) -> str:
    """A text for people on one line: line breaks, control characters and runs of space become one space.

    Raises:
        RenderError: HEADER_TOO_LONG.
    """
    return _short(_BREAKS.sub(" ", text).strip())


def full_line(text: str) -> str:
    """As `one_line`, and not empty. Raises RenderError HEADER_EMPTY besides."""
    line = one_line(text)
    if not line:
        raise RenderError("nothing is left of this header", mend="give it a text for every user", code="HEADER_EMPTY")
    return line


def header_value(text: str) -> str:
    """A header's value for machines: printable ASCII, unchanged but for space at its ends.

    Raises:
        RenderError: HEADER_UNSAFE, HEADER_TOO_LONG.
    """
    value = text.strip(" \t\n")
    if _UNSAFE_VALUE.search(value):
        raise RenderError(
            "a line break, control character or letter outside ASCII in a header",
            mend="use urlencode, or put it into the body",
            code="HEADER_UNSAFE",
        )
    return _short(value)


def _short(text: str) -> str:
    if len(text) > MAX_HEADER:
        raise RenderError(f"a header of more than {MAX_HEADER} characters", mend="use truncate", code="HEADER_TOO_LONG")
    return text


@lru_cache(maxsize=4096)
def address(text: str) -> str:
    """An email address as it may stand in a header, checked without DNS; the domains kept for tests are addresses, too.

    Raises:
        RenderError: ADDRESS_INVALID.
    """
    try:
        return validate_email(
            text.strip(), check_deliverability=False, globally_deliverable=False, test_environment=True
        ).normalized
    except EmailNotValidError:
        raise RenderError(
            "no valid email address", mend="write Name <name@example.com>", code="ADDRESS_INVALID"
        ) from None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A sender or reply address: `name` is shown, `address` is an email address or, in reply_to, a template of one."""

    name: Template | None
    address: Template

    @property
    def parts(self) -> tuple[Template, ...]:
        """Its templates."""
        return (self.address,) if self.name is None else (self.name, self.address)

    def render_in(self, context: RowContext) -> str:
        """The mailbox in RFC 5322's form, not encoded for the wire: `"Ann Ó" <ann@example.com>`."""
        found = self.address.render_in(context)
        name = self.name.render_in(context) if self.name is not None else ""
        return _mailbox(name, found)

    def texts(self, frame: Frame) -> Texts:
        """The mailbox of each row, where its parts are fast; None where only `render_in` can say what is wrong."""
        addresses = self.address.texts(frame)
        if self.name is None:
            return addresses
        if self.name.constant is not None and self.address.constant is not None:
            return [_mailbox(self.name.constant, self.address.constant)] * frame.size
        return [
            None if name is None or found is None else _mailbox(name, found)
            for name, found in zip(self.name.texts(frame), addresses, strict=True)
        ]


def _mailbox(name: str, found: str) -> str:
    if not name:
        return found
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{found}>'


def compile_mailbox(source: str, *, field: str, fixed_address: bool) -> Mailbox:
    """Compile `Name <address>` or a bare address.

    Arguments:
        source: the mailbox; its name may be a template.
        field: the caller's name of it.
        fixed_address: whether the address must be written out, as a sender's must.

    Raises:
        InvalidTemplate: as compile_template, and ADDRESS_INVALID or TEMPLATE_NOT_ALLOWED for the address.
    """
    match = _MAILBOX.fullmatch(source)
    name_source, address_source = (match["name"], match["address"]) if match else ("", source)
    bare = name_source.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        name_source = bare[1:-1]
    name = compile_template(name_source, Escape.TEXT, field=field, finish=one_line) if bare else None
    compiled = compile_template(address_source, Escape.TEXT, field=field, finish=address)
    if fixed_address and compiled.constant is None:
        _refuse_sender(field)
    return Mailbox(name, compiled)


def _refuse_sender(field: str) -> NoReturn:
    raise InvalidTemplate(
        "a sender's address cannot come from a profile",
        field=field,
        mend="write it out: {{ user.agent }} <team@example.com>; reply_to may be a template",
        code="TEMPLATE_NOT_ALLOWED",
    )
