"""Push notifications between protobuf and core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from muster.v1 import message_pb2

from core.messaging.devices import Device, Platform
from core.messaging.push_source import PushButton, PushSource
from core.messaging.translations import PushTranslation
from core.render.results import RenderedPush
from core.values import MICROS_PER_SECOND
from server.convert.times import duration, duration_micros

PLATFORMS: Final[dict[Platform, Any]] = {
    "android": message_pb2.PLATFORM_ANDROID,
    "ios": message_pb2.PLATFORM_IOS,
}
"""A platform in core's words."""


def source(push: message_pb2.PushContent) -> PushSource:
    """A push notification as a client writes it.

    Raises:
        InvalidInput: DURATION_OUT_OF_RANGE.
    """
    return PushSource(
        title=push.title,
        body=push.body,
        image=push.image,
        buttons=[PushButton(button.text, button.link) for button in push.buttons],
        deep_link=push.deep_link,
        silent=push.silent,
        ttl=duration_micros(push.ttl, "message.push.ttl") if push.HasField("ttl") else 0,
        collapse_key=push.collapse_key,
        data=dict(push.data),
        badge=push.badge if push.HasField("badge") else None,
        sound=push.sound,
        translations={tag: PushTranslation(one.title, one.body) for tag, one in push.translations.items()},
    )


def content(found: PushSource) -> message_pb2.PushContent:
    """A push notification as clients see it."""
    return message_pb2.PushContent(
        title=found.title,
        body=found.body,
        image=found.image,
        buttons=[message_pb2.Button(text=button.text, link=button.link) for button in found.buttons],
        deep_link=found.deep_link,
        silent=found.silent,
        ttl=duration(found.ttl) if found.ttl else None,
        collapse_key=found.collapse_key,
        data=found.data,
        badge=found.badge,
        sound=found.sound,
        translations={
            tag: message_pb2.PushTranslation(title=one.title, body=one.body) for tag, one in found.translations.items()
        },
    )


def notification(found: RenderedPush, devices: Iterable[Device]) -> message_pb2.PushNotification:
    """A push notification ready for providers."""
    return message_pb2.PushNotification(
        title=found.title,
        body=found.body,
        image=found.image,
        buttons=[message_pb2.Button(text=button.text, link=button.link) for button in found.buttons],
        deep_link=found.deep_link,
        silent=found.silent,
        ttl=duration(found.ttl * MICROS_PER_SECOND) if found.ttl else None,
        collapse_key=found.collapse_key,
        data=found.data,
        badge=found.badge,
        sound=found.sound,
        devices=[message_pb2.Device(platform=PLATFORMS[one.platform], token=one.token) for one in devices],
    )
