"""Users without an engine, for tests of what happens to them."""

from __future__ import annotations

from core.bitmaps.population import Population
from core.profiles.identity import NOBODY, Users
from core.profiles.touched import Touched
from core.values import Value


class Folk:
    """What `core.profiles` calls people, with what was touched."""

    def __init__(self) -> None:
        self.population = Population()
        self.users = Users()
        self.touched = Touched()

    def fork(self) -> Folk:
        """A version to change."""
        twin = Folk()
        twin.population, twin.users = self.population.fork(), self.users.fork()
        return twin

    def profile(self, distinct_id: str) -> dict[str, Value] | None:
        """A user's properties, None where there is no such user."""
        ordinal = self.users.find(distinct_id)
        return None if ordinal == NOBODY else self.population.profile(ordinal)
