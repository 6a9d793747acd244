"""The queue before an engine's writer: who stops or reports hand-offs does not wait behind those who bring records.

Three lanes. *Stops* (pause, end) go first, *talk* of hand-offs under way (leave, acknowledgements) second, everything
else is *bulk*. A group is made of stops and talk, or of bulk; where both wait they take turns, so that neither starves
the other, and a pause waits for one group of bulk at most. Within a lane the order is that of arrival.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from core import commands
from core.group import Asked

_STOPS: Final = (commands.PauseMessages, commands.EndMessage)
_TALK: Final = (commands.Begin, commands.Acknowledge, commands.Lose, commands.Skip)


@dataclass(slots=True)
class Waiting:
    """A command that waits, the future of its answer, and how many records it brings (1 at least).

    A callable in place of a command is run by the writer between groups.
    """

    asked: Asked
    future: Future[Any]
    records: int

    @property
    def alone(self) -> bool:
        """Whether it shares no group."""
        return callable(self.asked.command)


class Lanes:
    """Not thread-safe: its owner holds a lock.

    Arguments:
        group_records: about how many records make a group.
    """

    def __init__(self, group_records: int) -> None:
        self._group_records = group_records
        self._stops: deque[Waiting] = deque()
        self._talk: deque[Waiting] = deque()
        self._bulk: deque[Waiting] = deque()
        self._bulk_is_due = False
        self.bulk_records = 0
        """Records that wait in bulk."""

    def __bool__(self) -> bool:
        return bool(self._stops or self._talk or self._bulk)

    def __len__(self) -> int:
        return len(self._stops) + len(self._talk) + len(self._bulk)

    def is_bulk(self, command: object) -> bool:
        """Whether a command waits where records wait."""
        return not isinstance(command, _STOPS + _TALK)

    def put(self, item: Waiting) -> None:
        """Take in what waits."""
        if isinstance(item.asked.command, _STOPS):
            self._stops.append(item)
        elif isinstance(item.asked.command, _TALK):
            self._talk.append(item)
        else:
            self._bulk.append(item)
            self.bulk_records += item.records

    def take(self) -> list[Waiting]:
        """The next group; empty where all that would be in it was given up by its callers."""
        if self._bulk and (self._bulk_is_due or not (self._stops or self._talk)):
            self._bulk_is_due = False
            return self._take_bulk()
        self._bulk_is_due = True
        waiting = [*self._stops, *self._talk]
        self._stops.clear()
        self._talk.clear()
        return [item for item in waiting if item.future.set_running_or_notify_cancel()]

    def _take_bulk(self) -> list[Waiting]:
        group: list[Waiting] = []
        records = 0
        while self._bulk and (not group or records < self._group_records):
            if self._bulk[0].alone and group:
                break
            item = self._bulk.popleft()
            self.bulk_records -= item.records
            if not item.future.set_running_or_notify_cancel():
                continue  # given up by the caller before it was begun
            group.append(item)
            records += item.records
            if item.alone:
                break
        return group
