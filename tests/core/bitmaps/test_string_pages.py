"""Promise: a dictionary used in place from its pages is the dictionary that was written, whatever came in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bitmaps import slot_runs
from core.bitmaps.strings import StringTable
from core.errors import StoreError


@pytest.fixture(autouse=True)
def _runs_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_runs, "RUN_LEAST", 5)


class Disk:
    """Pages by number, as checkpoints leave them."""

    def __init__(self) -> None:
        self.pages: dict[int, bytes] = {}
        self.saved = 0

    def write(self, table: StringTable, upto: int | None = None) -> None:
        numbers = []
        for number, dump in table.pages_since(self.saved, upto):
            numbers.append(number)
            page = dump()
            if page is None:
                del self.pages[number]
            else:
                self.pages[number] = page
        assert numbers == sorted(set(numbers))
        self.saved = max(self.saved, len(table) if upto is None else upto)

    def read(self) -> StringTable:
        table = StringTable()
        for number, page in sorted(self.pages.items()):
            table.load_page(number, page)
        return table


def same(table: StringTable, texts: list[str]) -> None:
    """Whether a table is what a list of distinct strings says."""
    assert len(table) == len(texts)
    assert table.texts(np.arange(len(texts))) == texts
    assert table.find_many([*texts, "never so long"]).tolist() == [*range(len(texts)), -1]
    parts = [text.encode() for text in texts]
    lengths = np.array([len(part) for part in parts], np.uint64)
    spans = b"".join(parts), np.cumsum(lengths) - lengths, lengths
    assert table.find_spans(*spans).tolist() == list(range(len(texts)))


_steps = st.lists(
    st.tuples(st.sampled_from(["intern", "write", "write part", "adopt", "reopen", "drop"]), st.integers(0, 40)),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(_steps, st.sampled_from([1, 3000]))
def test_against_a_list(steps: list[tuple[str, int]], times: int) -> None:
    table, disk = StringTable(), Disk()
    texts: list[str] = []
    for step, amount in steps:
        if step == "intern":
            fresh = [
                f"{len(texts) + number}" * (number % 3) + f"-{len(texts) + number}" for number in range(amount * times)
            ]
            texts += fresh
            assert table.intern_many(fresh).tolist() == list(range(len(texts) - len(fresh), len(texts)))
        elif step == "write":
            disk.write(table)
        elif step == "write part":
            disk.write(table, max(disk.saved, len(texts) - amount))
        elif step == "adopt":
            table.adopt(disk.pages.get)
        elif step == "reopen":
            table, texts = disk.read(), texts[: disk.saved]
        else:
            texts = texts[: max(disk.saved, len(texts) - amount)]
            table.truncate(len(texts))
        assert len(table) == len(texts)
    same(table, texts)
    same(disk.read(), texts[: disk.saved])


def _written(count: int) -> tuple[Disk, list[str]]:
    texts = [f"user-{number}" for number in range(count)]
    table, disk = StringTable(), Disk()
    table.intern_many(texts)
    disk.write(table)
    return disk, texts


def test_many_entries_cost_no_memory_once_they_are_adopted() -> None:
    disk, texts = _written(300_000)
    table = disk.read()
    assert table.nbytes < 1000
    same(table, texts)
    table.intern("one more")
    assert table.nbytes < 1_000_000
    grown = StringTable()
    for number, page in sorted(disk.pages.items()):
        grown.load_page(number, page)
    grown.intern_many([f"late-{number}" for number in range(100_000)])
    before = grown.nbytes
    disk.write(grown)
    grown.adopt(disk.pages.get)
    assert grown.nbytes < before // 10
    same(grown, [*texts, *(f"late-{number}" for number in range(100_000))])


def test_later_entries_are_a_run_of_their_own_until_there_are_many() -> None:
    disk, texts = _written(100_000)
    first_run = {n: page for n, page in disk.pages.items() if n >= 1 << 40}
    table = disk.read()
    table.intern_many([f"late-{number}" for number in range(20_000)])
    disk.write(table)
    assert all(disk.pages[n] == page for n, page in first_run.items() if n < 1 << 48)
    table.adopt(disk.pages.get)
    assert table.intern("late-100") == 100_100
    table.intern_many([f"later-{number}" for number in range(20_000)])
    disk.write(table)
    assert max(n for n in disk.pages if n < 1 << 48) < (1 << 40) + (1 << 36)
    same(disk.read(), [*texts, *(f"late-{n}" for n in range(20_000)), *(f"later-{n}" for n in range(20_000))])


def _damages(disk: Disk) -> Iterator[tuple[int, bytes]]:
    for number, page in disk.pages.items():
        yield number, page[:-1]
        yield number, page[: len(page) // 2]
        yield number, page + b"\0"
        yield number, b""


def test_pages_of_the_wrong_size_are_refused() -> None:
    disk, _ = _written(20_000)
    for number, damage in _damages(disk):
        broken = Disk()
        broken.pages = {**disk.pages, number: damage}
        with pytest.raises(StoreError):
            broken.read()
    for number in disk.pages:
        broken = Disk()
        broken.pages = {n: page for n, page in disk.pages.items() if n != number}
        if number != 1 << 48:
            with pytest.raises(StoreError):
                broken.read()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_scribbled_pages_harm_nothing_else(data: st.DataObject) -> None:
    """A damaged table errs or answers wrongly; it reads no byte outside its pages (run under a sanitizer, too)."""
    disk, texts = data.draw(st.sampled_from(_GOOD))
    number = data.draw(st.sampled_from(sorted(disk.pages)))
    page = bytearray(disk.pages[number])
    for _ in range(data.draw(st.integers(1, 8))):
        page[data.draw(st.integers(0, len(page) - 1))] = data.draw(st.integers(0, 255))
    broken = Disk()
    broken.pages = {**disk.pages, number: bytes(page)}
    try:
        table = broken.read()
        for code in range(len(table)):
            with suppress(StoreError):
                table.text(code)
        table.find_many(texts)
        table.intern_many([*texts, "more"])
        broken.saved = 0
        broken.write(table)
    except StoreError as error:
        assert error.code == "STORE_DAMAGED"


_GOOD = [_written(40), _written(5000)]  # without and with runs
