"""What a push notification says: its texts, picture, buttons, links and data, rendered together for many users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from core.errors import InvalidTemplate
from core.render.app_link import compile_link
from core.render.batch import RenderBatch
from core.render.buttons import Button, compile_buttons
from core.render.columnar import Frame, Texts
from core.render.email_content import reads_of_all
from core.render.environment import RowContext
from core.render.printing import Escape
from core.render.reads import Reader, Reads
from core.render.results import Missing, RenderedButton, RenderedPush, RenderError, RenderFailed, RenderRow
from core.render.template import Template, compile_template, render_columns, render_rows

MAX_BYTES: Final = 3_000
"""Bytes in UTF-8 of a notification's texts together. Providers take 4,096 with all that is around them."""

MAX_COLLAPSE_KEY: Final = 64
"""Characters of a collapse key, by APNs."""

MAX_TTL: Final = 28 * 24 * 3600
"""Seconds that providers keep a notification at most, by FCM."""

RESERVED_DATA: Final = frozenset({"aps", "from", "message_type", "notification", "muster"})
"""Names that data may not have, nor begin with: providers or Muster's own payload use them."""

_RESERVED_STARTS: Final = ("google.", "gcm.", "muster_", "mp_")
_DATA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class PushContent(Reader):
    """The compiled templates of a push notification, and what is the same for everybody. `ttl` is seconds."""

    title: Template | None
    body: Template | None
    image: Template | None
    buttons: tuple[Button, ...]
    deep_link: Template | None
    collapse_key: Template | None
    data: Mapping[str, Template]
    silent: bool
    ttl: int
    badge: int | None
    sound: str
    field: str
    reads: Reads

    def render_many(self, rows: Iterable[RenderRow]) -> list[RenderedPush | Missing | RenderFailed]:
        """The notification for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self._render)

    def render_batch(self, batch: RenderBatch) -> list[RenderedPush | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        fast = all(one is None or one.is_fast for one in self._templates)
        return render_columns(batch, fast, self._columns, self._render)

    @property
    def _templates(self) -> tuple[Template | None, ...]:
        """All of its templates, in the order in which `_made` takes their texts."""
        of_buttons = (part for button in self.buttons for part in (button.text, button.link))
        return (self.title, self.body, self.image, self.deep_link, self.collapse_key, *of_buttons, *self.data.values())

    def _columns(self, frame: Frame) -> list[RenderedPush | None]:
        nothing: Texts = [""] * frame.size
        columns = [nothing if one is None else one.texts(frame) for one in self._templates]
        return [self._made_or_none(row) for row in zip(*columns, strict=True)]

    def _made_or_none(self, row: Sequence[str | None]) -> RenderedPush | None:
        texts = [text for text in row if text is not None]
        try:
            return self._made(texts) if len(texts) == len(row) else None
        except RenderError:
            return None

    def _render(self, context: RowContext) -> RenderedPush:
        return self._made(["" if one is None else one.render_in(context) for one in self._templates])

    def _made(self, texts: Sequence[str]) -> RenderedPush:
        title, body, image, deep_link, collapse_key, *others = texts
        in_buttons, data = others[: 2 * len(self.buttons)], others[2 * len(self.buttons) :]
        found = RenderedPush(
            title=title,
            body=body,
            image=image,
            buttons=tuple(map(RenderedButton, in_buttons[::2], in_buttons[1::2])),
            deep_link=deep_link,
            collapse_key=collapse_key,
            data=dict(zip(self.data, data, strict=True)),
            silent=self.silent,
            ttl=self.ttl,
            badge=self.badge,
            sound=self.sound,
        )
        if not self.silent and not found.title and not found.body:
            raise RenderError(
                "nothing is left of title and body",
                field=self.field,
                mend="give one of them a text for every user",
                code="PUSH_EMPTY",
            )
        size = sum(len(text.encode()) for text in found.texts)
        if size > MAX_BYTES:
            raise RenderError(
                f"{size} bytes, where {MAX_BYTES} are taken",
                field=self.field,
                mend="use truncate",
                code="PUSH_TOO_LONG",
            )
        return found


def compile_push(
    *,
    title: str = "",
    body: str = "",
    image: str = "",
    buttons: Sequence[tuple[str, str]] = (),
    deep_link: str = "",
    silent: bool = False,
    ttl: int = 0,
    collapse_key: str = "",
    data: Mapping[str, str] | None = None,
    badge: int | None = None,
    sound: str = "",
    field: str = "push",
) -> PushContent:
    """Compile a push notification.

    Arguments:
        title, body: templates of plain text; at least one is needed, and none in a silent notification.
        image: a template of an https URL.
        buttons: (text, link) of each, templates both; without a link a button opens what a tap opens.
        deep_link: a template of what a tap opens: a URL of any scheme, such as `shop://orders/{{ user.order }}`.
        silent: shows nothing; the app is woken with `data`.
        ttl: seconds that the provider keeps it for a device that cannot be reached; 0: as is usual there.
        collapse_key: a template; of several with one key a device shows the last.
        data: further values for the app, templates by name.
        badge: the number on the app's icon; 0 takes it away, None leaves it.
        sound: the name of a sound of the app, or `default`.
        field: the caller's name of the whole, before `.title` and so on in errors.

    Raises:
        InvalidTemplate: with the part's field and mend; TEMPLATE_EMPTY, SILENT_TEXT, TOO_MANY_BUTTONS, LINK_INVALID,
            DATA_NAME_INVALID and INVALID_LIMIT besides the codes of compile_template.
    """
    shown = {"title": title.strip(), "body": body.strip(), "image": image, "buttons": buttons, "sound": sound}
    _check_shown(shown, silent, field)
    if not 0 <= ttl <= MAX_TTL:
        _refuse(
            f"{field}.ttl", f"a time to live of {ttl} seconds", f"at most {MAX_TTL // 86_400} days", "INVALID_LIMIT"
        )
    if badge is not None and not 0 <= badge <= 99_999:
        _refuse(f"{field}.badge", f"a badge of {badge}", "0 to 99,999; 0 takes it away", "INVALID_LIMIT")
    for name in data or {}:
        if not _DATA_NAME.fullmatch(name) or name in RESERVED_DATA or name.startswith(_RESERVED_STARTS):
            _refuse(
                f"{field}.data[{name!r}]",
                "no name for data",
                "letters, digits, _ - and .; not from, aps, nor google.…, gcm.…, muster…, mp_…",
                "DATA_NAME_INVALID",
            )
    texts = {
        "title": _text(title, f"{field}.title"),
        "body": _text(body, f"{field}.body"),
        "image": compile_link(image, f"{field}.image", web=True),
        "deep_link": compile_link(deep_link, f"{field}.deep_link"),
        "collapse_key": _collapse_key(collapse_key, f"{field}.collapse_key"),
    }
    made_buttons = compile_buttons(buttons, f"{field}.buttons")
    made_data = {
        name: compile_template(value, Escape.TEXT, field=f"{field}.data[{name!r}]")
        for name, value in (data or {}).items()
    }
    in_buttons = [part for button in made_buttons for part in (button.text, button.link)]
    return PushContent(
        **texts,
        buttons=made_buttons,
        data=made_data,
        silent=silent,
        ttl=ttl,
        badge=badge,
        sound=sound,
        field=field,
        reads=reads_of_all((*texts.values(), *in_buttons, *made_data.values())),
    )


def _check_shown(shown: Mapping[str, object], silent: bool, field: str) -> None:
    """Refuse a silent notification that shows something, and one that is not and shows nothing."""
    for name in [name for name, value in shown.items() if value] if silent else []:
        _refuse(f"{field}.{name}", "a silent notification shows nothing", "put it into data", "SILENT_TEXT")
    if not silent and not shown["title"] and not shown["body"]:
        _refuse(f"{field}.body", "a notification without text", "write a title or a body", "TEMPLATE_EMPTY")


def _text(source: str, field: str) -> Template | None:
    return compile_template(source, Escape.TEXT, field=field, finish=str.strip) if source.strip() else None


def _collapse_key(source: str, field: str) -> Template | None:
    return compile_template(source, Escape.TEXT, field=field, finish=_short_key) if source else None


def _short_key(text: str) -> str:
    found = text.strip()
    if len(found) > MAX_COLLAPSE_KEY or not (found.isascii() and found.isprintable()):
        raise RenderError(
            f"a collapse key of more than {MAX_COLLAPSE_KEY} characters, or of others than plain ASCII",
            mend="shorten it",
            code="COLLAPSE_KEY_INVALID",
        )
    return found


def _refuse(field: str, message: str, mend: str, code: str) -> NoReturn:
    raise InvalidTemplate(message, field=field, mend=mend, code=code)
