"""The rows over which an expression is computed, and the variables they see."""

from __future__ import annotations

from collections.abc import Mapping

from core.evaluator.vector import Index, Vector


class Frame:
    """Some rows. Each row has a parent row in the frame around it; the outermost frame's rows are users.

    Arguments:
        size: number of rows.
        names: the variables bound here, each a vector of this frame's rows (or a constant).
        parent: the frame around this one, None for the outermost.
        rows: int64[size], the parent's row of each row; needed where there is a parent.
    """

    def __init__(
        self, size: int, names: Mapping[str, Vector], parent: Frame | None = None, rows: Index | None = None
    ) -> None:
        self.size = size
        self._names = dict(names)
        self._parent = parent
        self._rows = rows

    def lookup(self, name: str) -> Vector:
        """A variable's value on every row. Raises KeyError for a name that nothing binds."""
        found = self._names.get(name)
        if found is None:
            if self._parent is None or self._rows is None:
                raise KeyError(name)
            found = self._names[name] = self._parent.lookup(name).take(self._rows)
        return found

    def narrow(self, rows: Index) -> Frame:
        """A frame of some of the rows (int64 positions)."""
        return Frame(len(rows), {}, self, rows)

    def within(self, variable: str, elements: Vector, parents: Index) -> Frame:
        """A frame of elements bound to `variable`, each with its row here."""
        return Frame(len(parents), {variable: elements}, self, parents)
