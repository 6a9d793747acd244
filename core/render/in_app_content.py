"""What an in-app message says: its texts, picture, buttons and links, rendered together for many users."""

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
from core.render.results import (
    InAppColors,
    InAppKind,
    Missing,
    RenderedButton,
    RenderedInApp,
    RenderError,
    RenderFailed,
    RenderRow,
)
from core.render.template import Template, compile_template, render_columns, render_rows

MAX_DATA: Final = 50
"""Further values of one in-app message."""

_COLOR: Final = re.compile(r"#(?:[0-9A-Fa-f]{2})?[0-9A-Fa-f]{6}")


@dataclass(frozen=True, slots=True)
class InAppContent(Reader):
    """The compiled templates of an in-app message, and what is the same for everybody.

    `looks` are colours by the name of their field, of each button those of its own.
    """

    kind: InAppKind
    title: Template | None
    body: Template | None
    image: Template | None
    link: Template | None
    buttons: tuple[Button, ...]
    data: Mapping[str, Template]
    looks: InAppColors
    button_looks: tuple[InAppColors, ...]
    fade_image: bool
    field: str
    reads: Reads

    def render_many(self, rows: Iterable[RenderRow]) -> list[RenderedInApp | Missing | RenderFailed]:
        """The message for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self._render)

    def render_batch(self, batch: RenderBatch) -> list[RenderedInApp | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        fast = all(one is None or one.is_fast for one in self._templates)
        return render_columns(batch, fast, self._columns, self._render)

    @property
    def _templates(self) -> tuple[Template | None, ...]:
        """All of its templates, in the order in which `_made` takes their texts."""
        of_buttons = (part for button in self.buttons for part in (button.text, button.link))
        return (self.title, self.body, self.image, self.link, *of_buttons, *self.data.values())

    def _columns(self, frame: Frame) -> list[RenderedInApp | None]:
        nothing: Texts = [""] * frame.size
        columns = [nothing if one is None else one.texts(frame) for one in self._templates]
        return [self._made_or_none(row) for row in zip(*columns, strict=True)]

    def _made_or_none(self, row: Sequence[str | None]) -> RenderedInApp | None:
        texts = [text for text in row if text is not None]
        try:
            return self._made(texts) if len(texts) == len(row) else None
        except RenderError:
            return None

    def _render(self, context: RowContext) -> RenderedInApp:
        return self._made(["" if one is None else one.render_in(context) for one in self._templates])

    def _made(self, texts: Sequence[str]) -> RenderedInApp:
        title, body, image, link, *others = texts
        in_buttons, data = others[: 2 * len(self.buttons)], others[2 * len(self.buttons) :]
        if not (title or body or image):
            raise RenderError(
                "nothing is left to be shown",
                field=self.field,
                mend="give title, body or image a value for every user",
                code="IN_APP_EMPTY",
            )
        return RenderedInApp(
            kind=self.kind,
            title=title,
            body=body,
            image=image,
            link=link,
            buttons=tuple(map(RenderedButton, in_buttons[::2], in_buttons[1::2], self.button_looks)),
            data=dict(zip(self.data, data, strict=True)),
            colors=self.looks,
            fade_image=self.fade_image,
        )


def compile_in_app(
    *,
    kind: InAppKind,
    title: str = "",
    body: str = "",
    image: str = "",
    link: str = "",
    buttons: Sequence[tuple[str, str, InAppColors]] = (),
    data: Mapping[str, str] | None = None,
    colors: InAppColors | None = None,
    fade_image: bool = False,
    field: str = "in_app",
) -> InAppContent:
    """Compile an in-app message.

    Arguments:
        kind: `takeover`, which fills the screen, or `mini`, which lies at its edge and has no title nor buttons.
        title, body: templates of plain text; one of title, body and image is needed.
        image: a template of a picture's web address.
        link: a template of what a tap opens, and a button without a link of its own.
        buttons: (text, link, colours) of each, at most three.
        data: further values for the app, templates by name.
        colors: of the whole.
        fade_image: whether a takeover's picture fades into the background.
        field: the caller's name of the whole, before `.title` and so on in errors.

    Raises:
        InvalidTemplate: with the part's field and mend; KIND_INVALID, NOT_OF_KIND, COLOR_INVALID, TOO_MANY_DATA,
            TEMPLATE_EMPTY, TOO_MANY_BUTTONS, LINK_INVALID besides the codes of compile_template.
    """
    if kind not in ("takeover", "mini"):
        _refuse(
            f"{field}.kind", f"the kind {kind!r}" if kind else "no kind is given", "takeover or mini", "KIND_INVALID"
        )
    if not (title.strip() or body.strip() or image.strip()):
        _refuse(f"{field}.body", "a message that shows nothing", "write a title or a body", "TEMPLATE_EMPTY")
    for name, value in (("title", title), ("buttons", buttons)):
        if kind == "mini" and value:
            _refuse(f"{field}.{name}", f"a mini has no {name}", "make it a takeover", "NOT_OF_KIND")
    if len(data or {}) > MAX_DATA:
        _refuse(f"{field}.data", f"{len(data or {})} values", f"at most {MAX_DATA}", "TOO_MANY_DATA")
    looks = colors or InAppColors()
    _check_colors(looks, field)
    for number, (_, _, of_button) in enumerate(buttons):
        _check_colors(of_button, f"{field}.buttons[{number}]")
    texts = {
        "title": _text(title, f"{field}.title"),
        "body": _text(body, f"{field}.body"),
        "image": compile_link(image, f"{field}.image", web=True),
        "link": compile_link(link, f"{field}.link"),
    }
    made_buttons = compile_buttons([(text, to) for text, to, _ in buttons], f"{field}.buttons")
    made_data = {
        name: compile_template(value, Escape.TEXT, field=f"{field}.data[{name!r}]")
        for name, value in (data or {}).items()
    }
    in_buttons = [part for button in made_buttons for part in (button.text, button.link)]
    return InAppContent(
        kind=kind,
        **texts,
        buttons=made_buttons,
        data=made_data,
        looks=looks,
        button_looks=tuple(of_button for _, _, of_button in buttons),
        fade_image=fade_image,
        field=field,
        reads=reads_of_all((*texts.values(), *in_buttons, *made_data.values())),
    )


def _check_colors(colors: InAppColors, field: str) -> None:
    for name, color in colors.named().items():
        if color and not _COLOR.fullmatch(color):
            _refuse(f"{field}.{name}", f"{color!r} is no colour", "#RRGGBB, or #AARRGGBB", "COLOR_INVALID")


def _text(source: str, field: str) -> Template | None:
    return compile_template(source, Escape.TEXT, field=field, finish=str.strip) if source.strip() else None


def _refuse(field: str, message: str, mend: str, code: str) -> NoReturn:
    raise InvalidTemplate(message, field=field, mend=mend, code=code)
