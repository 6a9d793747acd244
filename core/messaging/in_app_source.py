"""What an in-app message is, as written: what is shown, in which colours, and which event lets it be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from core.codec import record
from core.errors import InvalidExpression, InvalidInput
from core.evaluator.one_event import parse_condition
from core.messaging.translations import InAppTranslation
from core.render.results import InAppKind
from core.values import MAX_NAME_BYTES, utf8_length

ANY_EVENT: Final = "$any_event"
"""Stands for every event in a trigger, as in Mixpanel's."""

MAX_TRIGGERS: Final = 20


@record("in_app_button")
@dataclass(frozen=True, slots=True)
class InAppButton:
    """A button: text and link are templates; colours are `#RRGGBB` or `#AARRGGBB`, "" for the app's own."""

    text: str
    link: str = ""
    text_color: str = ""
    background_color: str = ""
    border_color: str = ""


@record("display_trigger")
@dataclass(frozen=True, slots=True)
class DisplayTrigger:
    """Lets a message be shown when the user has an event of this name; `condition` is CEL with the event as `e`."""

    event: str
    condition: str = ""


@record("in_app_source")
@dataclass(frozen=True, slots=True)
class InAppSource:
    """An in-app message as written. Without triggers it is shown when the app starts; else when one of them fits."""

    kind: InAppKind
    title: str = ""
    body: str = ""
    image: str = ""
    link: str = ""
    buttons: list[InAppButton] = field(default_factory=list)
    background_color: str = ""
    title_color: str = ""
    body_color: str = ""
    close_color: str = ""
    border_color: str = ""
    image_tint_color: str = ""
    fade_image: bool = False
    data: dict[str, str] = field(default_factory=dict)
    triggers: list[DisplayTrigger] = field(default_factory=list)
    translations: dict[str, InAppTranslation] = field(default_factory=dict)


def check_triggers(source: InAppSource, field: str) -> None:
    """Refuse triggers that could never fit.

    Arguments:
        field: where they stand, as `message.in_app.triggers`.

    Raises:
        InvalidInput: TOO_MANY_TRIGGERS, NO_EVENT, NAME_TOO_LONG; InvalidExpression: of a condition.
    """
    if len(source.triggers) > MAX_TRIGGERS:
        raise InvalidInput(
            f"{len(source.triggers)} triggers", field=field, mend=f"at most {MAX_TRIGGERS}", code="TOO_MANY_TRIGGERS"
        )
    for number, trigger in enumerate(source.triggers):
        place = f"{field}[{number}]"
        if not trigger.event:
            raise InvalidInput(
                "the trigger names no event",
                field=f"{place}.event",
                mend=f"name it, as Purchase, or {ANY_EVENT}",
                code="NO_EVENT",
            )
        if utf8_length(trigger.event, f"{place}.event") > MAX_NAME_BYTES:
            raise InvalidInput(
                f"the name is over {MAX_NAME_BYTES} bytes",
                field=f"{place}.event",
                mend=f"1 to {MAX_NAME_BYTES} bytes",
                code="NAME_TOO_LONG",
            )
        if trigger.condition:
            try:
                parse_condition(trigger.event, trigger.condition)
            except InvalidExpression as error:
                error.field = f"{place}.condition"
                raise
