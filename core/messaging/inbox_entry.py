"""What a sandbox lays into its inbox in place of sending it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from core.messaging.definitions import MessageDefinition
from core.messaging.devices import names_of
from core.messaging.effects import InboxEntry
from core.messaging.render import HandOff
from core.render.results import RenderedInApp, RenderedPush


def inbox_entry(definition: MessageDefinition, hand_off: HandOff, now: int) -> InboxEntry:
    """The entry for a hand-off, at an instant in micros.

    Of push notifications and in-app messages the whole is in `body`, as JSON.
    """
    entry = InboxEntry(
        definition.key,
        hand_off.distinct_id,
        definition.channel,
        now,
        hand_off.to,
        hand_off.subject,
        hand_off.html,
        hand_off.text,
        hand_off.url,
        hand_off.body,
        hand_off.idempotency_key,
    )
    if (push := hand_off.push) is not None:
        to = names_of(hand_off.devices)
        return replace(entry, to=to, subject=push.title, text=push.body, url=push.deep_link, body=_json_of(push))
    if (found := hand_off.in_app) is not None:
        return replace(entry, subject=found.title, text=found.body, url=found.link, body=_json_of(found))
    return entry


def _json_of(found: RenderedPush | RenderedInApp) -> str:
    return json.dumps(_written(asdict(found)), ensure_ascii=False)


def _written(value: Any) -> Any:
    """A value without what was not written; a badge of 0 was: it takes the number away."""
    if isinstance(value, dict):
        found = {name: _written(one) for name, one in value.items()}
        return {name: one for name, one in found.items() if one or (name == "badge" and one is not None)}
    return [_written(one) for one in value] if isinstance(value, tuple) else value
