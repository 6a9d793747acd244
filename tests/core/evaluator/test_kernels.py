"""Promise: the scan, the tallies and the set kernels say what their naive twins here say, and refuse what would make them read astray."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.evaluator import words
from core.evaluator.aggregates import Sums
from core.evaluator.cel_values import CelError, Uint
from core.evaluator.cells import from_cell, to_cell
from core.evaluator.comparing import equal, ordered
from core.evaluator.functions import call
from core.evaluator.ranges import COMPARISONS, bounds_of
from core.evaluator.run import blocks_of
from core.evaluator.scan import Range, scan
from core.evaluator.tally import count_into, sum_into
from core.evaluator.vector import BOOL, DOUBLE, INT, NULL, STRING, TIMESTAMP, Vector
from core.values import INT_MAX, INT_MIN, from_micros

_INTS = (INT_MIN, INT_MIN + 1, -(2**53) - 1, -2, -1, 0, 1, 2, 2**53, 2**53 + 1, INT_MAX - 1, INT_MAX)
_REALS = (-math.inf, -(2.0**63), -1.5, -1.0, -0.0, 0.0, 5e-324, 0.5, 1.0, 1.5, 2.0**53, 2.0**63, 1e300, math.inf)
_cells = st.one_of(
    st.tuples(st.just(INT), st.sampled_from(_INTS)),
    st.tuples(st.just(DOUBLE), st.sampled_from(_REALS).map(lambda value: to_cell(value)[1])),
    st.tuples(st.sampled_from([BOOL, STRING, TIMESTAMP]), st.integers(0, 3)),
    st.tuples(st.sampled_from([0, NULL]), st.just(0)),
)
_constants = st.one_of(
    st.tuples(st.just(INT), st.sampled_from(_INTS)),
    st.tuples(st.just(DOUBLE), st.sampled_from([*_REALS, math.nan])),
    st.tuples(st.sampled_from([BOOL, STRING, TIMESTAMP]), st.integers(-1, 3)),
    st.tuples(st.just(NULL), st.just(0)),
)


def _answer(function: str, kind: int, cell: int, tag: int, constant: Any) -> bool | None:
    """A cell compared with a constant; strings, bools and timestamps are ints of a type of their own."""
    if kind == 0:
        return None
    numbers = {INT, DOUBLE}
    alike = kind == tag or {kind, tag} <= numbers
    value = from_cell(DOUBLE, cell) if kind == DOUBLE else cell
    if function in ("_==_", "_!=_"):
        same = alike and (kind == NULL or equal(value, constant))
        return same if function == "_==_" else not same
    return ordered(function, value, constant) if alike and kind not in (NULL, STRING) else None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65_535), _cells), max_size=40), st.sampled_from(COMPARISONS), _constants)
def test_scan(given_cells: list[tuple[int, tuple[int, int]]], function: str, constant: tuple[int, Any]) -> None:
    bounds = bounds_of(function, *constant)
    if bounds is None:
        assert constant[0] in (NULL, STRING) and function not in ("_==_", "_!=_")
        return
    tags, data = np.zeros(65_536, np.uint8), np.zeros(65_536, np.int64)
    for place, (kind, cell) in given_cells:
        tags[place], data[place] = kind, cell
    asked = {place for place, _ in given_cells[::2]} | {0, 65_535}
    within = words.expand(BitMap(asked).serialize(), np.zeros(1, np.uint32))[0]
    true, false = np.full(1024, 2**64 - 1, np.uint64), np.full(1024, 2**64 - 1, np.uint64)
    scan(tags, data, within, true, false, bounds.range())
    answers = {place: _answer(function, int(tags[place]), int(data[place]), *constant) for place in asked}
    assert set(words.positions(true).tolist()) == {place for place, answer in answers.items() if answer is True}
    assert set(words.positions(false).tolist()) == {place for place, answer in answers.items() if answer is False}


_sets = st.one_of(
    st.sets(st.integers(0, 300_000), max_size=50).map(BitMap),
    st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)).map(lambda ends: BitMap(range(*ends))),
    st.integers(0, 60_000).map(lambda start: BitMap(range(start, start + 150_000, 3))),
)


def _run_optimized(users: BitMap) -> BitMap:
    twin = users.copy()
    twin.run_optimize()
    return twin


@settings(max_examples=150, deadline=None)
@given(st.lists(_sets, min_size=1, max_size=3), st.sets(st.integers(0, 6)))
def test_words_and_back(parts: list[BitMap], numbers: set[int]) -> None:
    users = BitMap.union(*parts)
    blocks = np.array(sorted(numbers), np.uint32)
    inside = BitMap(user for user in users if user >> 16 in numbers)
    for form in (users, _run_optimized(users)):
        rows = words.expand(form.serialize(), blocks)
        assert words.count(rows) == len(inside)
        for row, number in zip(rows, blocks.tolist(), strict=True):
            mine = [user & 65_535 for user in users if user >> 16 == number]
            assert words.positions(row).tolist() == mine
        assert BitMap.deserialize(words.collapse(blocks, rows)) == inside
    assert blocks_of(users).tolist() == sorted({user >> 16 for user in users})


@given(st.lists(st.tuples(st.integers(0, 65_535), st.booleans()), max_size=100))
def test_scatter(flags: list[tuple[int, bool]]) -> None:
    row = np.zeros(1024, np.uint64)
    places = np.array([place for place, _ in flags], np.int64)
    words.scatter(places, np.array([flag for _, flag in flags], bool).view(np.uint8), row)
    assert words.positions(row).tolist() == sorted({place for place, flag in flags if flag})


def test_what_does_not_fit_is_refused() -> None:
    tags, data, row = np.zeros(65_536, np.uint8), np.zeros(65_536, np.int64), np.zeros(1024, np.uint64)
    with pytest.raises(ValueError):
        scan(tags[:-1], data, row, row.copy(), row.copy(), Range())
    with pytest.raises(ValueError):
        scan(tags, data, row[:-1], row.copy(), row.copy(), Range())
    for places in ([65_536], [-1]):
        with pytest.raises(ValueError):
            words.scatter(np.array(places, np.int64), np.ones(1, np.uint8), row)
    with pytest.raises(ValueError):
        words.scatter(np.zeros(2, np.int64), np.ones(1, np.uint8), row)
    with pytest.raises(ValueError):
        words.collapse(np.zeros(2, np.uint32), row.reshape(1, 1024))


@settings(max_examples=200, deadline=None)
@given(_sets, st.data())
def test_damaged_bytes_are_refused_or_read_within_bounds(users: BitMap, draw: st.DataObject) -> None:
    serialized = bytearray(_run_optimized(users).serialize())
    for _ in range(draw.draw(st.integers(1, 4))):
        serialized[draw.draw(st.integers(0, len(serialized) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(serialized[: draw.draw(st.integers(0, len(serialized)))])
    try:
        rows = words.expand(cut, np.arange(5, dtype=np.uint32))
    except ValueError:
        return
    assert rows.shape == (5, 1024)


_numbers = st.one_of(
    st.sampled_from([1, 2, INT_MAX, INT_MIN, INT_MAX // 2]),
    st.sampled_from([0.1, 0.2, 0.3, -0.0, 1e16, 1e308, -1e308]),
    st.sampled_from([Uint(1), Uint(2**63), Uint(2**64 - 1)]),
    st.sampled_from([None, True, from_micros(5)]),
)
_lists = st.one_of(
    st.lists(st.sampled_from([1, 2, -5, INT_MAX, INT_MIN])),
    st.lists(st.sampled_from([0.1, 0.2, 0.3, -0.0, 1e16, -1e16, 1e308])),
    st.lists(_numbers),
)


def _naive_sum(items: list[Any]) -> tuple[int, int]:
    """The tag and the bits of the row matcher's sum, or the tag of its error."""
    try:
        tag, cell = to_cell(call("sum", [items]))
    except CelError as error:
        tag, cell = to_cell(error)
    assert cell is not None
    return tag, cell


