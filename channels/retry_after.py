"""The Retry-After header: seconds or a date (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float:
    """How long a receiver asks to be left alone, in seconds; 0 for no wish, a past date or an unreadable one.

    Arguments:
        value: the header's value, None if there is none.
        now: what a date is compared with; the present if None.
    """
    if value is None:
        return 0.0
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])  # beyond any wait that is honoured; keeps a silly number of digits from overflowing
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:  # "-0000": a date of unknown zone, which HTTP takes for GMT
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
