"""Reads consent from a pinned version: of an address, of a user, and in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from core.messaging.address_index import PROPERTY_OF, AddressKind, address_key
from core.messaging.consent import opted_out
from core.messaging.consent_book import Topic
from core.messaging.links import Link
from core.messaging.suppressions import Place, Why
from core.messaging.work import View
from core.profiles.reading import find


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address is not sent to; `topic` "" is everything, `since` micros UTC."""

    why: Why
    topic: str
    since: int


@dataclass(frozen=True, slots=True)
class UserConsent:
    """What keeps a user from being sent to: the profile's own word, and by channel the address with what is known of it."""

    opted_out: bool
    addresses: list[tuple[AddressKind, str, list[Suppression]]]


def suppressions_of(view: View, channel: AddressKind, address: str) -> list[Suppression]:
    """Why an address is not sent to; empty where it is."""
    key = address_key(view.settings.uid, channel, address)
    return [
        Suppression(why, topic, since)
        for (of, why, topic), found in view.consent.suppressions.places()
        if of == channel and (since := found.since(key)) is not None
    ]


def suppression_counts(view: View) -> list[tuple[Place, int]]:
    """How many addresses are not sent to, by channel, why and topic."""
    return [(place, len(found)) for place, found in view.consent.suppressions.places()]


def consent_of(view: View, distinct_id: str) -> UserConsent:
    """All that keeps a user from being sent to.

    Raises:
        NotFound: USER_NOT_FOUND.
    """
    ordinal = find(view, distinct_id)
    addresses = []
    for channel, name in PROPERTY_OF.items():
        column = view.population.column(name)
        address = None if column is None else column.get(ordinal)
        if isinstance(address, str):
            addresses.append((channel, address, suppressions_of(view, channel, address)))
    return UserConsent(bool(opted_out(view.population, BitMap([ordinal]))), addresses)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the person of a link has chosen. `address` is shown to that person, "" where it is not known any more.

    `everything`: unsubscribed from everything. `topics`: each with whether it is unsubscribed from.
    """

    address: str
    everything: bool
    topics: list[tuple[Topic, bool]]


def preferences_of(view: View, link: Link) -> Preferences:
    """What the person whom a link was sent to has chosen."""
    suppressions = view.consent.suppressions
    stops = {
        topic: suppressions.at("email", "unsubscribed", topic).since(link.address) is not None
        for topic in ("", *(topic.key for topic in view.consent.topics()))
    }
    address = _address_of(view, link)
    out = bool(address and opted_out(view.population, BitMap([view.users.survivor(link.ordinal)])))
    return Preferences(address, stops[""] or out, [(one, stops[one.key]) for one in view.consent.topics()])


def _address_of(view: View, link: Link) -> str:
    column = view.population.column(PROPERTY_OF["email"])
    ordinal = view.users.survivor(link.ordinal)
    address = None if column is None or ordinal not in view.population.live else column.get(ordinal)
    is_same = isinstance(address, str) and address_key(view.settings.uid, "email", address) == link.address
    return str(address) if is_same else ""
