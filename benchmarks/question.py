"""The seven-predicate audience: three countries, one plan, an age, a last visit, a value, an email, no unsubscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.people import NOW
from core.values import MICROS_PER_SECOND

COUNTRIES: Final = ("US", "BR", "DE")
PLAN: Final = "free"
LEAST_AGE: Final = 25
_AWAY_SECONDS: Final = 14 * 86_400
_LTV: Final = 10
MAX_ROUND: Final = 9_999
"""Later rounds' literals would reach the next cent."""


@dataclass(frozen=True, slots=True)
class Question:
    """The audience as one round asks for it.

    Each round has literals of its own, so that no text is asked twice and nothing cached by text or literal answers:
    a millionth of a dollar and a microsecond more than the round before. As `ltv` is in whole cents and `last_seen`
    on whole seconds, the same people match in every round.
    """

    number: int

    @property
    def ltv(self) -> str:
        """The bound in dollars as all systems are told it; a match has more."""
        return f"{_LTV}.{self.number:06d}"

    @property
    def seen_before(self) -> int:
        """The bound in micros UTC; a match was seen earlier."""
        return NOW - _AWAY_SECONDS * MICROS_PER_SECOND - self.number

    @property
    def cel(self) -> str:
        """The targeting."""
        return " && ".join(self._predicates())

    @property
    def reordered(self) -> str:
        """The same with the predicates in an order of the round's own, for 5,040 rounds: a text of a shape not seen before."""
        left, order = self._predicates(), []
        number = self.number
        while left:
            number, place = divmod(number, len(left))
            order.append(left.pop(place))
        return " && ".join(order)

    def _predicates(self) -> list[str]:
        countries = ", ".join(f'"{country}"' for country in COUNTRIES)
        return [
            f"user.country in [{countries}]",
            f'user.plan == "{PLAN}"',
            f"user.age >= {LEAST_AGE}",
            f'user.last_seen < now - duration("{_AWAY_SECONDS}.{self.number:06d}s")',
            f"user.ltv > {self.ltv}",
            "has(user.email)",
            "!user.unsubscribed",
        ]
