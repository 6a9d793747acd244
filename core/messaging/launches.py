"""The launch of a message that is sent by time: what is past already, for whom, and what comes due at once."""

from __future__ import annotations

from pyroaring import BitMap

from core.errors import InvalidInput
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import LOCAL_TIME_PAST
from core.messaging.firings import Homes, Run, due, next_run
from core.messaging.judge import fire
from core.messaging.schedules import Once, Recurring, settled
from core.messaging.work import View, Work
from core.values import MIN_MICROS


def past_runs(view: View, definition: MessageDefinition) -> list[Run]:
    """The runs of a one-time message that a launch now would come too late for: none, all, or those of some zones."""
    schedule = settled(definition.schedule, view.now, view.settings.time_zone)
    return due(view, schedule, Homes(view), MIN_MICROS - 1, view.now - 1) if isinstance(schedule, Once) else []


def users_past(view: View, definition: MessageDefinition) -> BitMap:
    """Those in whose own zones the time of a one-time message is past."""
    return BitMap.union(BitMap(), *(run.users for run in past_runs(view, definition) if run.users is not None))


def check_times(view: View, definition: MessageDefinition, *, asked_only: bool) -> None:
    """Refuse a launch that comes too late, or leaves open what becomes of those for whom it does.

    Arguments:
        asked_only: as for `core.messaging.handlers.check_launch`.

    Raises:
        InvalidInput: SCHEDULE_IN_PAST, PAST_REQUIRED.
    """
    schedule = settled(definition.schedule, view.now, view.settings.time_zone)
    if not isinstance(schedule, Once | Recurring):
        return
    past = past_runs(view, definition)
    sends = isinstance(schedule, Once) and (schedule.past == "send" or (asked_only and not schedule.past))
    to_come = next_run(view, schedule, view.now - 1) is not None
    if any(run.users is None for run in past) or not (to_come or (past and sends)):
        raise InvalidInput(
            "the scheduled time is past", field=_field(schedule), mend="a time from now on", code="SCHEDULE_IN_PAST"
        )
    if past and isinstance(schedule, Once) and not schedule.past and not asked_only:
        raise InvalidInput(
            f"the time is past in the zones of {len(users_past(view, definition)):,} users",
            field="message.once.past",
            mend="say what becomes of them, send or skip; or give a later time",
            code="PAST_REQUIRED",
        )


def _field(schedule: Once | Recurring) -> str:
    if isinstance(schedule, Recurring):
        return "message.recurring.rule"
    return "message.once.local_time" if schedule.wall else "message.once.time"


def fire_at_launch(work: Work, definition: MessageDefinition) -> None:
    """What a message that is live from now on does at once."""
    schedule = definition.schedule
    if isinstance(schedule, Once):
        for run in past_runs(work, definition):
            if schedule.past == "send":
                fire(work, definition.key, run, "late", work.now)
            else:
                fire(work, definition.key, run, "missed", work.now, skip=LOCAL_TIME_PAST)
    for run in due(work, schedule, Homes(work), work.now - 1, work.now):
        fire(work, definition.key, run, "fired", run.at)
