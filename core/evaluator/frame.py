"""The rows over which an expression is computed, and the variables they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from core.evaluator.vector import Data, Index, Vector

Lengths = Callable[[], Data]
"""int64[n]: for each row of a frame of elements, the length of the list that the element is of."""


class Frame:
    """Some rows. Each row has a parent row in the frame around it; the outermost frame's rows are users.

    Arguments:
        size: number of rows.
        names: the variables bound here, each a vector of this frame's rows (or a constant).
        parent: the frame around this one, None for the outermost.
        rows: int64[size], the parent's row of each row; needed where there is a parent.
        lengths: where the rows are elements of lists.
    """

    def __init__(
        self,
        size: int,
        names: Mapping[str, Vector],
        parent: Frame | None = None,
        rows: Index | None = None,
        lengths: Lengths | None = None,
    ) -> None:
        self.size = size
        self._names = dict(names)
        self._parent = parent
        self._rows = rows
        self._lengths = lengths
        self._around: Data | None = None

    def around(self) -> Data | None:
        """int64[size]: the lengths of the lists of all macros around, multiplied; None outside of macros."""
        if self._around is None:
            above = None if self._parent is None else self._parent.around()
            if above is not None:
                above = above[self._rows]
            own = None if self._lengths is None else self._lengths()
            self._around = above if own is None else own if above is None else above * own
        return self._around

    def find(self, name: str) -> Vector | None:
        """A variable's value on every row; None for a name that nothing binds."""
        found = self._names.get(name)
        if found is None and self._parent is not None and self._rows is not None:
            above = self._parent.find(name)
            if above is not None:
                found = self._names[name] = above.take(self._rows)
        return found

    def lookup(self, name: str) -> Vector:
        """The same. Raises KeyError for a name that nothing binds."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def users(self) -> tuple[Frame, Index]:
        """The outermost frame, whose rows are users, and the row there of each row here."""
        frame, rows = self, np.arange(self.size, dtype=np.int64)
        while frame._parent is not None and frame._rows is not None:
            rows = frame._rows[rows]
            frame = frame._parent
        return frame, rows

    def alias(self, name: str, other: str) -> Frame:
        """The same rows, a variable being called by another name, too."""
        return (
            self
            if name == other
            else Frame(self.size, {**self._names, other: self.lookup(name)}, self._parent, self._rows, self._lengths)
        )

    def narrow(self, rows: Index, lengths: Lengths | None = None) -> Frame:
        """A frame of some of the rows (int64 positions), which may be elements of other lists there."""
        return Frame(len(rows), {}, self, rows, lengths)

    def within(self, variable: str, elements: Vector, parents: Index, lengths: Lengths) -> Frame:
        """A frame of elements bound to `variable`, each with its row here."""
        return Frame(len(parents), {variable: elements}, self, parents, lengths)
