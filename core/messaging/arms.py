"""The arms of a report: to whom a message goes, by variant, and whom it was kept from to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.cells import bitmap_of
from core.messaging.definitions import MAIN as MAIN_CONTENT
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import DeliveryState
from core.messaging.groups import CONTROL, GHOSTS, HOLDOUT, VARIANT
from core.messaging.ledger import Ledger
from core.messaging.rows import Ordinals, inside, of_users
from core.values import MICROS_PER_DAY

SENT: Final = "sent"
MAIN: Final = VARIANT + MAIN_CONTENT
"""The arm of those who get a message's own content, where it has variants."""
_GOING_THROUGH: Final[tuple[DeliveryState, ...]] = ("held_out", "deferred", "queued", "begun", "ambiguous", "sent")


def is_variant(name: str) -> bool:
    """Whether an arm is one of a message's variants."""
    return name.startswith(VARIANT)


@dataclass(frozen=True, slots=True)
class Firing:
    """One occurrence of a message."""

    definition: MessageDefinition
    occurrence: int
    ledger: Ledger

    def going_through(self, since: int) -> BitMap:
        """Who was exposed, or still may be, of those decided after an instant, in micros; 0 for all.

        Who was let through and lost on the way, such as by a refusal of the provider, is not among them.
        """
        found = BitMap().union(*(self.ledger.state(state) for state in _GOING_THROUGH))
        if not since:
            return found
        late = [bitmap_of(ordinals[instants > since]) for ordinals, instants in self.ledger.decisions()]
        return found & BitMap().union(*late)

    def days(self, users: BitMap) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Of some users, how many were decided on each UTC day (number, users): in all (`selected`), by present state.

        The states told are `held_out` and `skipped:<reason>`.
        """
        sets = {"selected": users, "held_out": self.ledger.state("held_out") & users}
        sets.update({f"skipped:{reason}": found & users for reason, found in self.ledger.reasons("skipped")})
        for place, found in sets.items():
            days = [of_users(part, found)[1] // MICROS_PER_DAY for part in self.ledger.decisions()] if found else []
            if days:
                numbers, sizes = np.unique(np.concatenate(days), return_counts=True)
                yield place, list(zip(numbers.tolist(), sizes.tolist(), strict=True))


class Arms:
    """The arms of some firings.

    Attributes:
        names: `sent` first, then the variants, the message's own content before others, then `control` and `holdout`;
            where anybody is in them.
        parts: the numbers of the disjoint parts that each arm consists of.
    """

    def __init__(self, names: Sequence[str], firings: Sequence[Mapping[str, BitMap]], everybody: Sequence[BitMap]):
        self.names = names
        self._groups, self._everybody = firings, everybody
        ghosts = [name for name in names if name in GHOSTS]
        own = [name for name in names if name != SENT]
        self._numbers = {name: number for number, name in enumerate(own, 1)}  # 0: sent, and of no variant
        self.parts = {name: [number] for name, number in self._numbers.items()}
        self.parts[SENT] = [0, *(number for name, number in self._numbers.items() if name not in ghosts)]
        self._sent = [
            users - BitMap().union(*(groups.get(name, BitMap()) for name in ghosts)) if ghosts else users
            for users, groups in zip(everybody, firings, strict=True)
        ]

    @classmethod
    def of(cls, firings: Sequence[Firing], *, variants: bool = True) -> Arms:
        """The arms of firings; variants of one message may be told apart, those of several have nothing in common."""
        groups = [firing.ledger.groups() for firing in firings]
        found = {name for one in groups for name, users in one.items() if users}
        shown = sorted((name for name in found if is_variant(name) and variants), key=lambda name: (name != MAIN, name))
        names = [SENT, *shown, *(name for name in (CONTROL, HOLDOUT) if name in found)]
        return cls(names, groups, [firing.ledger.selected for firing in firings])

    def users(self, firing: int, name: str) -> BitMap:
        """Those of an arm whom a firing selected."""
        if name == SENT:
            return self._sent[firing]
        found = self._groups[firing].get(name, BitMap())
        return found & (self._sent[firing] if is_variant(name) else self._everybody[firing])

    def parts_of(self, ordinals: Ordinals, firings: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part that each of n pairs of a user and a firing is of: int64[n]."""
        found = np.zeros(len(ordinals), np.int64)
        if not self._numbers:
            return found
        order = np.argsort(firings, kind="stable")
        bounds = np.searchsorted(firings[order], np.arange(len(self._groups) + 1))
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            rows = order[bounds[number] : bounds[number + 1]]
            for name, part in self._numbers.items():
                users = self.users(number, name)
                if users:
                    found[rows[inside(ordinals[rows], users)]] = part
        return found
