"""Counts what a run unfolds: a portion of rows that would take too much memory is given up, to be cut in two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ExpressionTooCostly


class TooMuch(Exception):
    """The rows of a portion take more cells together than it may have. Raised before they are allocated.

    Never leaves `core.evaluator.interpret`.
    """


class Meter:
    """What one run may still unfold.

    Arguments:
        most: elements of macros inside macros, over the whole run; None for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._nested = 0
        self._left: int | None = None

    @contextmanager
    def portion(self, cells: int | None) -> Iterator[None]:
        """Within it no more than so many cells are taken; None for any number."""
        self._left = cells
        try:
            yield
        finally:
            self._left = None

    def take(self, cells: int) -> None:
        """Count cells about to be allocated.

        Raises:
            TooMuch: where the portion has no room for them.
        """
        if self._left is not None:
            self._left -= cells
            if self._left < 0:
                raise TooMuch

    def take_nested(self, cells: int, position: int) -> None:
        """Count the elements of a macro inside another.

        Raises:
            TooMuch: where the portion has no room for them.
            ExpressionTooCostly: where the run has no room for them.
        """
        self.take(cells)
        self._nested += cells
        if self._most is not None and self._nested > self._most:
            raise ExpressionTooCostly(
                f"macros inside each other would run over more than {self._most:,} elements of all users",
                position=position,
                mend="let a cheaper condition choose the users first (&&), or nest fewer macros",
            )
