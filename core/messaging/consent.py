"""Who is not to be sent to: unsubscribed from everything or from a topic, or suppressed, by normalised address.

What is known stands in `view.consent`, a part of the version. An unsubscription is a suppression whose reason is the
person's own word. A skip for any of it is final: who subscribes again gets what is sent from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.messaging.address_index import AddressKind, Keys, address_key, address_kind
from core.messaging.definitions import MessageDefinition
from core.messaging.rows import array_of
from core.messaging.suppressions import (
    WHYS,
    AddressesReleased,
    AddressesSuppressed,
    AddressSet,
    Suppressions,
    Why,
)
from core.messaging.work import View, Work
from core.values import ValueType

UNSUBSCRIBED: Final = "unsubscribed"
UNSUBSCRIBED_TOPIC: Final = "unsubscribed_topic"
SUPPRESSED: Final = "suppressed"

OPTED_OUT: Final = "$unsubscribed"
"""A profile property: set, and neither false nor "false", it keeps all email from the user."""


def refuse_unknown_topic(view: View, definition: MessageDefinition) -> None:
    """Refuse a message of a topic that there is not.

    Raises:
        NotFound: TOPIC_NOT_FOUND.
    """
    if definition.topic:
        view.consent.topic(definition.topic, "message.topic")


def blocked(view: View, definition: MessageDefinition, users: BitMap) -> list[tuple[str, BitMap]]:
    """Of some users, those whom a message must not be sent to, by reason.

    Returns:
        (reason, users): `unsubscribed`, `unsubscribed_topic:KEY` or `suppressed:WHY`; sets are disjoint. Empty for a
        channel without addresses.
    """
    channel = address_kind(definition.channel)
    if channel is None:
        return []
    found: list[tuple[str, BitMap]] = []
    if channel == "email":
        out = opted_out(view.population, users)
        if out:
            found.append((UNSUBSCRIBED, out))
            users = users - out
    sets = list(_asked(view.consent.suppressions, channel, definition.topic))
    if not sets or not users:
        return found
    ordinals = array_of(users)
    keys = view.consent.addresses[channel].keys(view.settings.uid, view.population, ordinals)
    for reason, suppressed in sets:
        hit = suppressed.inside(keys)
        if hit.any():
            found.append((reason, BitMap(ordinals[hit])))
            ordinals, keys = ordinals[~hit], keys[~hit]
    return found


def _asked(suppressions: Suppressions, channel: AddressKind, topic: str) -> Iterator[tuple[str, AddressSet]]:
    """The sets that have any address and keep a message of a topic from being sent, each with its reason."""
    for why in WHYS:
        for of in dict.fromkeys(("", topic)):
            found = suppressions.at(channel, why, of)
            if len(found):
                yield reason_of(why, of), found


def reason_of(why: Why, topic: str) -> str:
    """The reason of a skip: what a ledger says of an address that is suppressed, from everything where topic is ""."""
    if why == "unsubscribed":
        return f"{UNSUBSCRIBED_TOPIC}:{topic}" if topic else UNSUBSCRIBED
    return f"{SUPPRESSED}:{why}"


def opted_out(population: Population, users: BitMap) -> BitMap:
    """Of some users, those whose `$unsubscribed` is set and neither false nor "false"."""
    column = population.column(OPTED_OUT)
    if column is None:
        return BitMap()
    ordinals = array_of(users)
    tags, data = column.cells(ordinals)
    out = (tags != ValueType.ABSENT) & (tags != ValueType.NULL)
    out &= ~((tags == ValueType.BOOL) & (data == 0))
    out &= ~((tags == ValueType.STRING) & (data == column.strings.find("false")))
    return BitMap(ordinals[out])


def keys_of(view: View, channel: AddressKind, addresses: Sequence[str]) -> Keys:
    """The keys of addresses, uint64[n]."""
    uid = view.settings.uid
    return np.array([address_key(uid, channel, address) for address in addresses], np.uint64)


def suppress(work: Work, channel: AddressKind, address: str, why: Why, topic: str = "") -> bool:
    """Keep an address from being sent to, from now on.

    Arguments:
        topic: the key of a topic, "" for everything.

    Returns:
        Whether it was not kept so before.
    """
    return suppress_keys(work, channel, keys_of(work, channel, [address]), why, topic) > 0


def suppress_keys(work: Work, channel: AddressKind, keys: Keys, why: Why, topic: str = "") -> int:
    """Keep addresses, by key, from being sent to. Returns how many were not kept so before."""
    keys = np.unique(keys)
    new = keys[~work.consent.suppressions.at(channel, why, topic).inside(keys)]
    if len(new):
        work.do(AddressesSuppressed(channel, why, topic, new, work.now))
    return len(new)


def unsuppress(work: Work, channel: AddressKind, address: str, why: Why | None = None, topic: str = "") -> bool:
    """Let an address be sent to again, where nothing else keeps it from it.

    Arguments:
        why: the reason that no longer holds; None: whichever.

    Returns:
        Whether it was kept from being sent to.
    """
    return release_keys(work, channel, keys_of(work, channel, [address]), WHYS if why is None else (why,), topic) > 0


def release_keys(work: Work, channel: AddressKind, keys: Keys, whys: Iterable[Why], topic: str = "") -> int:
    """Let addresses, by key, be sent to again. Returns how many were kept from it."""
    found = np.zeros(0, np.uint64)
    for why in whys:
        present = work.consent.suppressions.at(channel, why, topic)
        kept = np.unique(keys[present.inside(keys)])
        if len(kept):
            work.do(AddressesReleased(channel, why, topic, kept))
            found = np.union1d(found, kept)
    return len(found)
