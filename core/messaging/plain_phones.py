"""Which telephone numbers are in their one spelling already, told by their first four digits.

The phonenumbers library changes a number that is written with + and digits only by taking a national prefix out of it, such
as the 0 of +49 0151. Whether it may do so hangs on the country's rule for such prefixes, a regular expression: where that
cannot begin with the first digit after the country's code, the number stays as it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY, PhoneMetadata

_ALL: Final = frozenset("0123456789")
_OPTIONAL: Final = ("?", "*", "{")


def plain_starts() -> npt.NDArray[np.uint8]:
    """uint8[10000]: by the first four digits after the +, whether the number is surely as it should be."""
    changing = {str(code): _changing(code, regions[0]) for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}
    found = np.ones(10_000, np.uint8)
    for number in range(10_000):
        digits = f"{number:04}"
        for length in (1, 2, 3):
            if digits[:length] in changing:
                found[number] = digits[length] not in changing[digits[:length]]
                break
    return found


def _changing(code: int, region: str) -> frozenset[str]:
    """The digits after a country's code at which the library may take something out."""
    metadata = (
        PhoneMetadata.metadata_for_nongeo_region(code, None)
        if region == REGION_CODE_FOR_NON_GEO_ENTITY
        else PhoneMetadata.metadata_for_region(region, None)
    )
    rule = None if metadata is None else metadata.national_prefix_for_parsing
    return first_digits(rule) if rule else frozenset()


def first_digits(rule: str) -> frozenset[str]:
    """The digits that a text may begin with which a rule matches, or more."""
    return frozenset().union(*map(_first_of, _alternatives(rule)))


def _alternatives(rule: str) -> list[str]:
    """The parts of a rule between the bars outside of its groups."""
    parts, depth = [""], 0
    for letter in rule:
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _first_of(part: str) -> frozenset[str]:
    if part.startswith("("):
        end = _end_of_group(part)
        inside = part[1:end].removeprefix("?:")
        return _ALL if part[end + 1 : end + 2] in _OPTIONAL else first_digits(inside)
    if part.startswith("[") and "]" in part and "^" not in part:
        letters, _, rest = part[1:].partition("]")
        return _ALL if rest.startswith(_OPTIONAL) else _members(letters)
    if part[:1] in _ALL and not part[1:].startswith(_OPTIONAL):
        return frozenset(part[0])
    return _ALL


def _end_of_group(part: str) -> int:
    depth = 0
    for place, letter in enumerate(part):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place
    return len(part)


def _members(letters: str) -> frozenset[str]:
    found: set[str] = set()
    place = 0
    while place < len(letters):
        if letters[place + 1 : place + 2] == "-" and place + 2 < len(letters):
            found |= {digit for digit in _ALL if letters[place] <= digit <= letters[place + 2]}
            place += 3
        else:
            found.add(letters[place])
            place += 1
    return frozenset(found) & _ALL if found <= _ALL else _ALL
