"""Promise: a block is its cells, however its page is laid out, whatever was patched, and its kernels say what they say row by row."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.bitmaps.block_answers import scan_kernels, scan_with
from core.bitmaps.block_tables import BlockTable
from core.bitmaps.blocks import Block, BlockTest
from core.bitmaps.cells import BLOCK_ROWS, Data, Tags
from core.errors import StoreError
from core.values import INT_MAX, INT_MIN, ValueType

NULL, BOOL, INT, DOUBLE, STRING, TIMESTAMP, LIST = (ValueType(tag) for tag in range(1, 8))
Cells = tuple[Tags, Data]
EVERYBODY = np.full(1024, 2**64 - 1, np.uint64)


def doubles(values: NDArray[np.floating[Any]]) -> Data:
    return values.astype(np.float64).view(np.int64)


def _kinds(draw: np.random.Generator) -> dict[str, Cells]:
    """Columns of every layout and index, 65,536 cells each before anyone is taken out."""
    n = BLOCK_ROWS

    def all_of(tag: ValueType, data: NDArray[Any]) -> Cells:
        return np.full(n, tag, np.uint8), data.astype(np.int64)

    wide = draw.integers(INT_MIN, INT_MAX, n, endpoint=True)
    mixed = draw.choice(np.array([0, NULL, BOOL, INT, DOUBLE, STRING, TIMESTAMP, LIST], np.uint8), n)
    texts = draw.choice(np.array([NULL, BOOL, STRING], np.uint8), n)
    small = draw.integers(0, 2, n)
    return {
        "one int": all_of(INT, np.full(n, -7)),
        "ages": all_of(INT, draw.integers(13, 90, n)),
        "even": all_of(INT, draw.integers(-5_000, 5_000, n) * 1_000_000),
        "wide": all_of(INT, wide),
        "skewed": all_of(INT, np.where(draw.random(n) < 0.7, 5, draw.integers(0, 70_000, n))),
        "seconds": all_of(TIMESTAMP, 1_700_000_000_000_000 + draw.integers(0, 31_000_000, n) * 1_000_000),
        "cents": all_of(DOUBLE, doubles(np.round(draw.exponential(50, n), 2))),
        "reals": all_of(DOUBLE, doubles(draw.normal(0, 1e6, n))),
        "whole": all_of(DOUBLE, doubles(draw.integers(-3, 4, n).astype(np.float64))),
        "odd reals": all_of(
            DOUBLE, doubles(draw.choice([-0.0, 0.0, 0.1, math.inf, -math.inf, 5e-324, 1e300, math.nan], n))
        ),
        "flags": all_of(BOOL, draw.random(n) < 0.04),
        "few texts": all_of(STRING, np.minimum(draw.zipf(1.5, n), 300)),
        "many texts": all_of(STRING, draw.integers(0, 30_000, n)),
        "own texts": all_of(STRING, np.arange(n) + 1_000_000),
        "nulls": all_of(NULL, np.zeros(n)),
        "texts and flags": (texts, np.where(texts == NULL, 0, small)),
        "mixed": (mixed, np.where(mixed == NULL, 0, small)),
        "mixed reals": (
            np.where(small > 0, DOUBLE, INT).astype(np.uint8),
            np.where(small > 0, doubles(np.round(draw.normal(0, 9, n))), draw.integers(-9, 9, n)),
        ),
    }


KINDS = sorted(_kinds(np.random.default_rng(0)))


def cells_of(kind: str, seed: int, share: float) -> Cells:
    """A column of which about a share of the rows has a value."""
    draw = np.random.default_rng(seed)
    tags, data = _kinds(draw)[kind]
    present = draw.random(BLOCK_ROWS) < share
    tags = np.where(present, tags, 0).astype(np.uint8)
    return tags, np.where(tags > 0, data, 0)


@dataclass(frozen=True)
class Wanted:
    """What a `BlockTest` is made of, and what it says of cells by numpy alone."""

    int_tag: int
    ints: tuple[int, int]
    double_tag: int
    doubles: tuple[float, float]
    others_false: bool
    negate: bool
    wanted: Cells | None = None

    def test(self) -> BlockTest:
        return BlockTest(
            int_tag=self.int_tag,
            int_least=self.ints[0],
            int_greatest=self.ints[1],
            double_tag=self.double_tag,
            double_least=self.doubles[0],
            double_greatest=self.doubles[1],
            others_false=self.others_false,
            negate=self.negate,
            wanted=self.wanted,
        )

    def say(self, tags: Tags, data: Data) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """True and false of each cell."""
        reals, present = data.view(np.float64), tags != 0
        if self.wanted is not None:
            hit, known = np.zeros(len(tags), bool), present
            for tag, cell in zip(*(part.tolist() for part in self.wanted), strict=True):
                if tag == DOUBLE:
                    hit |= (tags == tag) & (reals == struct.unpack("<d", struct.pack("<q", cell))[0])
                else:
                    hit |= (tags == tag) & ((data == cell) | (tag == NULL))
        else:
            is_int = present & (tags == self.int_tag)
            is_real = present & (tags == self.double_tag)
            hit = is_int & (data >= self.ints[0]) & (data <= self.ints[1])
            hit |= is_real & (reals >= self.doubles[0]) & (reals <= self.doubles[1])
            known = present if self.others_false else is_int | is_real
        true = known & ~hit if self.negate else hit
        return true, known & ~true


def words(rows: NDArray[np.bool_]) -> NDArray[np.uint64]:
    return np.packbits(rows, bitorder="little").view(np.uint64)


def check(block: Block, cells: Cells, wanted: Wanted, asked: NDArray[np.bool_]) -> None:
    """All kernels against the cells."""
    true, false = (words(rows & asked) for rows in wanted.say(*cells))
    found_true, found_false = np.ones(1024, np.uint64), np.ones(1024, np.uint64)
    block.split(wanted.test(), words(asked), found_true, found_false)
    assert (found_true == true).all()
    assert (found_false == false).all()
    acc = words(asked)
    assert block.narrow(wanted.test(), acc) or not acc.any()
    assert (acc == true).all()


@st.composite
def comparisons(draw: st.DrawFn, cells: Cells) -> Wanted:
    """A comparison whose bounds are near the cells' own values."""
    tags, data = cells
    rows = st.integers(0, BLOCK_ROWS - 1)

    def near_int() -> int:
        cell = int(data[draw(rows)]) + draw(st.integers(-1, 1))
        return min(max(draw(st.sampled_from([cell, cell, cell, INT_MIN, INT_MAX, 0])), INT_MIN), INT_MAX)

    def near_real() -> float:
        value = float(data.view(np.float64)[draw(rows)])
        near = math.nextafter(value, draw(st.sampled_from([-math.inf, value, math.inf])))
        real: float = draw(st.sampled_from([near, near, near, -math.inf, math.inf, 0.0, -0.0, 1e13]))
        return 0.0 if math.isnan(real) else real

    wanted = None
    if draw(st.booleans()):
        chosen = np.array(draw(st.lists(rows, max_size=12)), np.int64)
        more = np.random.default_rng(draw(st.integers(0, 99))).integers(0, BLOCK_ROWS, draw(st.sampled_from([0, 20])))
        chosen = np.concatenate((chosen, more))
        chosen = chosen[tags[chosen] != 0]
        wanted = (tags[chosen], data[chosen])
    return Wanted(
        draw(
            st.sampled_from([0, NULL, BOOL, INT, STRING, TIMESTAMP, int(tags.max()) if tags.max() != DOUBLE else INT])
        ),
        (near_int(), near_int()),
        draw(st.sampled_from([0, DOUBLE])),
        (near_real(), near_real()),
        draw(st.booleans()) or wanted is not None,
        draw(st.booleans()),
        wanted,
    )


