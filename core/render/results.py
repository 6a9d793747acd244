"""What goes into a rendering and what comes out of it: rows in, plain fields, a missing property or a failure out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from core.errors import FailedPrecondition
from core.render.sms_length import SmsLength
from core.values import Value

Source = Literal["user", "event", "message", "project", "data"]
"""Whose property a template read."""

InAppKind = Literal["takeover", "mini"]
"""A takeover fills the screen; a mini lies at its edge."""


@dataclass(frozen=True, slots=True)
class RenderRow:
    """Everything one user's rendering may read.

    Arguments:
        user: the profile's properties; a content's `properties` says which ones are needed.
        event: the event that caused the match (its properties and `time`, an aware datetime), None where there
            is none, as in a scheduled message.
        message: `id` and `key` of the message.
        project: facts of the project, such as its `id` and `name`.
        distinct_id: the user's id, read in templates as `distinct_id`.
        data: what a call that sends the message gave for its templates.
    """

    user: Mapping[str, Value]
    event: Mapping[str, Value] | None = None
    message: Mapping[str, Value] = field(default_factory=dict)
    project: Mapping[str, Value] = field(default_factory=dict)
    distinct_id: str = ""
    data: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that the template needs is not there, and no default stands in for it: the user is skipped.

    Arguments:
        property: the name of the property, as a profile or an event spells it; "" where the whole event is missing.
        path: the place inside it, such as `address.city` or `items[].price`; equal to `property` at the top.
        source: whose property it is.
        field: which part of the content asked for it, such as `email.subject`.
    """

    property: str
    path: str
    source: Source = "user"
    field: str = ""


@dataclass(frozen=True, slots=True)
class RenderFailed:
    """The values are there but do not fit the template: a list where a number is wanted, a too long result.

    Arguments:
        code: stable, UPPER_SNAKE; `PROPERTY_TYPE`, `OUTPUT_TOO_LARGE`, `TOO_MANY_STEPS`, `HEADER_UNSAFE`, …
        message: what is wrong, in one sentence.
        field: which part of the content failed, such as `webhook.body`.
    """

    code: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class RenderedEmail:
    """One email's plain fields. `from_` and `reply_to` are RFC 5322 mailboxes, not yet encoded for the wire.

    `html` already has the preheader in it; `text` is None where the message has no text part of its own.
    """

    subject: str
    from_: str
    reply_to: str | None
    preheader: str | None
    html: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class RenderedWebhook:
    """One webhook request: an absolute http(s) URL, header values safe to send, and a JSON text."""

    url: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class RenderedSms:
    """One text message. `from_` is "" where the worker's own sender is used."""

    text: str
    from_: str
    length: SmsLength


@dataclass(frozen=True, slots=True)
class InAppColors:
    """Colours of an in-app message or of one of its buttons, `#RRGGBB` or `#AARRGGBB`; "" for the app's own."""

    background: str = ""
    title: str = ""
    body: str = ""
    close: str = ""
    border: str = ""
    image_tint: str = ""
    text: str = ""

    def named(self) -> dict[str, str]:
        """Each by the name of its field in a message, such as `background_color`."""
        return {f"{item.name}_color": getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, slots=True)
class RenderedButton:
    """A button; without a link it opens what a tap on the message opens. Colours are for in-app messages."""

    text: str
    link: str = ""
    colors: InAppColors = InAppColors()


@dataclass(frozen=True, slots=True)
class RenderedPush:
    """One push notification; what is empty was not written. `ttl` is seconds, 0 as is usual at the provider.

    `badge` is the number on the app's icon, None to leave that alone.
    """

    title: str = ""
    body: str = ""
    image: str = ""
    buttons: tuple[RenderedButton, ...] = ()
    deep_link: str = ""
    collapse_key: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    ttl: int = 0
    badge: int | None = None
    sound: str = ""

    @property
    def texts(self) -> list[str]:
        """All its texts."""
        in_buttons = [text for button in self.buttons for text in (button.text, button.link)]
        in_data = [text for item in self.data.items() for text in item]
        return [self.title, self.body, self.image, self.deep_link, self.collapse_key, *in_buttons, *in_data]


@dataclass(frozen=True, slots=True)
class RenderedInApp:
    """One in-app message; what is empty was not written."""

    kind: InAppKind
    title: str = ""
    body: str = ""
    image: str = ""
    link: str = ""
    buttons: tuple[RenderedButton, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    colors: InAppColors = InAppColors()
    fade_image: bool = False


Rendered = RenderedEmail | RenderedWebhook | RenderedSms | RenderedPush | RenderedInApp


class MissingProperty(FailedPrecondition):
    """Raised by `Template.render` where a bulk rendering returns `Missing`."""

    code = "PROPERTY_MISSING"

    def __init__(self, property: str, path: str, source: Source, *, field: str = "") -> None:
        name = path if source == "user" else f"{source}.{path}" if path else source
        super().__init__(
            f"the template needs {name!r}, which is missing", field=field, mend='give it a default: | default("…")'
        )
        self.property = property
        self.path = path
        self.source = source


class RenderError(FailedPrecondition):
    """Raised by `Template.render` where a bulk rendering returns `RenderFailed`; `code` says which kind."""

    code = "RENDER_FAILED"
