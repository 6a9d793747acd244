"""What the `ingest` benchmark sends, drawn from a seed: the client makes requests of it, the harness knows what must come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from muster.v1 import ingest_pb2
from numpy.typing import NDArray

from benchmarks.people import NOW, PLANS, PROJECT, id_of
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND

EVENT_NAMES: Final = ("Page view", "Search", "Add to cart", "Purchase", "Login")
CHANNELS: Final = ("web", "ios", "android", "email")
ITEMS: Final = 1_000
_RECENT_MICROS: Final = 2 * MICROS_PER_DAY
_EVENTS, _UPDATES = 100, 200  # streams of the seed, apart from those of the people


@dataclass(frozen=True, slots=True)
class Events:
    """n events of one round: who, which of `EVENT_NAMES`, when (micros), and properties."""

    ordinals: NDArray[np.int64]
    names: NDArray[np.int64]
    times: NDArray[np.int64]
    amounts: NDArray[np.float64]
    items: NDArray[np.int64]
    channels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Updates:
    """n profile updates of one round: who, the new plan (a place in `PLANS`), age and last visit (micros).

    What a user gets depends on the user and the round alone, so that requests in flight may be committed in any order.
    """

    ordinals: NDArray[np.int64]
    plans: NDArray[np.int64]
    ages: NDArray[np.int64]
    times: NDArray[np.int64]


def draw_events(seed: int, number: int, count: int, known: int) -> Events:
    """The events of a round, by users among the first `known`."""
    draw = np.random.default_rng([seed, _EVENTS, number])
    return Events(
        draw.integers(0, known, count),
        draw.integers(0, len(EVENT_NAMES), count),
        NOW - draw.integers(0, _RECENT_MICROS, count),
        np.round(draw.random(count) * 20_000) / 100,
        draw.integers(0, ITEMS, count),
        draw.integers(0, len(CHANNELS), count),
    )


def draw_updates(seed: int, number: int, count: int, known: int) -> Updates:
    """The updates of a round, of users among the first `known`."""
    ordinals = np.random.default_rng([seed, _UPDATES, number]).integers(0, known, count)
    mixed = ordinals * 7_919 + number * 104_729
    return Updates(
        ordinals,
        mixed % len(PLANS),
        16 + mixed % 64,
        NOW - mixed % (_RECENT_MICROS // MICROS_PER_SECOND) * MICROS_PER_SECOND,
    )


def event_requests(events: Events, number: int, batch: int) -> Iterator[bytes]:
    """Serialised TrackRequests of `batch` events each, five properties an event."""
    rows = zip(
        events.ordinals.tolist(),
        events.names.tolist(),
        events.times.tolist(),
        events.amounts.tolist(),
        events.items.tolist(),
        events.channels.tolist(),
        strict=True,
    )
    request = ingest_pb2.TrackRequest(project=PROJECT, request_id=f"events-{number}-0")
    for place, (ordinal, name, time, amount, item, channel) in enumerate(rows, 1):
        event = request.events.add(
            name=EVENT_NAMES[name], distinct_id=id_of(ordinal), insert_id=f"{number:04x}{place:012x}"
        )
        event.time.FromMicroseconds(time)
        event.properties["amount"].double_value = amount
        event.properties["item"].string_value = f"item-{item}"
        event.properties["quantity"].int_value = 1 + item % 5
        event.properties["channel"].string_value = CHANNELS[channel]
        event.properties["first"].bool_value = item % 7 == 0
        if len(request.events) == batch:
            yield request.SerializeToString()
            request = ingest_pb2.TrackRequest(project=PROJECT, request_id=f"events-{number}-{place}")
    if request.events:
        yield request.SerializeToString()


def update_requests(updates: Updates, number: int, batch: int) -> Iterator[bytes]:
    """Serialised UpdateProfilesRequests of `batch` updates each: `set` of three properties that every profile has."""
    rows = zip(
        updates.ordinals.tolist(), updates.plans.tolist(), updates.ages.tolist(), updates.times.tolist(), strict=True
    )
    request = ingest_pb2.UpdateProfilesRequest(project=PROJECT, request_id=f"updates-{number}-0")
    for place, (ordinal, plan, age, time) in enumerate(rows, 1):
        properties = request.updates.add(distinct_id=id_of(ordinal)).set.properties
        properties["plan"].string_value = PLANS[plan]
        properties["age"].int_value = age
        properties["last_seen"].time_value.FromMicroseconds(time)
        if len(request.updates) == batch:
            yield request.SerializeToString()
            request = ingest_pb2.UpdateProfilesRequest(project=PROJECT, request_id=f"updates-{number}-{place}")
    if request.updates:
        yield request.SerializeToString()
