"""Conjunctions of 1 to 20 predicates of a wanted selectivity, each written once for Muster (CEL) and once for polars.

A conjunction is made of broad predicates, of all kinds in turn, each of which leaves at least the share that it may take,
and of a dial: a bound on `ltv` that brings all of them together to the selectivity asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.people import NOW, PLANS
from core.values import MICROS_PER_SECOND

SCORES: Final = 10_000
"""`score` is one of so many numbers; one in twelve people has none."""
_SCORED: Final = 11 / 12
_UNSUBSCRIBED: Final = 0.12
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Predicate:
    """The same question in both languages."""

    cel: str
    polars: pl.Expr

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(f"{self.cel} && {other.cel}", self.polars & other.polars)

    def __or__(self, other: Predicate) -> Predicate:
        return Predicate(f"({self.cel} || {other.cel})", self.polars | other.polars)

    def __invert__(self) -> Predicate:
        return Predicate(f"!({self.cel})", ~self.polars)


class Shares:
    """Where the columns' values lie, from a sample of rows: what bounds are chosen by.

    Arguments:
        frame: the people; null where a property is absent.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        sample = frame.head(200_000)
        self._sorted: dict[str, NDArray[np.int64]] = {
            name: np.sort(sample[name].cast(pl.Int64).to_numpy()) for name in ("age", "last_seen")
        }
        counted = sample["country"].value_counts(sort=True)
        self.countries: list[str] = counted["country"].cast(pl.String).to_list()
        self.country_shares: NDArray[np.float64] = counted["count"].to_numpy() / len(sample)

    def quantile(self, column: str, share: float) -> int:
        """The value below which about this share of the people lies."""
        values = self._sorted[column]
        return int(values[min(max(int(share * len(values)), 0), len(values) - 1)])


def seen_before(shares: Shares, share: float) -> Predicate:
    """A timestamp below a bound relative to `now`."""
    seconds = (NOW - shares.quantile("last_seen", share)) // MICROS_PER_SECOND
    bound = NOW - seconds * MICROS_PER_SECOND
    return Predicate(
        f'user.last_seen <= now - duration("{seconds}s")',
        pl.col("last_seen") <= pl.lit(bound).cast(pl.Datetime("us")),
    )


def from_age(shares: Shares, share: float) -> Predicate:
    """An int from a bound on."""
    least = shares.quantile("age", 1 - share)
    return Predicate(f"user.age >= {least}", pl.col("age") >= least)


def in_countries(shares: Shares, share: float) -> Predicate:
    """A string among some: the most frequent ones; for more than half, none of at most `_LISTED` frequent ones that fit."""
    if share <= 0.5:
        upto = np.cumsum(shares.country_shares)
        return _among(shares.countries[: int(np.searchsorted(upto, share)) + 1])
    left = 1 - share
    without: list[str] = []
    for name, part in zip(shares.countries, shares.country_shares.tolist(), strict=True):
        if part <= left and len(without) < _LISTED:
            left -= part
            without.append(name)
    return ~_among(without or shares.countries[-1:])


def _among(countries: Sequence[str]) -> Predicate:
    listed = ", ".join(f'"{one}"' for one in countries)
    return Predicate(f"user.country in [{listed}]", pl.col("country").is_in(list(countries)))


def subscribed(shares: Shares, share: float) -> Predicate:
    """A flag; for a larger share than it leaves, or older than a bound."""
    flag = Predicate("!user.unsubscribed", ~pl.col("unsubscribed"))
    missing = max(0.0, (share - (1 - _UNSUBSCRIBED)) / _UNSUBSCRIBED)
    return flag | from_age(shares, missing) if missing else flag


def has_score(shares: Shares, share: float) -> Predicate:
    """Presence; for a larger share than it leaves, or not seen since a bound."""
    present = Predicate("has(user.score)", pl.col("score").is_not_null())
    missing = max(0.0, (share - _SCORED) / (1 - _SCORED))
    return present | seen_before(shares, missing) if missing else present


