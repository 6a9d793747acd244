"""Equality with many constants at once: each value is looked up among them, instead of each constant among the values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from core.evaluator.ranges import Bounds, bounds_of
from core.evaluator.vector import (
    BOOL,
    DOUBLE,
    INT,
    MISSING,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Data,
    Tags,
    Vector,
)

if TYPE_CHECKING:
    from core.evaluator.space import Space

MANY: Final = 6
"""From more constants than this on, looking up is cheaper."""
_PLAIN: Final = np.zeros(256, bool)
_PLAIN[[MISSING, NULL, BOOL, INT, DOUBLE, STRING, TIMESTAMP, 254, 255]] = True
"""The tags of values (errors included) that equal only constants with bounds."""


class Wanted:
    """What a value must be to equal any of some constants, each given by its bounds for `==`."""

    def __init__(self, bounds: Iterable[Bounds]) -> None:
        cells: dict[int, set[int]] = {}
        doubles: set[float] = set()
        for bound in bounds:
            if bound.int_tag and bound.ints[0] <= bound.ints[1]:
                cells.setdefault(bound.int_tag, set()).add(bound.ints[0])
            if bound.double_tag and bound.doubles[0] <= bound.doubles[1]:
                doubles.add(bound.doubles[0])
        self._cells = {tag: np.array(sorted(values), np.int64) for tag, values in cells.items()}
        self._doubles = np.array(sorted(doubles), np.float64)

    def hits(self, tags: Tags, data: Data) -> NDArray[np.bool_]:
        """Which cells equal one of the constants."""
        found = np.zeros(len(tags), bool)
        for tag, values in self._cells.items():
            mine = tags == tag
            if bool(mine.any()):
                found |= mine if tag == NULL else mine & np.isin(data, values)
        if len(self._doubles):
            found |= (tags == DOUBLE) & np.isin(data.view(np.float64), self._doubles)
        return found


def among(space: Space, values: Vector, constants: Sequence[Vector]) -> NDArray[np.bool_] | None:
    """Which values equal one of the constants (a row each), or None where another way must be found."""
    if not bool(_PLAIN[values.tags].all()):
        return None
    texts: list[str] = []
    bounds: list[Bounds] = []
    for constant in constants:
        tag = constant.tag()
        if tag == STRING:
            texts.append(space.decode(constant)[0])
            continue
        cell = int(constant.data[0])
        known = float(constant.doubles[0]) if tag == DOUBLE else cell & 0xFFFF_FFFF_FFFF_FFFF if tag == UINT else cell
        bound = bounds_of("_==_", tag, known)
        if bound is not None:  # others have types that no value here has
            bounds.append(bound)
    found = Wanted(bounds).hits(values.tags, values.data)
    for heap, rows, codes in space.groups(values, STRING):
        places = [heap.find(text) for text in texts]
        if None in places:
            return None
        found[rows] = np.isin(codes, np.array(places, np.int64))
    return found
