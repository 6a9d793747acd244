"""From users of a message to rendered hand-offs: gathers the columns needed, renders in bulk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.messaging.addresses import OF_USER, normalise_email, normalise_phone, read_url
from core.messaging.compiled import ADDRESS_PROPERTIES, Compiled
from core.messaging.definitions import ChannelName, MessageDefinition, WebhookSource, of_variant
from core.messaging.devices import Device, devices_of
from core.messaging.dividing import by_variant
from core.messaging.effects import MISSING_DATA, MISSING_EVENT, MISSING_PROPERTY, RENDER_FAILED, UNREACHABLE
from core.messaging.keys import TEST, idempotency_key
from core.messaging.ledger import Ledger
from core.messaging.link_places import has_marks
from core.messaging.linking import LINKS_OFF, Linking
from core.messaging.utm import Pairs, in_html, in_text
from core.messaging.work import View
from core.render import RenderBatch
from core.render.locales import LOCALE
from core.render.results import (
    Missing,
    Rendered,
    RenderedInApp,
    RenderedPush,
    RenderedSms,
    RenderedWebhook,
    RenderFailed,
)
from core.render.sms_length import SmsLength
from core.values import ABSENT, Value, pack

_BASIS_BYTES: Final = 16
_NORMALISE: Final[dict[ChannelName, Callable[[str], str | None]]] = {"email": normalise_email, "sms": normalise_phone}
"""An address in its one spelling, on the channels whose users have one; None for what is none."""


@dataclass(frozen=True, slots=True)
class HandOff:
    """A message ready for a provider. Fields that a channel has no use for are empty.

    `attempt` is the number of the hand-off's attempt, from 1 on; `basis` stands for all that it was rendered from.
    """

    ordinal: int
    distinct_id: str
    idempotency_key: str
    attempt: int
    basis: bytes
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
    sms: SmsLength | None = None
    push: RenderedPush | None = None
    devices: tuple[Device, ...] = ()
    unsubscribe_url: str = ""
    in_app: RenderedInApp | None = None

    @property
    def characters(self) -> int:
        """Of all its texts together."""
        texts = [self.subject, self.preheader, self.html, self.text, self.url, self.body]
        texts += [device.token for device in self.devices] + (self.push.texts if self.push is not None else [])
        return sum(map(len, texts)) + sum(len(name) + len(value) for name, value in self.headers.items())


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a user's message could not be rendered: the reason for the ledger and a sentence for people."""

    ordinal: int
    reason: str
    detail: str
    basis: bytes


def render_users(
    view: View,
    definition: MessageDefinition,
    compiled: Compiled,
    ordinals: Sequence[int],
    examples: Mapping[int, dict[str, Value]] | None = None,
    *,
    occurrence: int,
    preview: bool = False,
    locale: str = "",
) -> list[HandOff | Obstacle]:
    """Render an occurrence of a message for users, in the order given.

    Arguments:
        examples: events to show, or data of a call, by ordinal, where none is kept.
        preview: make links that change nothing.
        locale: what every `$locale` is taken to be; "": as it is.
    """
    if definition.variants:
        made: dict[int, HandOff | Obstacle] = {}
        for variant, part_of_it in by_variant(view, definition, occurrence, BitMap(ordinals)):
            shown, users = of_variant(definition, variant), list(part_of_it)
            results = render_users(
                view,
                shown,
                compiled.of(variant),
                users,
                examples,
                occurrence=occurrence,
                preview=preview,
                locale=locale,
            )
            made.update(zip(users, results, strict=True))
        return [made[ordinal] for ordinal in ordinals]
    linking = Linking(view.settings, definition, occurrence, preview=preview)
    utm = definition.utm.pairs(definition.key) if definition.utm is not None else ()
    columns = _read(view, compiled, ordinals)
    if locale:
        columns[LOCALE] = [locale] * len(ordinals)
    ledger = view.messages.ledger(definition.key, occurrence)
    bases = _bases(view, definition, ledger, ordinals, columns)
    ids = view.users.names(np.array(ordinals, np.uint32))
    given = [ledger.cause(ordinal) or (examples or {}).get(ordinal) for ordinal in ordinals]
    rendered = compiled.content.render_batch(
        RenderBatch(
            distinct_ids=ids,
            user=columns,
            events=given if definition.key.endswith(TEST) or not definition.on_send else None,
            message={"id": definition.key, "key": definition.key, "title": definition.title},
            project={"id": view.settings.name, "name": view.settings.name},
            data=given if definition.on_send else None,
        )
    )
    found: list[HandOff | Obstacle] = []
    for place, (ordinal, distinct_id, basis, result) in enumerate(zip(ordinals, ids, bases, rendered, strict=True)):
        if isinstance(result, Missing):
            of_user = result.source == "user"
            reason = {"user": f"{MISSING_PROPERTY}:{result.property}", "data": MISSING_DATA}.get(
                result.source, MISSING_EVENT
            )
            detail = f"no property {result.path!r}" if of_user else f"no {result.source} {result.path!r}"
            found.append(Obstacle(ordinal, reason, detail, basis))
        elif isinstance(result, RenderFailed):
            found.append(Obstacle(ordinal, f"{RENDER_FAILED}:{result.code}", result.message, basis))
        else:
            hand_off = HandOff(
                ordinal,
                distinct_id,
                idempotency_key(view.settings.uid, definition.key, ledger.known_as(ordinal), occurrence),
                ledger.attempt(ordinal),
                basis,
            )
            user = {name: columns[name][place] for name in ADDRESS_PROPERTIES[definition.channel]}
            found.append(_linked(view, linking, utm, ledger, _filled(hand_off, definition.channel, user, result)))
    return found


