"""Generated rows as a population, so that set kernels can be compared with the row matcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.bitmaps.population import Population
from core.evaluator.match import Row, match
from core.evaluator.parse import Parsed
from core.evaluator.run import Outcome
from core.values import ABSENT, to_micros
from tests.conformance.strategies import UserRow, visible

PLACES = (0, 1, 65_535, 65_536, 70_000, 300_000)
"""Where users stand: two at the start of a block, its last, the next block, and one far away."""


def populated(rows: Sequence[UserRow], places: Sequence[int], *, patched: bool = False) -> Population:
    """A population with each row at its ordinal; the ordinals between are users without anything.

    Arguments:
        places: the ordinal of each row, ascending.
        patched: whether blocks have pages of other rows' values, and these ones in patches over them.
    """
    population = Population()
    population.issue(places[-1] + 1 if places else 0)
    ordinals = np.array(places, np.uint32)
    for name in sorted({name for user, _ in rows for name in user}):
        column = population.writable_column(name)
        values = [user.get(name, ABSENT) for user, _ in rows]
        if patched:
            column.set_many(ordinals, [*values[1:], *values[:1]])
            for number, block in column.blocks.items():
                column.put_block(number, block.folded())
        column.set_many(ordinals, values)
    for name in sorted({name for _, events in rows for name in events}):
        made = [
            (place, event) for place, (_, events) in zip(places, rows, strict=True) for event in events.get(name, [])
        ]
        times = np.array([to_micros(event["time"]) for _, event in made], np.int64)
        population.writable_events(name).append_records(
            np.array([place for place, _ in made], np.uint32),
            times,
            np.arange(len(made), dtype=np.int64),
            [""] * len(made),
            [str(number) for number in range(len(made))],
            [{key: value for key, value in event.items() if key != "time"} for _, event in made],
        )
    return population


def verdict(parsed: Parsed, row: UserRow, now: int, ordinal: int = -1) -> bool | None:
    """What the row matcher says of a row at an instant; None where the expression errs."""
    user, events = row
    answer = match(parsed, Row(user, visible(events, now), now, ordinal=ordinal))
    return answer if isinstance(answer, bool) else None


def outcome_of(outcome: Outcome, ordinal: int) -> bool | None:
    """What a plan says of a user; None where the expression errs."""
    assert ordinal in outcome.judged
    assert not (ordinal in outcome.true and ordinal in outcome.false)
    return True if ordinal in outcome.true else False if ordinal in outcome.false else None


def expected(parsed: Parsed, rows: Sequence[UserRow], nows: Sequence[int], places: Sequence[int]) -> Mapping[int, Any]:
    """What the row matcher says of each row, by ordinal."""
    return {place: verdict(parsed, row, now, place) for place, row, now in zip(places, rows, nows, strict=True)}
