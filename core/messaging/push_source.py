"""What a push notification is, as written: the text that is shown, where a tap leads, and how devices take it."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.codec import record
from core.messaging.translations import PushTranslation


@record("push_button")
@dataclass(frozen=True, slots=True)
class PushButton:
    """A button below a notification; both are templates."""

    text: str
    link: str = ""


@record("push_source")
@dataclass(frozen=True, slots=True)
class PushSource:
    """A push notification as written. A silent one shows nothing and wakes the app with its data.

    `ttl` is micros that a provider keeps it for a device that cannot be reached, 0 what is usual there. Of several with
    one `collapse_key` a device shows the last. `badge` is the number on the app's icon, None to leave that alone.
    """

    title: str = ""
    body: str = ""
    image: str = ""
    buttons: list[PushButton] = field(default_factory=list)
    deep_link: str = ""
    silent: bool = False
    ttl: int = 0
    collapse_key: str = ""
    data: dict[str, str] = field(default_factory=dict)
    badge: int | None = None
    sound: str = ""
    translations: dict[str, PushTranslation] = field(default_factory=dict)
