"""Reports as mail servers write them: delivery status notifications by RFC 3464, feedback reports by RFC 5965."""

from __future__ import annotations

import secrets
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesParser
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final, Literal

REPORTER: Final = "mail.example.net"


def delivery_status(
    mail: bytes,
    *,
    return_path: str,
    recipient: str,
    status: str = "5.1.1",
    words: str = "550 5.1.1 no such user",
    action: str = "failed",
    returns: Literal["mail", "headers", "nothing"] = "mail",
) -> bytes:
    """The notification that a server sends to a mail's return path.

    Arguments:
        mail: as the server took it.
        recipient: the one that it could not deliver to, or could.
        status: by RFC 3463.
        words: of the server that refused it.
        returns: what it carries back of the mail.
    """
    report = _report("delivery-status", return_path, "Undelivered Mail Returned to Sender")
    report.attach(MIMEText(f"I could not deliver your mail to {recipient}.\n\n{words}\n"))
    fields = Message()
    fields["Reporting-MTA"] = f"dns; {REPORTER}"
    of_recipient = Message()
    of_recipient["Final-Recipient"] = f"rfc822; {recipient}"
    of_recipient["Action"] = action
    of_recipient["Status"] = status
    of_recipient["Diagnostic-Code"] = f"smtp; {words}"
    part = MIMEBase("message", "delivery-status")
    part.set_payload([fields, of_recipient])
    report.attach(part)
    _attach(report, mail, returns)
    return report.as_bytes()


def feedback_report(mail: bytes, *, to: str, recipient: str, kind: str = "abuse") -> bytes:
    """The report that a provider of mailboxes sends of a complaint."""
    report = _report("feedback-report", to, "FW: complaint")
    report.attach(MIMEText("This is an email abuse report.\n"))
    fields = Message()
    fields["Feedback-Type"] = kind
    fields["User-Agent"] = "Double/1.0"
    fields["Version"] = "1"
    fields["Original-Rcpt-To"] = recipient
    part = MIMEBase("message", "feedback-report")
    part.set_payload([fields])
    report.attach(part)
    _attach(report, mail, "mail")
    return report.as_bytes()


def deliver(maildir: Path, mail: bytes) -> Path:
    """Lay a mail into a Maildir, which is made where there is none; the file."""
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    file = maildir / "tmp" / f"{secrets.token_hex(8)}.{REPORTER}"
    file.write_bytes(mail)
    return file.rename(maildir / "new" / file.name)


def _report(kind: str, to: str, subject: str) -> MIMEMultipart:
    report = MIMEMultipart("report")
    report.set_param("report-type", kind)
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{REPORTER}>"
    report["To"] = to
    report["Subject"] = subject
    report["Date"] = formatdate()
    report["Message-ID"] = make_msgid(domain=REPORTER)
    report["Auto-Submitted"] = "auto-replied"
    return report


def _attach(report: MIMEMultipart, mail: bytes, returns: str) -> None:
    if returns == "mail":
        report.attach(MIMEMessage(BytesParser().parsebytes(mail)))
    elif returns == "headers":
        head = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        part = MIMEText(head.decode("ascii", "replace") + "\n", "rfc822-headers")
        report.attach(part)
