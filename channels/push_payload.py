"""A push notification in the words of FCM and of APNs.

Both carry, beside what the device itself shows, what the app needs to act on it: on Android as data, on iOS under
`muster`. There is room for other spellings of the same, such as those that Mixpanel's SDKs read.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from channels.push import Outgoing

_IDS: Final = uuid.UUID("5b0d6c0a-8a0e-4f6e-9d0b-6d7573746572")


def fcm_message(token: str, outgoing: Outgoing) -> dict[str, Any]:
    """The `Message` resource of FCM's HTTP v1 API.

    A notification's tag is its collapse key, or else the hand-off's own: one that comes twice is shown once.
    """
    found = outgoing.notification
    android: dict[str, Any] = {"priority": "NORMAL" if found.silent else "HIGH"}
    if found.HasField("ttl"):
        android["ttl"] = f"{found.ttl.seconds}s"
    if found.collapse_key:
        android["collapse_key"] = found.collapse_key
    message: dict[str, Any] = {"token": token, "data": _fcm_data(outgoing), "android": android}
    if not found.silent:
        message["notification"] = _written(title=found.title, body=found.body, image=found.image)
        shown = _written(tag=found.collapse_key or outgoing.key, sound=found.sound)
        if found.HasField("badge"):
            shown["notification_count"] = found.badge
        android["notification"] = shown
    return message


def _fcm_data(outgoing: Outgoing) -> dict[str, str]:
    """Texts by name, as FCM takes no others."""
    found = outgoing.notification
    data = {**found.data, "muster_message": outgoing.message_key, "muster_key": outgoing.key}
    if found.deep_link:
        data["muster_link"] = found.deep_link
    if found.buttons:
        data["muster_buttons"] = _compact([{"text": one.text, "link": one.link} for one in found.buttons])
    return data


def apns_payload(outgoing: Outgoing) -> bytes:
    """The body of a request to APNs, as JSON in UTF-8.

    A picture and buttons are for the app's notification service extension, which `mutable-content` calls.
    """
    found = outgoing.notification
    aps: dict[str, Any] = {}
    if found.silent:
        aps["content-available"] = 1
    else:
        aps["alert"] = _written(title=found.title, body=found.body)
        if found.image or found.buttons:
            aps["mutable-content"] = 1
    if found.HasField("badge"):
        aps["badge"] = found.badge
    if found.sound:
        aps["sound"] = found.sound
    ours: dict[str, Any] = _written(
        message=outgoing.message_key, key=outgoing.key, link=found.deep_link, image=found.image
    )
    if found.buttons:
        ours["buttons"] = [{"text": one.text, "link": one.link} for one in found.buttons]
    return _compact({**found.data, "aps": aps, "muster": ours}).encode()


def apns_id(token: str, outgoing: Outgoing) -> str:
    """The `apns-id` of a hand-off to a device: a UUID that is the same whenever it is tried."""
    return str(uuid.uuid5(_IDS, f"{outgoing.key}\0{token}"))


def _written(**fields: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
