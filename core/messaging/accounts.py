"""The proof that every selected user is in exactly one state, of every message and occurrence of a project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.messaging.reading import Counts, counts
from core.messaging.work import View


@dataclass(frozen=True, slots=True)
class Account:
    """One occurrence of a message accounted for; `problems` is empty where it adds up."""

    key: str
    occurrence: int
    counts: Counts
    problems: list[str]


def accounts(view: View) -> Iterator[Account]:
    """Every occurrence that selected anybody, by message and number, and any other that does not add up."""
    for definition in view.messages.all():
        for number, ledger in view.messages.occurrences(definition.key).all():
            found = counts([ledger], ended=definition.state == "ended")
            problems = [*ledger.problems(), *unbalanced(found)]
            if found.selected or problems:
                yield Account(definition.key, number, found, problems)


def unbalanced(found: Counts) -> list[str]:
    """What the equation lacks: selected = held out + skipped + deferred + queued + begun + sent + failed + ambiguous."""
    skipped = sum(users for _, _, users in found.skipped)
    total = found.held_out + skipped + found.deferred + found.queued + found.begun
    total += found.sent + found.failed + found.ambiguous
    return [] if total == found.selected else [f"{found.selected} are selected, and {total} are in a state"]
