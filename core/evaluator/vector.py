"""Vectors of CEL values: a tag and eight bytes per row.

The set evaluator computes every subexpression for many rows at once (users of a block, or the elements of their
lists). A vector holds, per row, a tag (the value's type, or the kind of its error) and an int64:

    bool 0 or 1; int; uint (its bits); double (its bits); timestamp (microseconds since the epoch, UTC);
    duration (microseconds); string, bytes, list, map: a reference, see `core.evaluator.heaps`.

Tags up to MAP are those of `core.values.ValueType`, so that a column's tags are used as they are: an absent value *is*
the error of a missing property. A constant says of itself that it is one: its one row stands for any number of rows. A
vector that happens to have one row is no constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.values import ValueType

Tags = NDArray[np.uint8]
Data = NDArray[np.int64]
Index = NDArray[np.int64]

MISSING: Final = int(ValueType.ABSENT)
NULL: Final = int(ValueType.NULL)
BOOL: Final = int(ValueType.BOOL)
INT: Final = int(ValueType.INT)
DOUBLE: Final = int(ValueType.DOUBLE)
STRING: Final = int(ValueType.STRING)
TIMESTAMP: Final = int(ValueType.TIMESTAMP)
LIST: Final = int(ValueType.LIST)
MAP: Final = int(ValueType.MAP)
UINT: Final = 9
DURATION: Final = 10
BYTES: Final = 11
TYPE: Final = 12
"""A CEL type as a value (`type(x)`), a reference like a string."""

WRONG_TYPE: Final = 254
OTHER_ERROR: Final = 255

REFERENCES: Final = np.zeros(256, bool)
"""Indexed by tag: is the datum a reference into a heap?"""
REFERENCES[[STRING, LIST, MAP, BYTES, TYPE]] = True


@dataclass(frozen=True, slots=True)
class Vector:
    """Values of some rows: `tags` uint8[n] and `data` int64[n].

    A `constant` has n = 1 and stands for any number of rows. numpy broadcasts it by itself, since any other vector
    beside it has the frame's rows.
    """

    tags: Tags
    data: Data
    constant: bool = False

    def __len__(self) -> int:
        return len(self.tags)

    def take(self, index: Index) -> Vector:
        """The rows of `index`; a constant stays as it is."""
        if self.constant:
            return self
        return Vector(self.tags[index], self.data[index])

    def spread(self, size: int) -> Vector:
        """The same with `size` rows of its own, so that it can be indexed by row.

        Raises:
            ValueError: where it is no constant and has another number of rows: a mistake of the evaluator's own.
        """
        if self.constant:
            return Vector(np.repeat(self.tags, size), np.repeat(self.data, size))
        if len(self.tags) != size:
            raise ValueError(f"{len(self.tags)} rows where {size} are needed")
        return self

    def for_all(self) -> Vector:
        """A vector of one row as a constant.

        Raises:
            ValueError: where it has not one row: a mistake of the evaluator's own.
        """
        if len(self.tags) != 1:
            raise ValueError(f"{len(self.tags)} rows where one is needed")
        return self if self.constant else Vector(self.tags, self.data, constant=True)

    @property
    def doubles(self) -> NDArray[np.float64]:
        """The data read as doubles; meaningful where the tag is DOUBLE."""
        return self.data.view(np.float64)

    def tag(self) -> int:
        """The one tag that every row has, or -1 where they differ or there is no row."""
        tags = self.tags
        if not len(tags):
            return -1
        first = int(tags[0])
        return first if len(tags) == 1 or bool((tags == first).all()) else -1


def distinct(values: Index) -> Index:
    """Each value once, ascending; many times faster than np.unique, which hashes, where most values differ."""
    ordered: Index = np.sort(values)
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


def is_error(tags: Tags) -> NDArray[np.bool_]:
    """Which tags stand for an error (missing, wrong type, other)."""
    flags: NDArray[np.bool_] = (tags - np.uint8(1)) >= np.uint8(WRONG_TYPE - 1)
    return flags


def errors(size: int, tag: int) -> Vector:
    """`size` rows of one kind of error."""
    return Vector(np.full(size, tag, np.uint8), np.zeros(size, np.int64))


def of_bools(flags: NDArray[np.bool_]) -> Vector:
    """A vector of bools."""
    return Vector(np.full(len(flags), BOOL, np.uint8), flags.astype(np.int64))


def of_ints(values: Data) -> Vector:
    """A vector of ints."""
    return Vector(np.full(len(values), INT, np.uint8), values)


def of_doubles(values: NDArray[np.float64]) -> Vector:
    """A vector of doubles."""
    return Vector(np.full(len(values), DOUBLE, np.uint8), np.ascontiguousarray(values).view(np.int64))


def truths(vector: Vector) -> NDArray[np.bool_]:
    """The rows that are the bool true."""
    flags: NDArray[np.bool_] = (vector.tags == BOOL) & (vector.data == 1)
    return flags


def falsehoods(vector: Vector) -> NDArray[np.bool_]:
    """The rows that are the bool false."""
    flags: NDArray[np.bool_] = (vector.tags == BOOL) & (vector.data == 0)
    return flags


def condition_errors(vector: Vector) -> Tags:
    """The tags of a condition's rows as errors: what is neither error nor bool is a wrong type; bools give 1."""
    tags = np.where(is_error(vector.tags), vector.tags, np.uint8(WRONG_TYPE))
    tags[vector.tags == BOOL] = 1
    return tags


class Builder:
    """A vector filled piece by piece, each piece giving the values of some rows; untouched rows are OTHER_ERROR."""

    def __init__(self, size: int) -> None:
        self.tags = np.full(size, OTHER_ERROR, np.uint8)
        self.data = np.zeros(size, np.int64)

    def put(self, rows: Index, values: Vector) -> None:
        """Set `rows` (positions) to `values`, a constant or one per row."""
        if not values.constant and len(values) != len(rows):
            raise ValueError(f"{len(values)} values for {len(rows)} rows")
        self.tags[rows] = values.tags
        self.data[rows] = values.data

    def fail(self, rows: Index | NDArray[np.bool_] | slice, tags: Tags) -> None:
        """Set `rows` to errors, one tag per row."""
        self.tags[rows] = tags
        self.data[rows] = 0

    def done(self) -> Vector:
        """The vector."""
        return Vector(self.tags, self.data)
