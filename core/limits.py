"""Bounds on what is sent, which a project and its messages may set: shares held out."""

from __future__ import annotations

from core.errors import InvalidInput


def check_percent(percent: float, field: str) -> None:
    """Refuse what is no share of a whole.

    Raises:
        InvalidInput: INVALID_PERCENT.
    """
    if not 0 <= percent <= 100:  # a NaN is refused, too
        raise InvalidInput(f"{percent} percent", field=field, mend="0 to 100", code="INVALID_PERCENT")