blocks = st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.sampled_from([0.0, 0.01, 0.5, 0.97, 1.0]))


def patched(block: Block, cells: Cells, seed: int, changes: int) -> tuple[Block, Cells]:
    """A block with some cells changed or gone, by way of a table, and those cells."""
    draw = np.random.default_rng(seed)
    places = draw.choice(BLOCK_ROWS, changes, replace=False)
    tags, data = (part.copy() for part in cells)
    other_tags, other_data = _kinds(draw)["mixed" if seed % 2 else KINDS[seed % len(KINDS)]]
    tags[places] = np.where(draw.random(changes) < 0.3, 0, other_tags[places])
    data[places] = np.where(tags[places] > 0, other_data[places], 0)
    table = BlockTable()
    table.put(0, block)
    table.set_cells(places.astype(np.uint32), tags[places], data[places])
    return table.get(0, Block(np.zeros(BLOCK_ROWS, np.uint8), np.zeros(BLOCK_ROWS, np.int64))), (tags, data)


@settings(max_examples=150, deadline=None)
@given(st.data(), blocks, st.sampled_from([0, 0, 1, 300, 2000]), st.sampled_from([0.0, 0.003, 0.5, 1.0]))
def test_kernels(data: st.DataObject, kind: tuple[str, int, float], changes: int, asked: float) -> None:
    cells = cells_of(*kind)
    block, cells = patched(Block(*cells), cells, kind[1], changes)
    assert (block.tags == cells[0]).all()
    assert (block.data == cells[1]).all()
    assert (block.present() == words(cells[0] != 0)).all()
    assert block.counts.tolist() == np.bincount(cells[0], minlength=9).tolist()
    places = np.random.default_rng(3).integers(0, BLOCK_ROWS, 50).astype(np.uint16)
    assert [part.tolist() for part in block.cells(places)] == [part[places].tolist() for part in cells]
    rows = np.random.default_rng(4).random(BLOCK_ROWS) < asked
    for _ in range(3):
        check(block, cells, data.draw(comparisons(cells)), rows)
    again = Block.load(block.dump())
    assert again.patched == 0
    assert (again.tags == cells[0]).all() and (again.data == cells[1]).all()
    check(again, cells, data.draw(comparisons(cells)), rows)


