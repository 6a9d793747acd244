"""Devices that push notifications go to: the tokens of a profile, and how those that are nobody's any more go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.commands import Ack, Feedback
from core.values import Value

Platform = Literal["android", "ios"]
"""Whose devices: Android's are reached by FCM, Apple's by APNs."""

TOKENS: Final[dict[Platform, str]] = {"android": "$android_devices", "ios": "$ios_devices"}
"""The profile property that lists a platform's tokens, as the mobile SDKs write it."""

MAX_TOKEN: Final = 2_000
"""Characters of a token; no platform's comes near."""


@dataclass(frozen=True, slots=True)
class Device:
    """One installed app, by the token that its platform gave it."""

    platform: Platform
    token: str


def devices_of(profile: Mapping[str, Value]) -> tuple[Device, ...]:
    """The devices of a profile, each once; what is no token is left out."""
    found: dict[Device, None] = {}
    for platform, name in TOKENS.items():
        tokens = profile.get(name)
        for token in tokens if isinstance(tokens, list) else ():
            if isinstance(token, str) and is_token(token):
                found[Device(platform, token)] = None
    return tuple(found)


def is_token(text: str) -> bool:
    """Whether a text may be a token: printable ASCII without space, of a bearable length."""
    return 0 < len(text) <= MAX_TOKEN and text.isascii() and text.isprintable() and " " not in text


def names_of(devices: Sequence[Device]) -> str:
    """Devices for people, such as `2 android, 1 ios`."""
    counts = {platform: sum(device.platform == platform for device in devices) for platform in TOKENS}
    return ", ".join(f"{count} {platform}" for platform, count in counts.items() if count)


def removed_by(acks: Iterable[Ack]) -> list[Feedback]:
    """What acknowledgements say of device tokens that are nobody's any more, as feedback; said again it is the same."""
    return [
        Feedback(
            "token_removed",
            ack.idempotency_key,
            hashlib.blake2b(token.encode(), digest_size=16).hexdigest(),
            address=token,
        )
        for ack in acks
        for token in ack.removed_tokens
        if is_token(token)
    ]
