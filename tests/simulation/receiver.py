"""The other side of the delivery: what people were handed, what workers know of it, and what may be handed on.

It follows people by their ids alone, and so does not believe the ledger that it is there to judge.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from core.commands import Outcome
from core.version import Version


@dataclass(eq=False, slots=True)
class HandedOff:
    """One attempt at one hand-off.

    Arguments:
        batch: the offer that it was begun from; 0: none, a sandbox kept it.
        arrived: whether the provider took it. Workers may not know.
        dropped: whether its receiver drops what comes under the same key once more.
        said: what the engine was last told of it.
        lost: its worker was gone before it said a word.
        forgiven: an operator took it upon himself that it is followed by another.
    """

    message: str
    occurrence: int
    key: str
    attempt: int
    batch: int
    arrived: bool
    dropped: bool
    said: Outcome | None = None
    lost: bool = False
    forgiven: bool = False

    @property
    def under_way(self) -> bool:
        """Whether its worker is there and has yet to say what became of it."""
        return self.said is None and not self.lost

    def may_be_followed_by(self, key: str, dropped: bool) -> bool:
        """Whether a hand-off under a key is no second one: this one surely did not arrive, or that was allowed."""
        return self.said in ("failed", "not_sent") or self.forgiven or (key == self.key and self.dropped and dropped)


class Receiver:
    """Everything that was ever handed off, by attempt and by person."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.all: dict[tuple[str, int], HandedOff] = {}
        self._of_id: dict[str, set[HandedOff]] = {}

    def follow(self, version: Version) -> None:
        """Whoever has several ids by now has been handed what any of them was; a deletion parts them with all of it."""
        for ordinal in version.population.live:
            ids = version.users.ids_of(ordinal)
            together = set().union(*(self._of_id.get(one, ()) for one in ids))
            for one in ids if together else ():
                self._of_id[one] = set(together)

    def of_user(self, version: Version, ordinal: int, message: str, occurrence: int) -> set[HandedOff]:
        """What the person of an ordinal was handed of an occurrence of a message."""
        ids = version.users.ids_of(ordinal)
        of_any = {one for name in ids for one in self._of_id.get(name, ())}
        return {one for one in of_any if (one.message, one.occurrence) == (message, occurrence)}

    def take(self, version: Version, ordinal: int, fresh: HandedOff) -> None:
        """Take a hand-off. It must not be a second one, nor the same attempt again."""
        name = (fresh.key, fresh.attempt)
        assert ordinal in version.population.live, f"{name} was handed off to who is no more"
        assert name not in self.all, f"{name} was begun twice"
        for one in self.of_user(version, ordinal, fresh.message, fresh.occurrence):
            assert one.may_be_followed_by(fresh.key, fresh.dropped), f"{name} was handed off after {one}"
        self.all[name] = fresh
        for distinct_id in version.users.ids_of(ordinal):
            self._of_id.setdefault(distinct_id, set()).add(fresh)

    def word(self, one: HandedOff) -> Outcome:
        """What a worker says that tells the truth as far as it knows it; once settled, it says the same again."""
        if one.said in (None, "ambiguous"):
            if self._chance.random() < 0.15:
                return "ambiguous"
            return "sent" if one.arrived else self._chance.choice(["failed", "not_sent"])
        assert one.said is not None
        return one.said

    def under_way(self, batches: Iterable[int]) -> list[HandedOff]:
        """What was begun from these offers and has not been told of."""
        wanted = set(batches)
        return [one for one in self.all.values() if one.under_way and one.batch in wanted]
