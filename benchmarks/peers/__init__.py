"""What a user would pick instead, each given the same people and asked the same question at its best.

A peer is made from the people's Arrow table; `count` answers a `Question`. Its own threads and settings are left as a
user finds them.
"""

from __future__ import annotations

from typing import Protocol

from benchmarks.question import Question


class Peer(Protocol):
    """A system beside Muster."""

    def count(self, question: Question) -> int:
        """How many people match."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