@settings(max_examples=300, deadline=None)
@given(st.lists(_lists, min_size=1, max_size=6), st.randoms())
def test_sums_by_slot(lists: list[list[Any]], dice: Any) -> None:
    """Elements of all lists come mixed, those of one list in their order, in several portions."""
    rows = [slot for slot, items in enumerate(lists) for _ in items]
    dice.shuffle(rows)
    waiting = [iter(items) for items in lists]
    cells = [to_cell(next(waiting[slot])) for slot in rows]
    sums = Sums(len(lists))
    half = len(rows) // 2
    for portion in (slice(half), slice(half, None)):
        tags = np.array([tag for tag, _ in cells[portion]], np.uint8)
        data = np.array([cell for _, cell in cells[portion]], np.int64)
        sums.add(np.array(rows[portion], np.int64), Vector(tags, data))
    found = sums.done()
    assert list(zip(found.tags.tolist(), found.data.tolist(), strict=True)) == [_naive_sum(items) for items in lists]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_counts_by_slot(rows: list[tuple[int, bool]]) -> None:
    counters = np.ones(6, np.uint32)
    slots, flags = (np.array([row[part] for row in rows], kind) for part, kind in ((0, np.int64), (1, bool)))
    count_into(slots, flags.view(np.uint8), counters)
    assert counters.tolist() == [1 + sum(flag for slot, flag in rows if slot == number) for number in range(6)]


@pytest.mark.parametrize("slots", [[6], [-1], [0, 1]])
def test_slots_that_are_not_there_are_refused(slots: list[int]) -> None:
    counters, tags = np.zeros(6, np.uint32), np.zeros(6, np.uint8)
    places = np.array(slots, np.int64)
    with pytest.raises(ValueError):
        count_into(places, np.ones(1, np.uint8), counters)
    with pytest.raises(ValueError):
        sum_into(places, np.ones(1, np.uint8), np.ones(1, np.int64), tags, np.zeros(6, np.int64))
    with pytest.raises(ValueError):
        sum_into(places[:0], tags[:0], np.zeros(0, np.int64), tags, np.zeros(5, np.int64))
    assert not counters.any() and not tags.any()
