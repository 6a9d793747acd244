"""Numbers in templates: 64-bit integers and finite doubles; arithmetic and formatting stay inside them."""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Final

from core.render.limits import MAX_DECIMALS
from core.render.printing import bounded_integer, refuse_type, text_of
from core.render.results import RenderError
from core.values import INT_MAX, INT_MIN, Value

Number = int | float

WAYS: Final = {"common": ROUND_HALF_UP, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}
"""Ways to round: half away from zero, always up, always down."""

_WRITTEN: Final = re.compile(r"[-+]?[0-9]{1,19}(?:\.[0-9]{0,30})?(?:[eE][-+]?[0-9]{1,3})?")
_EXACT: Final = Context(prec=350)  # the largest double has 309 digits before the point, and 15 may follow it


def number_of(value: Value) -> Number:
    """An int or double as it is. Raises PROPERTY_TYPE for anything else, strings included."""
    if type(value) is int or type(value) is float:
        return value
    refuse_type(value, "a number")


def whole(value: Value) -> int:
    """An integer as it is. Raises PROPERTY_TYPE for anything else."""
    if type(value) is int:
        return value
    refuse_type(value, "a whole number")


def bounded_number(value: Number) -> Number:
    """The number itself. Raises NUMBER_OUT_OF_RANGE outside 64 bits or the finite doubles."""
    if isinstance(value, int):
        return bounded_integer(value)
    if not math.isfinite(value):
        raise RenderError("a number outside the doubles", code="NUMBER_OUT_OF_RANGE")
    return value


def divides(by: Value, value: Value) -> bool:
    """Whether `by` divides `value` without remainder."""
    if whole(by) == 0:
        raise RenderError("a division by zero", code="DIVISION_BY_ZERO")
    return whole(value) % whole(by) == 0


def _places(decimals: Value) -> int:
    places = whole(decimals)
    if not 0 <= places <= MAX_DECIMALS:
        raise RenderError(f"decimal places outside 0 to {MAX_DECIMALS}", code="NUMBER_OUT_OF_RANGE")
    return places


def rounded(value: Value, decimals: Value, way: Value) -> Decimal:
    """The decimal nearest to the shortest text of a number: 2.675 rounds to 2.68, as people expect."""
    if way not in WAYS:
        raise RenderError("no such way to round", code="PROPERTY_TYPE")
    number, places = Decimal(repr(number_of(value))), _places(decimals)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -places:
        return number
    return number.quantize(Decimal(1).scaleb(-places), rounding=WAYS[way], context=_EXACT)


def round_to(value: Value, decimals: int = 0, way: str = "common") -> Number:
    """Rounded to decimal places; to none gives an integer."""
    number = rounded(value, decimals, way)
    return bounded_integer(int(number)) if _places(decimals) == 0 else float(number)


def to_int(value: Value, other: Value = None) -> Value:
    """A number without its fraction, or the number that a string writes; `other` (if given) for any other string."""
    number = _written(value) if type(value) is str else number_of(value)
    return _or_other(None if number is None else int(number), other)


def to_float(value: Value, other: Value = None) -> Value:
    """A double, or the double that a string writes; `other` (if given) for any other string."""
    number = _written(value) if type(value) is str else number_of(value)
    return _or_other(None if number is None else float(number), other)


def _written(text: str) -> Number | None:
    """The number that a string writes, in ASCII digits; None where it writes none, or one that is out of range."""
    bare = text.strip()
    if not _WRITTEN.fullmatch(bare):
        return None
    if bare.lstrip("+-").isdigit():
        number = int(bare)
        return number if INT_MIN <= number <= INT_MAX else None
    double = float(bare)
    return double if math.isfinite(double) else None


def _or_other(number: Number | None, other: Value) -> Value:
    if number is not None:
        return bounded_number(number)
    if other is None:
        raise RenderError("a string that is no number", mend="give another value: | int(0)", code="PROPERTY_TYPE")
    return other


def absolute(value: Value) -> Number:
    """Without its sign."""
    return bounded_number(abs(number_of(value)))


def format_number(value: Value, decimals: int = 0, thousands: str = ",", point: str = ".") -> str:
    """With so many decimal places, and signs between thousands and before the fraction: 1234.5 | number(2) is 1,234.50."""
    places = _places(decimals)
    plain = f"{rounded(value, places, 'common'):,.{places}f}"
    if plain.startswith("-") and not plain.strip("-0.,"):
        plain = plain[1:]  # -0.001 to two places is no negative number
    marks = {",": text_of(thousands), ".": text_of(point)}
    return "".join(marks.get(char, char) for char in plain)
