"""Which line each record of a file stood on, kept small: records follow one another, so only jumps are noted."""

from __future__ import annotations

from array import array
from bisect import bisect_right


class Lines:
    """The line of each record by its index, both ascending."""

    def __init__(self) -> None:
        self._indexes = array("Q")
        self._offsets = array("Q")
        self._count = 0

    def add(self, line: int) -> None:
        """Note the line of the next record."""
        offset = line - self._count
        if not self._offsets or self._offsets[-1] != offset:
            self._indexes.append(self._count)
            self._offsets.append(offset)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        """The line of the record at a 0-based index.

        Raises:
            IndexError: for an index that was not added.
        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._offsets[bisect_right(self._indexes, index) - 1] + index