@pytest.mark.parametrize(
    ("kind", "width", "index"),
    [
        ("one int", 0, ""),
        ("ages", 1, "order"),
        ("even", 2, "order"),
        ("seconds", 4, "order"),
        ("cents", 2, "order"),
        ("reals", 8, "order"),
        ("whole", 1, "order"),
        ("flags", 1, "values"),
        ("few texts", 2, "values"),
        ("many texts", 2, "order"),
        ("own texts", 2, ""),
        ("texts and flags", 1, "values"),
        ("mixed", 1, ""),
    ],
)
def test_pages_are_narrow_and_indexed(kind: str, width: int, index: str) -> None:
    block = Block(*cells_of(kind, 1, 1.0))
    assert (block.width, block.index) == (width, index)


@pytest.mark.parametrize("name", scan_kernels())
@pytest.mark.parametrize("width", [1, 2, 4, 8])
@given(st.data(), st.sampled_from([0.0, 0.001, 0.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_scans_of_every_instruction_set(name: str, width: int, data: st.DataObject, asked: float) -> None:
    most = 2 ** (8 * width) - 1
    draw = np.random.default_rng(width)
    offsets = draw.integers(0, most, BLOCK_ROWS, dtype=np.uint64, endpoint=True).astype(f"u{width}")
    rows = draw.random(BLOCK_ROWS) < asked
    bound = st.one_of(st.sampled_from([0, 1, most - 1, most, most // 2]), st.integers(0, most))
    low, high = sorted((data.draw(bound), data.draw(bound)))
    hits = (offsets >= low) & (offsets <= high) & rows
    assert (scan_with(name, offsets, low, high, words(rows)) == words(hits)).all()


def test_the_index_answers_instead_of_the_column() -> None:
    age = BlockTest(int_tag=INT, int_least=25, int_greatest=INT_MAX)
    index_words, index_rows, scanned, patched_rows = Block(*cells_of("ages", 1, 0.9)).work(age, EVERYBODY)
    assert (scanned, patched_rows) == (0, 0)
    assert index_words <= 2048 and index_rows <= 1024
    all_of_them = BlockTest(int_tag=INT, int_least=0, int_greatest=1000)
    assert Block(*cells_of("ages", 1, 0.9)).work(all_of_them, EVERYBODY) == (0, 0, 0, 0)
    text = BlockTest(int_tag=STRING, int_least=17, int_greatest=17, others_false=True)
    assert Block(*cells_of("many texts", 1, 0.9)).work(text, EVERYBODY)[2] == 0


def test_a_patch_is_folded_when_it_has_grown() -> None:
    cells = cells_of("ages", 1, 1.0)
    table = BlockTable()
    table.put(0, Block(*cells))
    grown = []
    for start in range(0, 3000, 500):
        table.set_cells(
            np.arange(start, start + 500, dtype=np.uint32), np.full(500, INT, np.uint8), np.arange(500) + 1000
        )
        grown.append(table[0].patched)
    assert max(grown) >= 500 and min(grown) == 0
    assert table[0].data[:3000].tolist() == list(range(1000, 1500)) * 6


def test_what_does_not_fit_is_refused() -> None:
    tags, data = np.zeros(BLOCK_ROWS, np.uint8), np.zeros(BLOCK_ROWS, np.int64)
    for wrong in ((tags[:-1], data), (tags, data[:-1]), (np.full(BLOCK_ROWS, 9, np.uint8), data)):
        with pytest.raises(ValueError):
            Block(*wrong)
    block, row, test = Block(tags, data), np.zeros(1024, np.uint64), BlockTest()
    for sets in ((row[:-1], row, row), (row, row[:-1], row), (row, row, row[:-1])):
        with pytest.raises(ValueError):
            block.split(test, *(part.copy() for part in sets))
    with pytest.raises(ValueError):
        block.narrow(test, row[:-1].copy())
    with pytest.raises(ValueError):
        BlockTest(int_tag=9)
    with pytest.raises(ValueError):
        BlockTest(wanted=(np.array([0], np.uint8), np.array([0])))
    table, one = BlockTable(), np.zeros(1, np.uint32)
    with pytest.raises(ValueError):
        table.set_cells(one, np.zeros(2, np.uint8), np.zeros(1, np.int64))
    with pytest.raises(ValueError):
        table.set_cells(one, np.full(1, 9, np.uint8), np.zeros(1, np.int64))
    with pytest.raises(ValueError):
        table.put(1 << 16, block)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["ages", "cents", "few texts", "many texts", "mixed", "flags", "texts and flags"]),
    st.lists(st.tuples(st.one_of(st.integers(0, 260), st.integers(0, 20_000)), st.integers(0, 255)), max_size=3),
    st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_damaged_pages_never_lead_astray(kind: str, bytes_at: list[tuple[int, int]], cut: int | None) -> None:
    page = bytearray(_PAGES.setdefault(kind, Block(*cells_of(kind, 2, 0.9)).dump()))
    for place, byte in bytes_at:
        page[place % len(page)] = byte
    if cut is not None:
        page = page[: cut % len(page)]
    try:
        block = Block.load(bytes(page))
    except StoreError as error:
        assert error.code == "STORE_DAMAGED"
        return
    for tag in (BOOL, INT, STRING):
        block.narrow(BlockTest(int_tag=tag, int_least=1, int_greatest=50, double_tag=DOUBLE), EVERYBODY.copy())
    block.narrow(BlockTest(wanted=(np.array([3, 5], np.uint8), np.array([20, 3]))), EVERYBODY.copy())
    assert len(block.tags) == len(block.data) == BLOCK_ROWS


_PAGES: dict[str, bytes] = {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 3), st.integers(-5, 5)), max_size=30)))
def test_a_table_is_a_dict_of_cells(batches: list[list[tuple[int, int, int]]]) -> None:
    table, model = BlockTable(), dict[int, tuple[int, int]]()
    for batch in batches:
        before, older = table.fork(), dict(model)
        ordinals, tags, data = (np.array([row[part] for row in batch], np.int64) for part in range(3))
        changed = table.set_cells(ordinals.astype(np.uint32), tags.astype(np.uint8), data)
        model.update({ordinal: (tag, cell if tag else 0) for ordinal, tag, cell in batch})
        differing = {o >> 16 for o, cell in model.items() if older.get(o, (0, 0)) != cell}
        assert set(changed) == differing and len(changed) == len(differing)
        for one, cells in ((table, model), (before, older)):
            users = np.array(sorted(cells), np.uint32)
            found = one.cells(users)
            assert list(zip(*(part.tolist() for part in found), strict=True)) == [
                cells[user] for user in users.tolist()
            ]
            assert one.select(None).tolist() == [user for user in users.tolist() if cells[user][0]]
            ints = one.select(BlockTest(int_tag=INT, int_least=0, int_greatest=2))
            assert ints.tolist() == [u for u in users.tolist() if cells[u][0] == INT and 0 <= cells[u][1] <= 2]
