"""What an email says: its templates compiled together, rendered together for many users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import InvalidTemplate
from core.render.batch import RenderBatch
from core.render.columnar import Frame, Texts
from core.render.environment import RowContext
from core.render.headers import Mailbox, compile_mailbox, full_line, one_line
from core.render.printing import Escape, html_of
from core.render.reads import Reader, Reads
from core.render.results import Missing, RenderedEmail, RenderFailed, RenderRow
from core.render.template import Template, compile_template, render_columns, render_rows

_BODY_TAG: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_PREHEADER: Final = '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">{}</div>'


@dataclass(frozen=True, slots=True)
class EmailContent(Reader):
    """The compiled templates of an email. `reads` is what they read together."""

    subject: Template
    from_: Mailbox
    reply_to: Mailbox | None
    preheader: Template | None
    html: Template | None
    text: Template | None
    reads: Reads

    def render_many(self, rows: Iterable[RenderRow]) -> list[RenderedEmail | Missing | RenderFailed]:
        """The email for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self._render)

    def render_batch(self, batch: RenderBatch) -> list[RenderedEmail | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        templates = (self.subject, *self.from_.parts, *(self.reply_to.parts if self.reply_to else ()))
        parts = (*templates, self.preheader, self.html, self.text)
        return render_columns(batch, all(part is None or part.is_fast for part in parts), self._columns, self._render)

    def _columns(self, frame: Frame) -> list[RenderedEmail | None]:
        nothing: Texts = [""] * frame.size
        subjects, senders = self.subject.texts(frame), self.from_.texts(frame)
        replies = self.reply_to.texts(frame) if self.reply_to is not None else nothing
        preheaders = self.preheader.texts(frame) if self.preheader is not None else nothing
        htmls = self.html.texts(frame) if self.html is not None else nothing
        texts = self.text.texts(frame) if self.text is not None else nothing
        found: list[RenderedEmail | None] = []
        for subject, sender, reply, before, html, text in zip(
            subjects, senders, replies, preheaders, htmls, texts, strict=True
        ):
            if subject is None or sender is None or reply is None or before is None or html is None or text is None:
                found.append(None)
                continue
            found.append(
                RenderedEmail(
                    subject,
                    sender,
                    reply if self.reply_to is not None else None,
                    before if self.preheader is not None else None,
                    None if self.html is None else _with_preheader(html, before) if before else html,
                    text if self.text is not None else None,
                )
            )
        return found

    def _render(self, context: RowContext) -> RenderedEmail:
        preheader = self.preheader.render_in(context) if self.preheader is not None else None
        html = self.html.render_in(context) if self.html is not None else None
        return RenderedEmail(
            subject=self.subject.render_in(context),
            from_=self.from_.render_in(context),
            reply_to=self.reply_to.render_in(context) if self.reply_to is not None else None,
            preheader=preheader,
            html=_with_preheader(html, preheader) if html is not None and preheader else html,
            text=self.text.render_in(context) if self.text is not None else None,
        )


def compile_email(
    *,
    subject: str,
    from_: str,
    html: str | None = None,
    text: str | None = None,
    reply_to: str | None = None,
    preheader: str | None = None,
    field: str = "email",
) -> EmailContent:
    """Compile an email's templates.

    No text part is made from the HTML: one that nobody wrote reads badly, and mail programs do without.

    Arguments:
        subject: one line; line breaks in values become spaces.
        from_: `Name <address>`; the name may be a template, the address is written out.
        html: the HTML part; values are escaped.
        text: the plain text part. At least one of the two is needed.
        reply_to: as `from_`, but the address may be a template too.
        preheader: a line that mail lists show beside the subject, put hidden at the top of the HTML part.
        field: the caller's name of the whole, before `.subject` and so on in errors.

    Raises:
        InvalidTemplate: with the part's field, line, column and mend.
    """
    if html is None and text is None:
        raise InvalidTemplate(
            "an email without a body", field=f"{field}.html", mend="give html, text or both", code="TEMPLATE_EMPTY"
        )
    if preheader is not None and html is None:
        raise InvalidTemplate(
            "a preheader belongs to an HTML part", field=f"{field}.preheader", mend="give html", code="TEMPLATE_EMPTY"
        )
    if not subject.strip():
        raise InvalidTemplate(
            "an empty subject", field=f"{field}.subject", mend="write one line", code="TEMPLATE_EMPTY"
        )
    compiled_subject = compile_template(subject, Escape.TEXT, field=f"{field}.subject", finish=full_line)
    sender = compile_mailbox(from_, field=f"{field}.from", fixed_address=True)
    reply = compile_mailbox(reply_to, field=f"{field}.reply_to", fixed_address=False) if reply_to is not None else None
    before = (
        compile_template(preheader, Escape.TEXT, field=f"{field}.preheader", finish=one_line)
        if preheader is not None
        else None
    )
    html_part = compile_template(html, Escape.HTML, field=f"{field}.html") if html is not None else None
    text_part = compile_template(text, Escape.TEXT, field=f"{field}.text") if text is not None else None
    templates = (compiled_subject, *sender.parts, *(reply.parts if reply else ()), before, html_part, text_part)
    return EmailContent(compiled_subject, sender, reply, before, html_part, text_part, reads_of_all(templates))


def reads_of_all(templates: Sequence[Template | None]) -> Reads:
    """What several templates read together."""
    found = Reads()
    for template in templates:
        if template is not None:
            found |= template.reads
    return found


def _with_preheader(html: str, preheader: str) -> str:
    """The HTML with the hidden line after its body tag, or before everything where it has none."""
    hidden = _PREHEADER.format(html_of(preheader))
    match = _BODY_TAG.search(html)
    at = match.end() if match is not None else 0
    return html[:at] + hidden + html[at:]
