"""What the people of the benchmarks did in 90 days: events drawn from a seed, a day at a time, the same for every system.

Five names in shares of a shop; who does something is Zipf-distributed with exponent 1/2, so that the busiest of ten
million people does some hundred times what the median one does. Times are on whole seconds, arrivals some
microseconds to two seconds later, amounts in whole cents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.people import NOW
from core.bitmaps.population import Population
from core.values import MICROS_PER_DAY, MICROS_PER_SECOND, ValueType

FORMAT: Final = 1
"""Counts changes of what is drawn; part of the cached corpora's key."""

DAYS: Final = 90
SHARES: Final = {"Page view": 0.55, "Search": 0.15, "Add to cart": 0.12, "Login": 0.10, "Purchase": 0.08}
PATHS: Final = tuple(f"/page/{number}" for number in range(200))
CHANNELS: Final = ("web", "ios", "android", "email")
ITEMS: Final = tuple(f"item-{number}" for number in range(1_000))
_MIXING: Final = 2_654_435_761  # a prime that spreads the busiest people over all ordinals
_LATE_MICROS: Final = 2 * MICROS_PER_SECOND
_DRAW: Final = 300  # streams of the seed, apart from those of the people and of ingestion
_SLICE_EVENTS: Final = 10_000_000

Slice = list[tuple[str, int]]
"""Names and days whose events are loaded before they are written."""

Column = tuple[ValueType, NDArray[np.generic], tuple[str, ...]]
"""A property of n events: values, for strings their places among the texts."""


@dataclass(frozen=True, slots=True)
class Day:
    """n events of one name on one day, in no particular order.

    Arguments:
        ordinals: uint32[n]; times, arrivals: int64[n], micros UTC; identities: uint64[n].
        properties: columns by name.
    """

    name: str
    ordinals: NDArray[np.uint32]
    times: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    identities: NDArray[np.uint64]
    properties: dict[str, Column]


@dataclass(frozen=True, slots=True)
class History:
    """The events of `people` people in the 90 days before the corpus' present."""

    events: int
    people: int
    seed: int

    def days(self, name: str) -> Iterator[Day]:
        """The events of a name, day by day."""
        for day in range(DAYS):
            yield self.day(name, day)

    def day(self, name: str, day: int) -> Day:
        """The events of a name on a day, counted from the first."""
        return self._day(name, list(SHARES).index(name), day)

    def slices(self, most: int = _SLICE_EVENTS) -> list[Slice]:
        """All names and days, in slices of some `most` events, and of one day at the least."""
        found: list[Slice] = []
        held = float(most)
        for name, share in SHARES.items():
            for day in range(DAYS):
                if held >= most:
                    found.append([])
                    held = 0
                found[-1].append((name, day))
                held += self.events * share / DAYS
        return found

    def digest(self) -> str:
        """Equal for equal histories: what a cached corpus is checked by."""
        digest = hashlib.blake2b(digest_size=16)
        for place, name in enumerate(SHARES):
            drawn = self._day(name, place, DAYS - 1)
            for column in (drawn.ordinals, drawn.times, drawn.arrivals, drawn.identities):
                digest.update(column.tobytes())
            for _, values, _ in drawn.properties.values():
                digest.update(values.tobytes())
        return digest.hexdigest()

    def _day(self, name: str, place: int, day: int) -> Day:
        draw = np.random.default_rng([self.seed, _DRAW, place, day])
        until = [round(self.events * SHARES[name] * part / DAYS) for part in (day, day + 1)]
        count = until[1] - until[0]
        rank = np.minimum((draw.random(count) ** 2 * self.people).astype(np.int64), self.people - 1)
        mixing = _MIXING if gcd(_MIXING, self.people) == 1 else 1
        first = NOW - (DAYS - day) * MICROS_PER_DAY
        times = first + draw.integers(0, MICROS_PER_DAY // MICROS_PER_SECOND, count) * MICROS_PER_SECOND
        return Day(
            name,
            (rank * mixing % self.people).astype(np.uint32),
            times,
            times + draw.integers(1, _LATE_MICROS, count),
            draw.integers(0, 2**64 - 1, count, np.uint64, endpoint=True),
            _properties(name, draw, count),
        )


def _properties(name: str, draw: np.random.Generator, count: int) -> dict[str, Column]:
    def one_of(texts: tuple[str, ...]) -> Column:
        return ValueType.STRING, draw.integers(0, len(texts), count), texts

    def cents() -> Column:
        return ValueType.DOUBLE, np.round(draw.lognormal(3.5, 0.9, count) * 100) / 100, ()

    found = {"channel": one_of(CHANNELS)}
    if name == "Page view":
        found["path"] = one_of(PATHS)
    elif name == "Search":
        found["results"] = ValueType.INT, draw.integers(0, 500, count), ()
    elif name == "Add to cart":
        found |= {"item": one_of(ITEMS), "amount": cents()}
    elif name == "Purchase":
        quantity: Column = (ValueType.INT, draw.integers(1, 6, count), ())
        found |= {"item": one_of(ITEMS), "amount": cents(), "quantity": quantity}
    return found


def load(history: History, part: Slice, population: Population) -> None:
    """Put a slice's events into a population through the columns of `EventTable.append`. Writer only."""
    for name, number in part:
        table = population.writable_events(name)
        day = history.day(name, number)
        rows = np.arange(len(day.ordinals))
        cells = {}
        for item, (kind, values, texts) in day.properties.items():
            if kind == ValueType.STRING:
                values = table.dictionaries(item)[0].intern_many(list(texts)).astype(np.int64)[values]
            data = values.view(np.int64) if kind == ValueType.DOUBLE else values.astype(np.int64)
            cells[item] = (rows, np.full(len(rows), kind, np.uint8), data)
        table.append(day.ordinals, day.times, day.arrivals, day.identities, None, cells)
