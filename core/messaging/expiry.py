"""What waits to be shown and waits too long: dropped by time alone.

Of other channels a resume drops what waited too long (`core.messaging.admission`): there a worker is at fault, or an
operator. An in-app message waits for its user, who may never come.
"""

from __future__ import annotations

from core.messaging.definitions import MessageDefinition
from core.messaging.effects import EXPIRED, Moved
from core.messaging.in_app_source import InAppSource
from core.messaging.work import Work
from core.values import MICROS_PER_SECOND

_GRID = 60 * MICROS_PER_SECOND
"""Looked at once a minute: whoever waits is looked at then. What is fetched in between is looked at to the microsecond."""


def expire_waiting(work: Work, after: int, upto: int) -> None:
    """Drop what has waited too long by the last full minute in (after, upto]. `work.now` is already `upto`.

    It is the same in whatever steps the clock moves: who has expired by an instant hangs on nothing that a step decides.
    A message that was paused within this move lets go of what had expired by then.
    """
    for definition in work.messages.all():
        if not isinstance(definition.content, InAppSource):
            continue
        if definition.state == "live":
            _expire(work, definition, after, upto)
        elif definition.state == "paused" and definition.paused_at > after:
            _expire(work, definition, after, definition.paused_at)


def _expire(work: Work, definition: MessageDefinition, after: int, upto: int) -> None:
    minute = upto // _GRID * _GRID
    if minute <= after:
        return
    for occurrence, ledger in work.messages.occurrences(definition.key).active():
        late = ledger.waiting_since_before(ledger.state("queued"), minute - definition.expiry)
        if late:
            work.do(Moved(definition.key, late, "queued", "", "skipped", EXPIRED, occurrence=occurrence))
