"""What a sandbox lays into its inbox in place of sending it."""

from __future__ import annotations

import json
from dataclasses import asdict

from core.messaging.definitions import MessageDefinition
from core.messaging.devices import names_of
from core.messaging.effects import InboxEntry
from core.messaging.render import HandOff
from core.render.results import RenderedPush


def inbox_entry(definition: MessageDefinition, hand_off: HandOff, now: int) -> InboxEntry:
    """The entry for a hand-off, at an instant in micros. Of a push notification the whole is in `body`, as JSON."""
    push = hand_off.push
    return InboxEntry(
        definition.key,
        hand_off.distinct_id,
        definition.channel,
        now,
        names_of(hand_off.devices) if push is not None else hand_off.to,
        hand_off.subject if push is None else push.title,
        hand_off.html,
        hand_off.text if push is None else push.body,
        hand_off.url if push is None else push.deep_link,
        hand_off.body if push is None else _json_of(push),
        hand_off.idempotency_key,
    )


def _json_of(push: RenderedPush) -> str:
    return json.dumps({name: value for name, value in asdict(push).items() if value}, ensure_ascii=False)
