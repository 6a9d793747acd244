"""Bounds on what is sent, which a project and its messages may set: shares held out, frequency caps, throughput."""

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


@record("throughput")
@dataclass(frozen=True, slots=True)
class Throughput:
    """At most so many hand-offs begin in any second.

    Arguments:
        per_second: how many.
        channel: of a project's: which channel's; "" for all together.
        ramp_start: how many on the first day, where it grows from day to day; 0: it does not.
        ramp_factor: what each day multiplies that by, until `per_second` is reached.
        since: micros; when the first day began.
    """

    per_second: int
    channel: str = ""
    ramp_start: int = 0
    ramp_factor: float = 1.0
    since: int = 0

    def at(self, now: int) -> int:
        """How many in a second at an instant, in micros."""
        found = self.ramp_start
        for _ in range(max(0, now - self.since) // MICROS_PER_DAY if found else 0):
            if found >= self.per_second or self.ramp_factor <= 1:
                break
            found = max(found + 1, int(found * self.ramp_factor))
        return min(found or self.per_second, self.per_second)


def check_throughput(rate: Throughput, field: str) -> None:
    """Refuse a throughput that lets nothing out, or does not grow as it says.

    Raises:
        InvalidInput: THROUGHPUT.
    """
    wrong = (
        ("per_second", rate.per_second < 1, "1 or more"),
        ("channel", rate.channel not in ("", *CHANNELS), f"empty, or one of {', '.join(CHANNELS)}"),
        ("ramp.start", not 0 <= rate.ramp_start <= rate.per_second, "1 to what it grows to"),
        ("ramp.factor", rate.ramp_start > 0 and not 1 < rate.ramp_factor <= 100, "above 1, to 100"),
    )
    for name, bad, mend in wrong:
        if bad:
            raise InvalidInput("a throughput that cannot be", field=f"{field}.{name}", mend=mend, code="THROUGHPUT")


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