def on_plan(shares: Shares, share: float) -> Predicate:
    """A string equal to one, or different from one, or equal or seen before a bound."""
    first, last = PLANS[0], PLANS[-1]
    equal = Predicate(f'user.plan == "{first}"', pl.col("plan") == first)
    if share <= 0.69:
        return equal
    if share <= 0.96:
        return Predicate(f'user.plan != "{last}"', pl.col("plan") != last)
    return equal | seen_before(shares, min(1.0, (share - 0.7) / 0.3 + 0.005))


def score_below(shares: Shares, share: float) -> Predicate:
    """An int that not everybody has, below a bound; for a larger share than that leaves, or absent."""
    if share <= _SCORED * 0.99:
        most = min(SCORES, int(np.ceil(share / _SCORED * SCORES * 1.005)) + 1)
        return Predicate(f"user.score < {most}", pl.col("score") < most)
    most = min(SCORES, int(np.ceil((share - (1 - _SCORED)) / _SCORED * SCORES * 1.005)) + 1)
    absent = ~Predicate("has(user.score)", pl.col("score").is_not_null())
    return absent | Predicate(f"user.score < {most}", pl.col("score") < most)


def from_first_country_or_age(shares: Shares, share: float) -> Predicate:
    """Two types, either of which is enough."""
    first = float(shares.country_shares[0])
    name = shares.countries[0]
    here = Predicate(f'user.country == "{name}"', pl.col("country") == name)
    return here | from_age(shares, min(1.0, max(0.0, (share - first) / (1 - first) + 0.01)))


def not_young_on_last_plan(shares: Shares, share: float) -> Predicate:
    """Not both of two types; for a smaller share the negation of one of them."""
    last, last_share = PLANS[-1], 0.031
    young = _below_age(shares, min(1.0, (1 - share) / last_share) if share > 1 - last_share else 1 - share)
    if share <= 1 - last_share:
        return ~young
    return ~(Predicate(f'user.plan == "{last}"', pl.col("plan") == last) & young)


def _below_age(shares: Shares, share: float) -> Predicate:
    """At most this share of the people, by age."""
    bound = shares.quantile("age", share)
    return Predicate(f"user.age < {bound}", pl.col("age") < bound)


KINDS: Final[dict[str, Callable[[Shares, float], Predicate]]] = {
    "timestamp range": seen_before,
    "in": in_countries,
    "int range": from_age,
    "flag": subscribed,
    "presence": has_score,
    "equality": on_plan,
    "sparse int range": score_below,
    "or": from_first_country_or_age,
    "not": not_young_on_last_plan,
}
"""The broad predicates by kind. Each takes the share that it must leave at least (bounds are where a sample has them)."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A conjunction whose last part is a bound on `ltv`.

    Arguments:
        broad: all but the dial, None where the dial is alone.
        cents: who matches has more than that.
        matched: how many that is.
    """

    broad: Predicate | None
    cents: int
    matched: int

    def asked(self, number: int) -> Predicate:
        """As round `number` asks it: a bound of its own, between the same two cents."""
        bound = f"{self.cents // 100}.{self.cents % 100:02d}{number:04d}"
        dial = Predicate(f"user.ltv > {bound}", pl.col("ltv") > float(bound))
        return dial if self.broad is None else self.broad & dial


def conjunction(frame: pl.DataFrame, shares: Shares, count: int, selectivity: float) -> Dialled:
    """So many predicates that about this share of the people matches together.

    What the dial cannot bring about (a share larger than the broad ones leave, of few people) is as near as it gets.
    """
    each = selectivity ** (1 / count)
    broad: Predicate | None = None
    for kind, place in zip(_in_turn(), range(count - 1), strict=False):
        # Kinds that come again ask for a little more, so that no two predicates are the same.
        one = KINDS[kind](shares, min(0.9999, each + (1 - each) * 0.1 * (place // len(KINDS))))
        broad = one if broad is None else broad & one
    left = frame if broad is None else frame.filter(broad.polars)
    values = np.sort(left["ltv"].to_numpy())[::-1]
    wanted = min(max(1, round(selectivity * len(frame))), len(values))
    cents = max(0, round(float(values[wanted - 1]) * 100) - 1) if wanted else 0
    return Dialled(broad, cents, int(np.count_nonzero(values > (cents + 0.5) / 100)))


def _in_turn() -> Iterator[str]:
    while True:
        yield from KINDS
