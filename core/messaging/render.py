"""From users of a message to rendered hand-offs: gathers the columns needed, renders in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.messaging.addresses import normalise_email
from core.messaging.compiled import ADDRESS_PROPERTY, Compiled
from core.messaging.definitions import MessageDefinition, WebhookSource
from core.messaging.effects import MISSING_EVENT, MISSING_PROPERTY, RENDER_FAILED, UNREACHABLE
from core.messaging.keys import idempotency_key
from core.messaging.work import View
from core.render.results import Missing, RenderedEmail, RenderedWebhook, RenderFailed, RenderRow
from core.values import Value


@dataclass(frozen=True, slots=True)
class HandOff:
    """A message ready for a provider. Fields that a channel has no use for are empty."""

    ordinal: int
    distinct_id: str
    idempotency_key: str
    to: str = ""
    subject: str = ""
    from_: str = ""
    reply_to: str = ""
    preheader: str = ""
    html: str = ""
    text: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a user's message could not be rendered: the reason for the ledger and a sentence for people."""

    ordinal: int
    reason: str
    detail: str


def render_users(
    view: View,
    definition: MessageDefinition,
    compiled: Compiled,
    ordinals: Sequence[int],
    examples: Mapping[int, dict[str, Value]] | None = None,
) -> list[HandOff | Obstacle]:
    """Render a message for users, in the order given.

    Arguments:
        examples: events to show, by ordinal, where none is kept as the cause.
    """
    names = set(compiled.reads)
    rows = view.population.profiles(np.array(ordinals, np.uint32), sorted(names))
    ids = view.users.names(np.array(ordinals, np.uint32))
    ledger = view.messages.ledger(definition.key)
    events = {ordinal: ledger.cause(ordinal) or (examples or {}).get(ordinal) for ordinal in ordinals}
    message: dict[str, Value] = {"id": definition.key, "key": definition.key, "title": definition.title}
    project: dict[str, Value] = {"id": view.settings.name, "name": view.settings.name}
    rendered = compiled.content.render_many(
        [
            RenderRow(user=user, event=events[ordinal], message=message, project=project, distinct_id=distinct_id)
            for ordinal, user, distinct_id in zip(ordinals, rows, ids, strict=True)
        ]
    )
    address = ADDRESS_PROPERTY.get(definition.channel)
    found: list[HandOff | Obstacle] = []
    for ordinal, user, distinct_id, result in zip(ordinals, rows, ids, rendered, strict=True):
        if isinstance(result, Missing):
            if result.source == "user":
                found.append(Obstacle(ordinal, f"{MISSING_PROPERTY}:{result.property}", f"no property {result.path!r}"))
            else:
                found.append(Obstacle(ordinal, MISSING_EVENT, f"no {result.source} {result.path!r}"))
        elif isinstance(result, RenderFailed):
            found.append(Obstacle(ordinal, f"{RENDER_FAILED}:{result.code}", result.message))
        else:
            found.append(
                _hand_off(view, definition, ordinal, distinct_id, user.get(address) if address else None, result)
            )
    return found


def _hand_off(
    view: View,
    definition: MessageDefinition,
    ordinal: int,
    distinct_id: str,
    address: Value,
    result: RenderedEmail | RenderedWebhook,
) -> HandOff | Obstacle:
    key = idempotency_key(view.settings.uid, definition.key, view.messages.ledger(definition.key).known_as(ordinal))
    if isinstance(result, RenderedWebhook):
        headers = dict(result.headers)
        return HandOff(ordinal, distinct_id, key, url=result.url, headers=headers, body=result.body)
    to = normalise_email(address) if isinstance(address, str) else None
    if to is None:
        return Obstacle(ordinal, UNREACHABLE, f"{address!r} is no address")
    return HandOff(
        ordinal,
        distinct_id,
        key,
        to=to,
        subject=result.subject,
        from_=result.from_,
        reply_to=result.reply_to or "",
        preheader=result.preheader or "",
        html=result.html or "",
        text=result.text or "",
    )


def offer_tag(view: View, definition: MessageDefinition) -> str:
    """What an offer rests on besides its users: while it stays the same, what was rendered may be sent."""
    return f"{definition.etag}.{view.settings.etag}"


def is_allowed(view: View, hand_off: HandOff) -> bool:
    """Whether a sandbox may really send this: its address, or its URL's beginning, is on the project's list."""
    target = hand_off.to or hand_off.url
    for allowed in view.settings.allowed_addresses:
        if target == allowed or target.lower() == allowed.lower():
            return True
        if hand_off.url and allowed.endswith("/") and hand_off.url.startswith(allowed):
            return True
    return False


def batch_size(definition: MessageDefinition) -> int:
    """Most users in one request of a webhook; 0: one request a user, or no webhook."""
    content = definition.content
    if not isinstance(content, WebhookSource) or content.body:
        return 0
    return content.batch_size or 500
