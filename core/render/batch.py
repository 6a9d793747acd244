"""The rows of many users as columns: what a bulk rendering reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.render.results import RenderRow
from core.values import ABSENT, Value


@dataclass(frozen=True, slots=True)
class RenderBatch:
    """Everything that the renderings of n users may read; each row of it is a RenderRow.

    Arguments:
        distinct_ids: the users' ids; their number is n.
        user: each profile property that is read, by name, as n values; ABSENT or None where a user has none. A
            property that is not named here nobody has.
        events: the event that caused each match, None where there is none; None: no row has any.
        message: `id`, `key` and `title` of the message.
        project: facts of the project.
        data: what calls gave for the templates, None for a row without; None: no row has any.
    """

    distinct_ids: Sequence[str]
    user: Mapping[str, Sequence[Value]]
    events: Sequence[Mapping[str, Value] | None] | None = None
    message: Mapping[str, Value] = field(default_factory=dict)
    project: Mapping[str, Value] = field(default_factory=dict)
    data: Sequence[Mapping[str, Value] | None] | None = None

    def __len__(self) -> int:
        return len(self.distinct_ids)

    def event(self, place: int) -> Mapping[str, Value] | None:
        """The event of one row."""
        return None if self.events is None else self.events[place]

    def data_of(self, place: int) -> Mapping[str, Value]:
        """What a call gave for one row."""
        return (None if self.data is None else self.data[place]) or {}

    def profile(self, place: int) -> dict[str, Value]:
        """The properties that one row's user has."""
        found = ((name, values[place]) for name, values in self.user.items())
        return {name: value for name, value in found if value is not ABSENT}

    def part(self, places: Sequence[int]) -> RenderBatch:
        """Some of its rows."""

        def of(column: Sequence[Any]) -> list[Any]:
            return [column[place] for place in places]

        return RenderBatch(
            of(self.distinct_ids),
            {name: of(values) for name, values in self.user.items()},
            None if self.events is None else of(self.events),
            self.message,
            self.project,
            None if self.data is None else of(self.data),
        )

    def row(self, place: int) -> RenderRow:
        """One row of it."""
        return RenderRow(
            self.profile(place),
            self.event(place),
            self.message,
            self.project,
            self.distinct_ids[place],
            self.data_of(place),
        )
