"""How long a text message is: its encoding and the segments it is cut into (3GPP TS 23.038, 23.040).

A text of GSM-7 characters only holds 160 septets in one segment, or 153 in each of several; any other text is UCS-2,
70 or 67 code units. A character of the extension table takes two septets and one beyond the BMP two code units;
neither pair is split between segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Encoding = Literal["gsm7", "ucs2"]

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = "\f^{}\\[~]|€"
_ONLY_GSM: Final = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_EXTENDED: Final = re.compile(f"[{re.escape(_EXTENSION)}]")
_BEYOND_BMP: Final = re.compile("[\U00010000-\U0010ffff]")
_NOT_GSM: Final = re.compile(f"[^{re.escape(_BASIC + _EXTENSION)}]")
_ROOM: Final[dict[Encoding, tuple[int, int]]] = {"gsm7": (160, 153), "ucs2": (70, 67)}


@dataclass(frozen=True, slots=True)
class SmsLength:
    """The length of one text message.

    Arguments:
        encoding: `gsm7` or `ucs2`.
        units: septets of GSM-7 or code units of UCS-2.
        segments: how many the text is cut into, which is what providers charge for; 0 for an empty text.
    """

    encoding: Encoding
    units: int
    segments: int


def sms_length(text: str) -> SmsLength:
    """Measure a text."""
    encoding: Encoding = "gsm7" if _ONLY_GSM.fullmatch(text) else "ucs2"
    double = _EXTENDED if encoding == "gsm7" else _BEYOND_BMP
    pairs = len(double.findall(text))
    units = len(text) + pairs
    alone, shared = _ROOM[encoding]
    if units <= alone:
        return SmsLength(encoding, units, 1 if text else 0)
    if not pairs:
        return SmsLength(encoding, units, -(-units // shared))
    segments, used = 1, 0
    for character in text:
        size = 2 if double.match(character) else 1
        if used + size > shared:
            segments, used = segments + 1, 0
        used += size
    return SmsLength(encoding, units, segments)


def first_beyond_gsm(text: str) -> str:
    """The first character for whose sake a text is UCS-2; "" for a text of GSM-7."""
    found = _NOT_GSM.search(text)
    return found[0] if found else ""
