"""Buttons of push notifications and in-app messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import InvalidTemplate
from core.render.app_link import compile_link
from core.render.printing import Escape
from core.render.results import RenderError
from core.render.template import Template, compile_template

MAX_BUTTONS: Final = 3
"""Buttons of one message; Android shows no more in a notification."""


@dataclass(frozen=True, slots=True)
class Button:
    """The compiled templates of a button."""

    text: Template
    link: Template | None


def compile_buttons(buttons: Sequence[tuple[str, str]], field: str) -> tuple[Button, ...]:
    """Compile the (text, link) of each button; a link may be empty.

    Raises:
        InvalidTemplate: TOO_MANY_BUTTONS, TEMPLATE_EMPTY, LINK_INVALID besides the codes of compile_template.
    """
    if len(buttons) > MAX_BUTTONS:
        raise InvalidTemplate(
            f"{len(buttons)} buttons", field=field, mend=f"at most {MAX_BUTTONS}", code="TOO_MANY_BUTTONS"
        )
    for number, (text, _) in enumerate(buttons):
        if not text.strip():
            raise InvalidTemplate(
                "a button without text", field=f"{field}[{number}].text", mend="write one", code="TEMPLATE_EMPTY"
            )
    return tuple(
        Button(
            compile_template(text, Escape.TEXT, field=f"{field}[{number}].text", finish=_one_line),
            compile_link(link, f"{field}[{number}].link"),
        )
        for number, (text, link) in enumerate(buttons)
    )


def _one_line(text: str) -> str:
    found = " ".join(text.split())
    if not found:
        raise RenderError("nothing is left of a button's text", mend="give it a default", code="BUTTON_EMPTY")
    return found
