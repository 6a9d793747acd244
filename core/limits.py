"""Bounds on what is sent, which a project and its messages may set: shares held out, frequency caps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.codec import record
from core.errors import InvalidInput
from core.values import MICROS_PER_DAY

CHANNELS: Final = ("email", "push", "sms", "webhook")
"""Channels that a cap may name."""
MOST_DAYS: Final = 365
MOST_CAPS: Final = 20


@record("frequency_cap")
@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """A user gets at most so many messages in any so many days; `channel` "": of all channels together."""

    most: int
    days: int
    channel: str = ""

    @property
    def span(self) -> int:
        """Its days, in micros."""
        return self.days * MICROS_PER_DAY


def check_caps(caps: Sequence[FrequencyCap], field: str) -> None:
    """Refuse caps that cannot be kept.

    Raises:
        InvalidInput: FREQUENCY_CAP, with the place of the first.
    """
    if len(caps) > MOST_CAPS:
        raise InvalidInput(
            f"{len(caps)} frequency caps", field=field, mend=f"at most {MOST_CAPS}", code="FREQUENCY_CAP"
        )
    for place, cap in enumerate(caps):
        for name, good, mend in (
            ("most", cap.most >= 1, "1 or more"),
            ("days", 1 <= cap.days <= MOST_DAYS, f"1 to {MOST_DAYS}"),
            ("channel", cap.channel in ("", *CHANNELS), f"empty, or one of {', '.join(CHANNELS)}"),
        ):
            if not good:
                raise InvalidInput(
                    f"{getattr(cap, name)!r} in a frequency cap",
                    field=f"{field}[{place}].{name}",
                    mend=mend,
                    code="FREQUENCY_CAP",
                )


def check_percent(percent: float, field: str) -> None:
    """Refuse what is no share of a whole.

    Raises:
        InvalidInput: INVALID_PERCENT.
    """
    if not 0 <= percent <= 100:  # a NaN is refused, too
        raise InvalidInput(f"{percent} percent", field=field, mend="0 to 100", code="INVALID_PERCENT")