def _linked(view: View, linking: Linking, utm: Pairs, ledger: Ledger, result: HandOff | Obstacle) -> HandOff | Obstacle:
    """An email with its links and their parameters; anything else as it is."""
    if isinstance(result, Obstacle):
        return result
    if utm:
        own = view.settings.links.base_url
        result = replace(result, html=in_html(result.html, utm, own), text=in_text(result.text, utm, own))
    if linking.is_on:
        made = linking.email(result.to, result.html, result.text, ledger.known_as(result.ordinal))
        return replace(result, html=made.html, text=made.text, unsubscribe_url=made.unsubscribe_url)
    if result.subject and (has_marks(result.html) or has_marks(result.text)):
        detail = "the text has a mark for a link, and the project has no links"
        return Obstacle(result.ordinal, f"{RENDER_FAILED}:{LINKS_OFF}", detail, result.basis)
    return result


def _filled(bare: HandOff, channel: ChannelName, user: Mapping[str, Value], result: Rendered) -> HandOff | Obstacle:
    """A hand-off with what was rendered for it, to the user's addresses on the channel."""
    if isinstance(result, RenderedWebhook):
        return replace(bare, url=result.url, headers=dict(result.headers), body=result.body)
    if isinstance(result, RenderedInApp):
        return replace(bare, in_app=result)
    if isinstance(result, RenderedPush):
        devices = devices_of(user)
        if not devices:
            return Obstacle(bare.ordinal, UNREACHABLE, "none of the device tokens is one", bare.basis)
        return replace(bare, push=result, devices=devices)
    address = user.get(ADDRESS_PROPERTIES[channel][0])
    to = _NORMALISE[channel](address) if isinstance(address, str) else None
    if to is None:
        return Obstacle(bare.ordinal, UNREACHABLE, f"{address!r} is no address", bare.basis)
    if isinstance(result, RenderedSms):
        return replace(bare, to=to, from_=result.from_, text=result.text, sms=result.length)
    return replace(
        bare,
        to=to,
        subject=result.subject,
        from_=result.from_,
        reply_to=result.reply_to or "",
        preheader=result.preheader or "",
        html=result.html or "",
        text=result.text or "",
    )


def _read(view: View, compiled: Compiled, ordinals: Sequence[int]) -> dict[str, list[Value]]:
    """What rendering reads of the users' profiles, the address included: by property, one value a user."""
    users = np.array(ordinals, np.uint32)
    columns = {name: view.population.column(name) for name in sorted(compiled.reads)}
    return {
        name: [None] * len(users) if column is None else [None if v is ABSENT else v for v in column.gather(users)]
        for name, column in columns.items()
    }


def _bases(
    view: View,
    definition: MessageDefinition,
    ledger: Ledger,
    ordinals: Sequence[int],
    columns: Mapping[str, Sequence[Value]],
) -> list[bytes]:
    """What stands for all that each user's message is rendered from.

    That is the message and the settings, the name and the number of the hand-off, and what is read of the profile.
    The event that caused a match is kept as long as the hand-off's name is.
    """
    common = hashlib.blake2b(f"{definition.etag}.{view.settings.etag}".encode(), digest_size=_BASIS_BYTES)
    found = []
    rows = zip(*columns.values(), strict=True) if columns else ((),) * len(ordinals)
    for ordinal, row in zip(ordinals, rows, strict=True):
        basis = common.copy()
        basis.update(pack([ledger.known_as(ordinal), ledger.attempt(ordinal), *row]))
        found.append(basis.digest())
    return found


def unchanged(
    view: View,
    definition: MessageDefinition,
    compiled: Compiled,
    users: BitMap,
    bases: Mapping[int, bytes],
    *,
    occurrence: int,
) -> BitMap:
    """Of the users given, those who would be rendered now as they were when `bases` were made; who has none counts."""
    compared = [ordinal for ordinal in users if ordinal in bases]
    if not compared:
        return users
    if definition.variants:
        return BitMap.union(
            *(
                unchanged(view, of_variant(definition, one), compiled.of(one), of_it, bases, occurrence=occurrence)
                for one, of_it in by_variant(view, definition, occurrence, users)
            )
        )
    ledger = view.messages.ledger(definition.key, occurrence)
    present = _bases(view, definition, ledger, compared, _read(view, compiled, compared))
    return users - BitMap([o for o, basis in zip(compared, present, strict=True) if basis != bases[o]])


def is_allowed(view: View, hand_off: HandOff) -> bool:
    """Whether a sandbox may really send this: its user or address is on the project's list, or its URL is or lies below
    one."""
    allowed = view.settings.allowed_addresses
    if f"{OF_USER}{hand_off.distinct_id}" in allowed:
        return True
    if hand_off.to:
        return hand_off.to.lower() in map(str.lower, allowed)
    target = read_url(hand_off.url)
    return target is not None and any(url.allows(target) for url in map(read_url, allowed) if url is not None)


def batch_size(definition: MessageDefinition) -> int:
    """Most users in one request of a webhook; 0: one request a user, or no webhook."""
    content = definition.content
    if not isinstance(content, WebhookSource) or content.body:
        return 0
    return content.batch_size or 500
