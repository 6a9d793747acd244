"""Rows of (user, instant) pairs, chosen by sets of users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

Ordinals = npt.NDArray[np.uint32]
Instants = npt.NDArray[np.int64]
Pairs = tuple[Ordinals, Instants]
_FEW: Final = 4096
"""Up to so many rows are looked up by sorting; more through a table of all ordinals."""


def array_of(users: BitMap) -> Ordinals:
    """Ordinals of a set, ascending, as uint32[n]."""
    return np.array(users.to_array(), np.uint32)


def inside(ordinals: Ordinals, users: BitMap) -> npt.NDArray[np.bool_]:
    """Of each row whether its user is in a set, as bool[n]."""
    if not users or not len(ordinals):
        return np.zeros(len(ordinals), bool)
    if len(ordinals) <= _FEW:
        return np.isin(ordinals, array_of(users & BitMap(ordinals)))
    table = np.zeros(max(int(ordinals.max()), users.max()) + 1, bool)
    table[array_of(users)] = True
    return table[ordinals]


def of_users(pairs: Pairs, users: BitMap) -> Pairs:
    """The rows of some users, in the order they have."""
    kept = inside(pairs[0], users)
    return pairs[0][kept], pairs[1][kept]


def by_value(ordinals: Ordinals, values: Instants) -> Iterator[tuple[int, BitMap]]:
    """The users of each value that rows have, ascending by value."""
    order = np.argsort(values, kind="stable")
    ordinals, values = ordinals[order], values[order]
    if not len(values):
        return
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    for first, part in zip(starts, np.split(ordinals, starts[1:]), strict=True):
        yield int(values[first]), BitMap(part)


def at_once(users: BitMap, instant: int) -> Pairs:
    """Users, ascending, all at one instant."""
    ordinals = array_of(users)
    return ordinals, np.full(len(ordinals), instant, np.int64)
