"""What a project is: its name, its clock, its sandbox."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.codec import encode, record
from core.errors import InvalidInput
from core.limits import check_percent
from core.values import MICROS_PER_SECOND

ClockKind = Literal["real", "manual"]
LATE_AFTER: Final = 72 * 3600 * MICROS_PER_SECOND
INBOX_LIMIT: Final = 100_000
MAX_INBOX_LIMIT: Final = 10_000_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")


@record("settings")
@dataclass(frozen=True, slots=True)
class Settings:
    """A project's settings. `uid` makes idempotency keys unique across stores; times are micros UTC.

    `late_after`, in micros: an event that is older than this when it arrives triggers no message.
    `inbox_limit`: how many of the newest entries the inbox keeps.
    `holdout_percent`: of whoever is let through by any message from now on, the share that is sent none.
    """

    name: str
    uid: str
    clock: ClockKind = "real"
    sandbox: bool = True
    allowed_addresses: list[str] = field(default_factory=list)
    time_zone: str = "UTC"
    created_at: int = 0
    late_after: int = LATE_AFTER
    inbox_limit: int = INBOX_LIMIT
    holdout_percent: float = 0.0

    @property
    def etag(self) -> str:
        """Changes whenever the settings do."""
        return hashlib.blake2b(encode(self), digest_size=8).hexdigest()


def check_settings(settings: Settings) -> None:
    """Refuse a bad name, time zone, length of time, share or bound.

    Raises:
        InvalidInput: INVALID_NAME, INVALID_PERCENT, INVALID_TIME_ZONE, INVALID_DURATION, INBOX_LIMIT.
    """
    if not 1 <= settings.inbox_limit <= MAX_INBOX_LIMIT:
        raise InvalidInput(
            f"an inbox of {settings.inbox_limit:,} entries",
            field="inbox_limit",
            mend=f"1 to {MAX_INBOX_LIMIT:,}; {INBOX_LIMIT:,} where nothing is said",
            code="INBOX_LIMIT",
        )
    check_percent(settings.holdout_percent, "holdout_percent")
    if settings.late_after < 0:
        raise InvalidInput(
            "a negative duration", field="late_after", mend="zero or more, such as 72h", code="INVALID_DURATION"
        )
    if not _NAME.match(settings.name):
        raise InvalidInput(
            f"{settings.name!r} is no project name",
            field="name",
            mend="a lower-case letter, then up to 62 lower-case letters, digits, `-` or `_`",
            code="INVALID_NAME",
        )
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `America` is a folder of zones
        raise InvalidInput(
            f"{settings.time_zone!r} is no time zone",
            field="time_zone",
            mend="an IANA name such as Europe/Berlin",
            code="INVALID_TIME_ZONE",
        ) from error
