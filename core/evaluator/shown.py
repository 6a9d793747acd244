"""Values as people read them in explanations: short, and as one would write them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from core.evaluator.cel_values import CelValue
from core.evaluator.time_texts import write_timestamp

_SHOWN: Final = 80
_REASON: Final = 200


def shown(value: CelValue) -> str:
    """A value as one would write it, at most 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=_unlike_json)
    if isinstance(value, datetime):
        text = write_timestamp(value)
    return cut(text, _SHOWN)


def cut(text: str, most: int = _REASON) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _unlike_json(value: CelValue) -> str:
    return write_timestamp(value) if isinstance(value, datetime) else str(value)
