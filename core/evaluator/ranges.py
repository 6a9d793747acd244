"""From a comparison with a constant to the closed ranges that a column scan looks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from core.bitmaps.blocks import BlockTest
from core.evaluator.vector import BOOL, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT
from core.values import INT_MAX, INT_MIN

EQUALITIES: Final = ("_==_", "_!=_")
COMPARISONS: Final = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
MIRRORED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_NONE: Final = (1, 0)
_NO_DOUBLE: Final = (math.inf, -math.inf)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is true of a comparison: values of `int_tag` in the closed int range, doubles in the closed double range.

    With `negate` it is what is false. Other present types are false (`others_false`) or in error.
    """

    int_tag: int
    ints: tuple[int, int]
    double_tag: int
    doubles: tuple[float, float]
    others_false: bool
    negate: bool

    def test(self) -> BlockTest:
        """The same for the kernel."""
        return BlockTest(
            int_tag=self.int_tag,
            int_least=self.ints[0],
            int_greatest=self.ints[1],
            double_tag=self.double_tag,
            double_least=self.doubles[0],
            double_greatest=self.doubles[1],
            others_false=self.others_false,
            negate=self.negate,
        )


def bounds_of(function: str, tag: int, value: Any) -> Bounds | None:
    """The ranges of `property <function> constant`, or None where a scan cannot tell.

    Arguments:
        function: one of `COMPARISONS`.
        tag: the constant's tag.
        value: int for BOOL, INT, UINT, TIMESTAMP (micros) and STRING (its code in the column, -1 for none), float for
            DOUBLE; ignored for NULL.
    """
    equality = function in EQUALITIES
    negate = function == "_!=_"
    wanted = "_==_" if negate else function
    if tag == NULL:
        return Bounds(NULL, (INT_MIN, INT_MAX), 0, _NO_DOUBLE, True, negate) if equality else None
    if tag == STRING:
        ints = (value, value) if value >= 0 else _NONE
        return Bounds(STRING, ints, 0, _NO_DOUBLE, True, negate) if equality else None
    if tag in (BOOL, TIMESTAMP):
        return Bounds(tag, _int_range(wanted, value), 0, _NO_DOUBLE, equality, negate)
    if tag in (INT, UINT, DOUBLE):
        return Bounds(INT, _int_range(wanted, value), DOUBLE, _double_range(wanted, value), equality, negate)
    if tag == DURATION and equality:
        return Bounds(0, _NONE, 0, _NO_DOUBLE, True, negate)  # no property holds a duration
    return None


def _int_range(function: str, value: float) -> tuple[int, int]:
    """The ints x with `x <function> value`."""
    if math.isnan(value):
        return _NONE
    if math.isinf(value):
        below, above = (INT_MAX + 1, INT_MAX + 1) if value > 0 else (INT_MIN - 1, INT_MIN - 1)
    else:
        below, above = math.floor(value), math.ceil(value)
    least, greatest = INT_MIN, INT_MAX
    if function == "_==_":
        least, greatest = above, below
    elif function == "_<_":
        greatest = above - 1
    elif function == "_<=_":
        greatest = below
    elif function == "_>_":
        least = below + 1
    else:
        least = above
    least, greatest = max(least, INT_MIN), min(greatest, INT_MAX)
    return (least, greatest) if least <= greatest else _NONE


def _double_range(function: str, value: float) -> tuple[float, float]:
    """The doubles y with `y <function> value`, by value on the number line."""
    if isinstance(value, float) and math.isnan(value):
        return _NO_DOUBLE
    near = float(value)
    at_most = near if near <= value else math.nextafter(near, -math.inf)
    at_least = near if near >= value else math.nextafter(near, math.inf)
    if function == "_==_":
        return (near, near) if near == value else _NO_DOUBLE
    if function == "_<_":
        if value == -math.inf:
            return _NO_DOUBLE
        return -math.inf, at_most if at_most < value else math.nextafter(at_most, -math.inf)
    if function == "_<=_":
        return -math.inf, at_most
    if function == "_>_":
        if value == math.inf:
            return _NO_DOUBLE
        return at_least if at_least > value else math.nextafter(at_least, math.inf), math.inf
    return at_least, math.inf
