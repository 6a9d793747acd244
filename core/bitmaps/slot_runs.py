"""The runs of a dictionary: which a checkpoint has, and the pages that they are written as.

A run is written as its slots, uint64 (upper half of the hash << 32 | code + 1), ascending, and where among them each
of its buckets begins, uint32; a bucket is what shares its first `bits` bits. Both stand in pages of 1 MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import StoreError

if TYPE_CHECKING:
    from typing_extensions import Buffer

SLOT_BITS: Final = 17
BUCKET_BITS: Final = 18
RUN_LEAST: Final = 4096
"""A dictionary with fewer entries has no runs: it is hashed when it is opened."""
_PAGE_BYTES: Final = 1 << 20
_ALIGNMENT: Final = 8
_BUCKET_SLOTS: Final = 4  # about so many slots in a bucket, up to twice as many
_MERGE_SHARE: Final = 4  # all is one run again when the later codes are this part of the first run's
# Numbers of a dictionary's pages: entries from 0 on, then the runs'.
_RUN_AT: Final = 1 << 40
_RUN_STEP: Final = 1 << 36
_BUCKETS_AT: Final = 1 << 35

Slots = Callable[[int, int], NDArray[np.uint64]]
"""The slots of the codes from the one to before the other, in any order."""


class Run(NamedTuple):
    """Which codes a run holds, [first, last), and how many bits name a bucket."""

    first: int
    last: int
    bits: int


def planned(runs: list[Run], length: int) -> list[Run]:
    """The runs of a checkpoint of `length` entries that follows one with `runs`."""
    if length < RUN_LEAST:
        return []
    if not runs or (length - runs[0].last) * _MERGE_SHARE > runs[0].last:
        return [_run(0, length)]
    return [runs[0], *([_run(runs[0].last, length)] if length > runs[0].last else [])]


def _run(first: int, last: int) -> Run:
    return Run(first, last, max(1, (last - first) // _BUCKET_SLOTS).bit_length())


def pages_of(before: list[Run], after: list[Run], slots: Slots) -> Iterator[tuple[int, Callable[[], bytes | None]]]:
    """Numbers of the pages that differ, ascending, each with a function that gives the page, None where it is gone."""
    for index, run in enumerate(after):
        if before[index : index + 1] != [run]:
            builder = _Builder(run, slots)
            for number in range(len(_sizes(run.last - run.first, 8))):
                yield _slots_at(index, number), partial(builder.slots, number)
            for number in range(len(_sizes(1 << run.bits, 4))):
                yield _buckets_at(index, number), partial(builder.buckets, number)
    for index in range(len(after), len(before)):
        run = before[index]
        for number in range(len(_sizes(run.last - run.first, 8))):
            yield _slots_at(index, number), _gone
        for number in range(len(_sizes(1 << run.bits, 4))):
            yield _buckets_at(index, number), _gone


def found_pages(index: int, run: Run, get: Callable[[int], Buffer | None]) -> tuple[list[Buffer], list[Buffer]]:
    """A run's pages of slots and of buckets, whose sizes fit. Raises StoreError."""
    slots = [found(get(_slots_at(index, n)), size) for n, size in enumerate(_sizes(run.last - run.first, 8))]
    buckets = [found(get(_buckets_at(index, n)), size) for n, size in enumerate(_sizes(1 << run.bits, 4))]
    return slots, buckets


def found(page: Buffer | None, size: int | None = None) -> Buffer:
    """A page that must be there, of that many bytes, aligned to 8."""
    if page is None:
        raise StoreError("a page of a dictionary is missing", code="STORE_DAMAGED")
    cells = np.frombuffer(memoryview(page), np.uint8)
    if size is not None and len(cells) != size:
        raise StoreError("a page of a dictionary has the wrong length", code="STORE_DAMAGED")
    return page if cells.ctypes.data % _ALIGNMENT == 0 else cells.tobytes()


def _sizes(length: int, width: int) -> list[int]:
    """Bytes of each page of so many cells."""
    whole, rest = divmod(length * width, _PAGE_BYTES)
    return [_PAGE_BYTES] * whole + [rest] * (rest > 0)


def _slots_at(index: int, number: int) -> int:
    return _RUN_AT + index * _RUN_STEP + number


def _buckets_at(index: int, number: int) -> int:
    return _RUN_AT + index * _RUN_STEP + _BUCKETS_AT + number


def _gone() -> None:
    return None


class _Builder:
    """Makes a run's pages when one is asked for, and lets go of them with the last."""

    def __init__(self, run: Run, slots: Slots) -> None:
        self._run = run
        self._slots = slots
        self._made: tuple[NDArray[np.uint64], NDArray[np.uint32]] | None = None

    def _make(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        if self._made is None:
            slots = self._slots(self._run.first, self._run.last)
            slots.sort()
            if len(slots) != self._run.last - self._run.first:
                raise StoreError("the runs of a dictionary lack codes", code="STORE_DAMAGED")
            firsts = np.arange(1 << self._run.bits, dtype=np.uint64) << np.uint64(64 - self._run.bits)
            self._made = slots, np.searchsorted(slots, firsts).astype(np.uint32)
        return self._made

    def slots(self, number: int) -> bytes:
        """A page of slots."""
        return self._make()[0][number << SLOT_BITS : (number + 1) << SLOT_BITS].tobytes()

    def buckets(self, number: int) -> bytes:
        """A page of buckets."""
        page = self._make()[1][number << BUCKET_BITS : (number + 1) << BUCKET_BITS].tobytes()
        if (number + 1) << BUCKET_BITS >= 1 << self._run.bits:
            self._made = None
        return page
