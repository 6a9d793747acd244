"""What a text message says: its template, its sender, and how long it may get."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from core.errors import InvalidTemplate
from core.render.batch import RenderBatch
from core.render.columnar import Frame
from core.render.environment import RowContext
from core.render.printing import Escape
from core.render.reads import Reader, Reads
from core.render.results import Missing, RenderedSms, RenderError, RenderFailed, RenderRow
from core.render.sms_length import SmsLength, first_beyond_gsm, sms_length
from core.render.template import Template, compile_template, render_columns, render_rows

MAX_SEGMENTS: Final = 10
"""Segments of one text message, and the limit where a message sets none; providers refuse 1,600 characters and more."""

_PLAIN_SPACES: Final = {0x00A0: " ", 0x202F: " "}
_SENDER: Final = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9 ]{1,11}|MG[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class SmsContent(Reader):
    """The compiled template of a text message. `from_` is "" where the worker's own sender is used."""

    text: Template
    from_: str
    max_segments: int
    reads: Reads

    def render_many(self, rows: Iterable[RenderRow]) -> list[RenderedSms | Missing | RenderFailed]:
        """The text message for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self._render)

    def render_batch(self, batch: RenderBatch) -> list[RenderedSms | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        return render_columns(batch, self.text.is_fast, self._columns, self._render)

    def _columns(self, frame: Frame) -> list[RenderedSms | None]:
        known: dict[str | None, RenderedSms | None] = {None: None}
        texts = self.text.texts(frame)
        for text in texts:
            if text is not None and text not in known:
                length = sms_length(text)
                known[text] = RenderedSms(text, self.from_, length) if length.segments <= self.max_segments else None
        return [known[text] for text in texts]

    def _render(self, context: RowContext) -> RenderedSms:
        text = self.text.render_in(context)
        length = sms_length(text)
        if length.segments > self.max_segments:
            _refuse_length(text, length, self.max_segments, self.text.field)
        return RenderedSms(text, self.from_, length)


def compile_sms(*, text: str, from_: str = "", max_segments: int = 0, field: str = "sms") -> SmsContent:
    """Compile a text message.

    Arguments:
        text: plain text; line ends become single line feeds.
        from_: a number in E.164, a short code, a name of up to 11 letters, digits and spaces, or the SID of a
            messaging service (`MG…`); "": the worker's own.
        max_segments: a user whose text would take more is skipped; 0: MAX_SEGMENTS.
        field: the caller's name of the whole, before `.text` and so on in errors.

    Raises:
        InvalidTemplate: with the part's field and mend; SENDER_INVALID, INVALID_LIMIT and SMS_TOO_LONG besides the
            codes of compile_template.
    """
    if not text.strip():
        raise InvalidTemplate("an empty text", field=f"{field}.text", mend="write one", code="TEMPLATE_EMPTY")
    if from_ and not _SENDER.fullmatch(from_):
        raise InvalidTemplate(
            f"{from_!r} is no sender of text messages",
            field=f"{field}.from",
            mend="a number such as +14155550100, a short code, a name of at most 11 letters and digits, or MG…",
            code="SENDER_INVALID",
        )
    if not 0 <= max_segments <= MAX_SEGMENTS:
        raise InvalidTemplate(
            f"a limit of {max_segments} segments",
            field=f"{field}.max_segments",
            mend=f"1 to {MAX_SEGMENTS}, or 0 for {MAX_SEGMENTS}",
            code="INVALID_LIMIT",
        )
    limit = max_segments or MAX_SEGMENTS
    compiled = compile_template(text, Escape.TEXT, field=f"{field}.text", finish=_one_text)
    if compiled.constant is not None and (length := sms_length(compiled.constant)).segments > limit:
        try:
            _refuse_length(compiled.constant, length, limit, compiled.field)
        except RenderError as error:
            raise InvalidTemplate(error.message, field=error.field, mend=error.mend, code=error.code) from error
    return SmsContent(compiled, from_, limit, compiled.reads)


def _one_text(text: str) -> str:
    """The text with single line feeds, plain spaces, and none at its ends. Raises RenderError SMS_EMPTY for no text.

    A space that forbids a break, as numbers of some languages have, would make the text UCS-2 and show as nothing else.
    """
    found = text.replace("\r\n", "\n").replace("\r", "\n").translate(_PLAIN_SPACES).strip()
    if not found:
        raise RenderError("nothing is left of the text", mend="give it a text for every user", code="SMS_EMPTY")
    return found


def _refuse_length(text: str, length: SmsLength, limit: int, field: str) -> None:
    culprit = first_beyond_gsm(text)
    mend = f"without {culprit!r} a segment would hold 153 characters, not 67" if culprit else "shorten it, or truncate"
    raise RenderError(
        f"a text of {length.segments} segments, where {limit} {'is' if limit == 1 else 'are'} allowed",
        field=field,
        mend=mend,
        code="SMS_TOO_LONG",
    )
