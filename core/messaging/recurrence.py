"""When a recurring message runs: an RFC 5545 rule over wall times, by `python-dateutil`."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Final, NoReturn

from dateutil.rrule import rrulestr

from core.errors import InvalidInput

_SEARCHED: Final = 50
"""Within so many years after its start a rule must run for the first time: leap years and days of the week come round."""
_DAYS: Final = "MO|TU|WE|TH|FR|SA|SU"
_PARTS: Final = {
    "FREQ": re.compile(r"DAILY|WEEKLY|MONTHLY|YEARLY"),
    "INTERVAL": re.compile(r"[1-9][0-9]{0,2}"),
    "BYDAY": re.compile(rf"([+-]?[1-5])?({_DAYS})(,([+-]?[1-5])?({_DAYS}))*"),
    "BYMONTHDAY": re.compile(r"-?([1-9]|[12][0-9]|3[01])(,-?([1-9]|[12][0-9]|3[01]))*"),
    "BYMONTH": re.compile(r"([1-9]|1[0-2])(,([1-9]|1[0-2]))*"),
    "BYSETPOS": re.compile(r"-?[1-9][0-9]?(,-?[1-9][0-9]?)*"),
    "WKST": re.compile(_DAYS),
    "COUNT": re.compile(r"[1-9][0-9]{0,5}"),
    "UNTIL": re.compile(r"[0-9]{8}(T[0-9]{6})?"),
}
"""The parts of a rule, and what each may be. The time of day is that of the start."""
_MEND: Final = (
    "parts of RFC 5545, such as FREQ=DAILY; FREQ=WEEKLY;BYDAY=MO,TH; FREQ=MONTHLY;BYMONTHDAY=-1 for the last day; with "
    "COUNT=10 or UNTIL=20271231T235959, a wall time, for an end"
)


class Recurrence:
    """The runs of one rule from one start, numbered from 0. Thread-safe; found as far as they are asked for."""

    def __init__(self, start: datetime, rule: str) -> None:
        self._found: list[datetime] = []
        self._further: Iterator[datetime] | None = iter(rrulestr(rule, dtstart=start))
        self._lock = threading.Lock()

    def between(self, first: datetime, last: datetime) -> list[tuple[int, datetime]]:
        """The runs from one wall time to another, both naive and included: number and wall time."""
        with self._lock:
            self._find(last)
            found = self._found
            begin = bisect_left(found, first)
            return list(enumerate(found[begin : bisect_right(found, last)], begin))

    def following(self, wall: datetime) -> tuple[int, datetime] | None:
        """The first run after a naive wall time; None where there is none."""
        with self._lock:
            self._find(wall)
            number = bisect_right(self._found, wall)
            return (number, self._found[number]) if number < len(self._found) else None

    def _find(self, upto: datetime) -> None:
        """Find all runs up to a wall time, and one more."""
        while self._further is not None and (not self._found or self._found[-1] <= upto):
            run = next(self._further, None)
            if run is None:
                self._further = None
            else:
                self._found.append(run)


@lru_cache(maxsize=1024)
def recurrence(start: datetime, rule: str) -> Recurrence:
    """The runs of a rule that `check_rule` passed.

    Arguments:
        start: naive; no run is earlier, and all have its time of day.
        rule: as RFC 5545 writes an RRULE's value.
    """
    return Recurrence(start, rule)


def check_rule(start: datetime, rule: str, field: str) -> None:
    """Refuse a rule that cannot be read, asks for more than days, or never runs.

    Raises:
        InvalidInput: RECURRENCE_RULE, RULE_NEVER_RUNS.
    """
    given: dict[str, str] = {}
    for part in rule.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _PARTS or name in given:
            _refuse(f"{part!r} is no part of a rule" if name not in given else f"{name} is given twice", field)
        if not _PARTS[name].fullmatch(value):
            _refuse(f"{name} cannot be {value!r}", field)
        given[name] = value
    if "FREQ" not in given:
        _refuse("there is no FREQ", field)
    if "COUNT" in given and "UNTIL" in given:
        _refuse("COUNT and UNTIL exclude each other", field)
    if given["FREQ"] in ("DAILY", "WEEKLY") and any(c.isdigit() for c in given.get("BYDAY", "")):
        _refuse("numbered days belong to FREQ=MONTHLY and FREQ=YEARLY", field)
    if given["FREQ"] == "WEEKLY" and "BYMONTHDAY" in given:
        _refuse("BYMONTHDAY does not go with FREQ=WEEKLY", field)
    bounded = ";".join(f"{name}={value}" for name, value in given.items() if name not in ("COUNT", "UNTIL"))
    horizon = f"{min(start.year + _SEARCHED, 9999):04}1231"
    until = min(horizon, given.get("UNTIL", horizon))
    try:
        first = list(islice(rrulestr(f"{bounded};UNTIL={until}", dtstart=start), 1))
    except (ValueError, TypeError):
        _refuse("the rule cannot be read", field)
    if not first:
        raise InvalidInput(
            "by this rule it never runs", field=field, mend="a rule that comes round", code="RULE_NEVER_RUNS"
        )


def _refuse(what: str, field: str) -> NoReturn:
    raise InvalidInput(what, field=field, mend=_MEND, code="RECURRENCE_RULE")
