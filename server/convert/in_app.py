"""In-app messages between protobuf and core."""

from __future__ import annotations

from typing import Any, Final

from muster.v1 import in_app_pb2, message_pb2

from core.commands import InAppAction, InAppReport, InAppTaken
from core.errors import InvalidInput
from core.messaging.in_app import Event, Shelf, Waiting
from core.messaging.in_app_source import DisplayTrigger, InAppButton, InAppSource
from core.messaging.translations import InAppTranslation
from core.render.results import InAppColors, InAppKind, RenderedInApp
from core.values import check_value
from server.convert.times import timestamp
from server.convert.values import properties

_KINDS: Final[dict[InAppKind, Any]] = {
    "takeover": message_pb2.IN_APP_KIND_TAKEOVER,
    "mini": message_pb2.IN_APP_KIND_MINI,
}
_KIND_OF: Final = {number: name for name, number in _KINDS.items()}
_ACTIONS: Final[dict[int, InAppAction]] = {
    in_app_pb2.IN_APP_ACTION_SHOWN: "shown",
    in_app_pb2.IN_APP_ACTION_CLICKED: "clicked",
    in_app_pb2.IN_APP_ACTION_DISMISSED: "dismissed",
}
_OF_WHOLE: Final = ("background", "title", "body", "close", "border", "image_tint")
_OF_BUTTON: Final = ("text", "background", "border")


def source(content: message_pb2.InAppContent, field: str) -> InAppSource:
    """An in-app message as a client writes it.

    Arguments:
        field: where it stands, as `message.in_app`.

    Raises:
        InvalidInput: KIND_INVALID.
    """
    if content.kind not in _KIND_OF:
        raise InvalidInput(
            "no kind is given",
            field=f"{field}.kind",
            mend="IN_APP_KIND_TAKEOVER or IN_APP_KIND_MINI",
            code="KIND_INVALID",
        )
    return InAppSource(
        kind=_KIND_OF[content.kind],
        title=content.title,
        body=content.body,
        image=content.image,
        link=content.link,
        buttons=[
            InAppButton(one.text, one.link, one.text_color, one.background_color, one.border_color)
            for one in content.buttons
        ],
        background_color=content.background_color,
        title_color=content.title_color,
        body_color=content.body_color,
        close_color=content.close_color,
        border_color=content.border_color,
        image_tint_color=content.image_tint_color,
        fade_image=content.fade_image,
        data=dict(content.data),
        triggers=[DisplayTrigger(one.event, one.condition) for one in content.triggers],
        translations={tag: InAppTranslation(one.title, one.body) for tag, one in content.translations.items()},
    )


def content(found: InAppSource) -> message_pb2.InAppContent:
    """An in-app message as clients see it."""
    return message_pb2.InAppContent(
        kind=_KINDS[found.kind],
        title=found.title,
        body=found.body,
        image=found.image,
        link=found.link,
        buttons=[
            message_pb2.InAppButton(
                text=one.text,
                link=one.link,
                text_color=one.text_color,
                background_color=one.background_color,
                border_color=one.border_color,
            )
            for one in found.buttons
        ],
        background_color=found.background_color,
        title_color=found.title_color,
        body_color=found.body_color,
        close_color=found.close_color,
        border_color=found.border_color,
        image_tint_color=found.image_tint_color,
        fade_image=found.fade_image,
        data=found.data,
        triggers=_triggers(found.triggers),
        translations={
            tag: message_pb2.InAppTranslation(title=one.title, body=one.body) for tag, one in found.translations.items()
        },
    )


def rendered(found: RenderedInApp) -> message_pb2.InAppContent:
    """An in-app message as a user reads it."""
    return message_pb2.InAppContent(
        kind=_KINDS[found.kind],
        title=found.title,
        body=found.body,
        image=found.image,
        link=found.link,
        buttons=[
            message_pb2.InAppButton(text=one.text, link=one.link, **_colors(one.colors, _OF_BUTTON))
            for one in found.buttons
        ],
        fade_image=found.fade_image,
        data=found.data,
        **_colors(found.colors, _OF_WHOLE),
    )


def _colors(colors: InAppColors, names: tuple[str, ...]) -> dict[str, Any]:
    return {f"{name}_color": getattr(colors, name) for name in names}


def _triggers(triggers: list[DisplayTrigger]) -> list[message_pb2.DisplayTrigger]:
    return [message_pb2.DisplayTrigger(event=one.event, condition=one.condition) for one in triggers]


def event(message: in_app_pb2.TriggeringEvent) -> Event:
    """An event that the user has just had.

    Raises:
        InvalidInput: NO_EVENT; of a property, what no event may hold.
    """
    if not message.name:
        raise InvalidInput("the event has no name", field="event.name", mend="name it", code="NO_EVENT")
    found = properties(message.properties, "event.properties")
    for name, value in found.items():
        check_value(value, f"event.properties.{name}")
    return Event(message.name, found)


def shelf(found: Shelf) -> in_app_pb2.FetchInAppResponse:
    """What waits for a user."""
    return in_app_pb2.FetchInAppResponse(messages=map(_waiting, found.messages), remaining=found.remaining)


def _waiting(found: Waiting) -> in_app_pb2.WaitingInApp:
    made = in_app_pb2.WaitingInApp(
        id=found.id,
        message_key=found.message_key,
        occurrence=found.occurrence,
        content=rendered(found.content),
        expire_time=timestamp(found.expires),
    )
    made.content.triggers.extend(_triggers(found.triggers))
    return made


def report(message: in_app_pb2.InAppReport, index: int) -> InAppReport:
    """What a user did with a message.

    Raises:
        InvalidInput: ACTION_MISSING.
    """
    if message.action not in _ACTIONS:
        raise InvalidInput(
            "no action is given", field=f"reports[{index}].action", mend="one of InAppAction", code="ACTION_MISSING"
        )
    return InAppReport(message.id, _ACTIONS[message.action], message.session_id, message.link)


def taken(found: InAppTaken) -> in_app_pb2.ReportInAppResponse:
    """What became of reports."""
    return in_app_pb2.ReportInAppResponse(accepted=found.accepted, duplicates=found.duplicates, unknown=found.unknown)
