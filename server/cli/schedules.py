"""Schedules of messages as people write and read them: in a message's file, as an option, in a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from core.errors import InvalidInput
from server.cli.arguments import length_of
from server.names import nearest

_ONCE: Final = ("time", "local_time", "next", "after")
_RECURRING: Final = ("start", "rule")
_WHEN_MET: Final = ("each_time", "least_gap", "end")
_KNOWN: Final = (*_ONCE, "past", *_RECURRING, "zone", *_WHEN_MET)
_TEXT: Final = (str, datetime)
_MEND: Final = (
    'such as { local_time = "2026-12-01T09:00", zone = "user", past = "skip" }, { next = "monday 09:00" }, '
    '{ after = "2h" }, { each_time = true, least_gap = "7d" } or { start = "2026-12-01T09:00", rule = "FREQ=DAILY" }'
)


def schedule_of(path: str, table: Mapping[str, Any]) -> Any:
    """A schedule from a table of a message's file, as the client takes it.

    Raises:
        InvalidInput: MESSAGE_FILE, DURATION_INVALID.
    """
    from muster.schedules import Once, Recurring, WhenMet

    for name in table:
        if name not in _KNOWN:
            near = nearest(name, _KNOWN)
            raise _refusal(path, name, "a schedule has no such field", f"did you mean {near!r}?" if near else _MEND)
    wrong = [name for name, value in table.items() if not isinstance(value, bool if name == "each_time" else _TEXT)]
    if wrong:
        raise _refusal(path, wrong[0], "a value of the wrong kind", _MEND)
    if "each_time" in table:
        others = [name for name in table if name not in _WHEN_MET]
        if others or not table["each_time"]:
            raise _refusal(path, others[0] if others else "each_time", "does not go with each_time", _MEND)
        gap = table.get("least_gap")
        return WhenMet(None if gap is None else length_of(gap, "schedule.least_gap"), _instant(path, table, "end"))
    zone = table.get("zone", "")
    if "rule" in table:
        if "start" not in table or any(name in table for name in (*_ONCE, "past")):
            raise _refusal(path, "start", "a rule goes with a start and a zone", _MEND)
        return Recurring(table["start"], table["rule"], zone)
    if sum(name in table for name in _ONCE) != 1:
        raise _refusal(path, "", "not exactly one time is given", _MEND)
    after = table.get("after")
    return Once(
        time=_instant(path, table, "time"),
        local_time=table.get("local_time", ""),
        next=table.get("next", ""),
        after=None if after is None else length_of(after, "schedule.after"),
        time_zone=zone,
        past=table.get("past"),
    )


def _instant(path: str, table: Mapping[str, Any], name: str) -> datetime | None:
    found = table.get(name)
    if found is not None and not (isinstance(found, datetime) and found.tzinfo is not None):
        raise _refusal(path, name, "no instant", f"such as {name} = 2026-12-01T09:00:00Z")
    return found


def _refusal(path: str, name: str, what: str, mend: str) -> InvalidInput:
    place = f"schedule.{name}" if name else "schedule"
    return InvalidInput(f"{place}: {what}", field=path, mend=mend, code="MESSAGE_FILE")


def words(found: Any) -> Any:
    """A message's schedule as a cell of a table: an instant where it is one, otherwise words."""
    from server.cli.plain import instant

    kind = found.WhichOneof("schedule")
    if kind == "once":
        once = found.once
        if once.WhichOneof("when") == "time":
            return instant(once.time)
        if once.WhichOneof("when") == "after":
            return f"{once.after.ToTimedelta()} after the launch"
        return f"{once.local_time or 'next ' + once.next}{_zone(once.time_zone)}"
    if kind == "recurring":
        return f"{found.recurring.rule} from {found.recurring.start}{_zone(found.recurring.time_zone)}"
    if kind == "when_met":
        gap = found.when_met.least_gap.ToTimedelta()
        return f"each time, at least {gap} apart" if gap else "each time"
    return kind


def _zone(name: str) -> str:
    return ", each user's zone" if name == "user" else f" {name}" if name else ", the project's zone"
