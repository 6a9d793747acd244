"""Promise: every kernel gives what its naive twin gives, and refuses what would make it read or write astray.

What a scan and a sum mean is held a second time, against the row matcher's own comparisons and `sum()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyroaring import BitMap

from core.bitmaps.blocks import Block, BlockTest
from core.bitmaps.user_set import UserSet
from core.evaluator import program, tally, words
from core.evaluator.aggregates import Sums
from core.evaluator.cel_values import CelError, Uint
from core.evaluator.cells import from_cell, to_cell
from core.evaluator.comparing import equal, ordered
from core.evaluator.functions import call
from core.evaluator.ranges import COMPARISONS, Bounds, bounds_of
from core.evaluator.vector import BOOL, DOUBLE, INT, NULL, STRING, TIMESTAMP, UINT, Vector
from core.values import INT_MAX, INT_MIN, from_micros
from tests.core.evaluator import naive

_INTS = (INT_MIN, INT_MIN + 1, -(2**53) - 1, -2, -1, 0, 1, 2, 2**53, 2**53 + 1, INT_MAX - 1, INT_MAX)
_REALS = (-math.inf, -(2.0**63), -1.5, -1.0, -0.0, 0.0, 5e-324, 0.5, 1.0, 1.5, 2.0**53, 2.0**63, 1e300, math.inf)
_int_cells = st.sampled_from(_INTS)
_double_cells = st.sampled_from(_REALS).map(lambda value: to_cell(value)[1] or 0)
_cells = st.one_of(
    st.tuples(st.just(INT), _int_cells),
    st.tuples(st.just(DOUBLE), _double_cells),
    st.tuples(st.sampled_from([BOOL, STRING, TIMESTAMP]), st.integers(0, 3)),
    st.tuples(st.sampled_from([0, NULL]), st.just(0)),
)
_rows = st.lists(
    st.tuples(st.one_of(st.sampled_from([0, 63, 64, 65_535]), st.integers(0, 65_535)), _cells), max_size=40
)
_constants = st.one_of(
    st.tuples(st.just(INT), st.sampled_from(_INTS)),
    st.tuples(st.just(DOUBLE), st.sampled_from([*_REALS, math.nan])),
    st.tuples(st.sampled_from([BOOL, STRING, TIMESTAMP]), st.integers(-1, 3)),
    st.tuples(st.just(NULL), st.just(0)),
)
_bounds = st.builds(
    Bounds,
    int_tag=st.sampled_from([0, BOOL, INT, STRING]),
    ints=st.tuples(_int_cells, _int_cells),
    double_tag=st.sampled_from([0, DOUBLE]),
    doubles=st.tuples(st.sampled_from(_REALS), st.sampled_from(_REALS)),
    others_false=st.booleans(),
    negate=st.booleans(),
)

Scanned = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def _scanned(kernel: Callable[..., None], rows: list[tuple[int, tuple[int, int]]], wanted: object) -> Scanned:
    """What a scan over these cells says of every second of them and of the block's first and last user."""
    tags, data = np.zeros(65_536, np.uint8), np.zeros(65_536, np.int64)
    for place, (kind, cell) in rows:
        tags[place], data[place] = kind, cell
    true, false = np.full(1024, 2**64 - 1, np.uint64), np.full(1024, 2**64 - 1, np.uint64)
    kernel(tags, data, naive.words_of(_asked(rows)), true, false, wanted)
    return true, false


def _ask_block(
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    within: NDArray[np.uint64],
    true: NDArray[np.uint64],
    false: NDArray[np.uint64],
    wanted: BlockTest,
) -> None:
    Block(tags, data).split(wanted, within, true, false)


def _asked(rows: list[tuple[int, tuple[int, int]]]) -> set[int]:
    return {place for place, _ in rows[::2]} | {0, 65_535}


@settings(max_examples=200, deadline=None)
@given(_rows, _bounds)
def test_scan(rows: list[tuple[int, tuple[int, int]]], bounds: Bounds) -> None:
    for fast, slow in zip(_scanned(_ask_block, rows, bounds.test()), _scanned(naive.scan, rows, bounds), strict=True):
        assert (fast == slow).all()


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
@given(_rows, st.sampled_from(COMPARISONS), _constants)
def test_scan_against_the_row_matcher(
    rows: list[tuple[int, tuple[int, int]]], function: str, constant: tuple[int, Any]
) -> None:
    bounds = bounds_of(function, *constant)
    if bounds is None:
        assert constant[0] in (NULL, STRING) and function not in ("_==_", "_!=_")
        return
    true, false = _scanned(_ask_block, rows, bounds.test())
    cells = dict(rows)
    answers = {user: _answer(function, *cells.get(user, (0, 0)), *constant) for user in _asked(rows)}
    assert set(naive.positions(true)) == {user for user, answer in answers.items() if answer is True}
    assert set(naive.positions(false)) == {user for user, answer in answers.items() if answer is False}


_sets = st.one_of(
    st.sets(st.integers(0, 300_000), max_size=50).map(BitMap),
    st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)).map(lambda ends: BitMap(range(*ends))),
    st.integers(0, 60_000).map(lambda start: BitMap(range(start, start + 150_000, 3))),
)


def _run_optimized(users: BitMap) -> BitMap:
    twin = users.copy()
    twin.run_optimize()
    return twin


@settings(max_examples=60, deadline=None)
@given(st.lists(_sets, min_size=1, max_size=3), st.sets(st.integers(0, 6)))
def test_words_and_back(parts: list[BitMap], numbers: set[int]) -> None:
    users = BitMap.union(*parts)
    blocks = np.array(sorted(numbers), np.uint32)
    slow = naive.expand(users.serialize(), blocks)
    for form in (users, _run_optimized(users)):
        fast = UserSet(form).words(blocks)
        assert fast.shape == slow.shape and (fast == slow).all()
    assert words.count(slow) == naive.count(slow)
    for row in slow:
        assert words.positions(row).tolist() == naive.positions(row)
    written = words.collapse(blocks, slow)
    assert BitMap.deserialize(written) == BitMap.deserialize(naive.collapse(blocks, slow))
    assert (UserSet(BitMap.deserialize(written)).words(blocks) == slow).all()
    assert UserSet(users).blocks.tolist() == sorted({user >> 16 for user in users})


@given(st.lists(st.tuples(st.integers(0, 65_535), st.booleans()), max_size=100), st.sets(st.integers(0, 65_535)))
def test_scatter(flags: list[tuple[int, bool]], there: set[int]) -> None:
    places = np.array([place for place, _ in flags], np.int64)
    chosen = np.array([flag for _, flag in flags], bool).view(np.uint8)
    fast, slow = naive.words_of(there), naive.words_of(there)
    words.scatter(places, chosen, fast)
    naive.scatter(places, chosen, slow)
    assert (fast == slow).all()


def test_what_does_not_fit_is_refused() -> None:
    row = np.zeros(1024, np.uint64)
    for places in ([65_536], [-1]):
        with pytest.raises(ValueError):
            words.scatter(np.array(places, np.int64), np.ones(1, np.uint8), row)
    with pytest.raises(ValueError):
        words.scatter(np.zeros(2, np.int64), np.ones(1, np.uint8), row)
    with pytest.raises(ValueError):
        words.collapse(np.arange(2, dtype=np.uint32), row.reshape(1, 1024))
    with pytest.raises(ValueError):
        words.count(row.reshape(2, 512))
    with pytest.raises(ValueError):
        words.positions(row[:-1])


@pytest.mark.parametrize("blocks", [[1, 0], [2, 2], [65_536], [0, 2**32 - 1]])
def test_blocks_out_of_order_are_refused(blocks: list[int]) -> None:
    numbers = np.array(blocks, np.uint32)
    with pytest.raises(ValueError):
        words.collapse(numbers, np.zeros((len(blocks), 1024), np.uint64))


def test_none_is_refused() -> None:
    row = np.zeros(1024, np.uint64)
    nothing: Any = None
    flags, places, sums = np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(1, np.int64)
    calls: list[tuple[Callable[..., object], list[object]]] = [
        (UserSet(BitMap()).words, [np.zeros(0, np.uint32)]),
        (words.collapse, [np.zeros(0, np.uint32), row[:0].reshape(0, 1024)]),
        (words.count, [row[:0].reshape(0, 1024)]),
        (words.positions, [row]),
        (words.scatter, [places, flags, row]),
        (tally.count_into, [places, flags, np.zeros(1, np.uint32)]),
        (tally.sum_into, [places, flags, places, np.zeros(1, np.uint8), sums]),
    ]
    for kernel, arguments in calls:
        kernel(*arguments)
        for place in range(len(arguments)):
            with pytest.raises(TypeError):
                kernel(*arguments[:place], nothing, *arguments[place + 1 :])


@settings(max_examples=200, deadline=None)
@given(_sets, st.data())
def test_damaged_bytes_are_refused_or_read_within_bounds(users: BitMap, draw: st.DataObject) -> None:
    serialized = bytearray(_run_optimized(users).serialize())
    for _ in range(draw.draw(st.integers(1, 4))):
        serialized[draw.draw(st.integers(0, len(serialized) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(serialized[: draw.draw(st.integers(0, len(serialized)))])
    damaged: Any = SimpleNamespace(serialize=lambda: cut)
    try:
        found = UserSet(damaged)
    except ValueError:
        return
    assert found.words(np.arange(5, dtype=np.uint32)).shape == (5, 1024)


_word_sets = st.sets(st.integers(0, 65_535), max_size=40).map(naive.words_of)


@pytest.mark.parametrize("name", program.word_kernels())
@settings(max_examples=50, deadline=None)
@given(_word_sets, _word_sets, st.booleans(), st.booleans())
def test_sets_of_a_block(name: str, into: Any, other: Any, inverted: bool, other_inverted: bool) -> None:
    into, other = (~into if inverted else into), (~other if other_inverted else other)
    found = program.combined(name, into, other)
    for what, slow in (("keep", into & other), ("drop", into & ~other), ("join", into | other)):
        fast, left = found[what]
        assert (fast == slow).all() and left == (what == "join" or bool(slow.any()))
    assert found["count"] == naive.count(into.reshape(1, 1024))


_elements = st.one_of(
    st.tuples(st.just(INT), _int_cells),
    st.tuples(st.just(DOUBLE), _double_cells),
    st.tuples(st.just(UINT), _int_cells),
    st.tuples(st.sampled_from([0, BOOL, 254, 255]), st.integers(0, 1)),
)
_of_one_type = st.sampled_from([(INT, _int_cells), (UINT, _int_cells), (DOUBLE, _double_cells)]).flatmap(
    lambda kind: st.lists(st.tuples(st.integers(0, 2), st.tuples(st.just(kind[0]), kind[1])))
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(_of_one_type, st.lists(st.tuples(st.integers(0, 2), _elements))))
def test_sums(rows: list[tuple[int, tuple[int, int]]]) -> None:
    slots = np.array([slot for slot, _ in rows], np.int64)
    tags = np.array([tag for _, (tag, _) in rows], np.uint8)
    data = np.array([cell for _, (_, cell) in rows], np.int64)
    outcomes = []
    for sum_into in (tally.sum_into, naive.sum_into):
        sum_tags, sums = np.zeros(3, np.uint8), np.zeros(3, np.int64)
        sum_into(slots, tags, data, sum_tags, sums)
        numbers = [
            from_cell(int(tag), int(cell)) if tag == DOUBLE else cell for tag, cell in zip(sum_tags, sums, strict=True)
        ]
        outcomes.append((sum_tags.tolist(), [repr(number) for number in numbers]))
    assert outcomes[0] == outcomes[1]


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


def _matchers_sum(items: list[Any]) -> tuple[int, int]:
    """The tag and the bits of the row matcher's sum, or the tag of its error."""
    try:
        tag, cell = to_cell(call("sum", [items]))
    except CelError as error:
        tag, cell = to_cell(error)
    assert cell is not None
    return tag, cell


@settings(max_examples=300, deadline=None)
@given(st.lists(_lists, min_size=1, max_size=6), st.randoms())
def test_sums_against_the_row_matcher(lists: list[list[Any]], dice: Any) -> None:
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
    assert list(zip(found.tags.tolist(), found.data.tolist(), strict=True)) == [_matchers_sum(items) for items in lists]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_counts(rows: list[tuple[int, bool]]) -> None:
    fast, slow = np.ones(6, np.uint32), np.ones(6, np.uint32)
    slots = np.array([slot for slot, _ in rows], np.int64)
    flags = np.array([flag for _, flag in rows], bool).view(np.uint8)
    tally.count_into(slots, flags, fast)
    naive.count_into(slots, flags, slow)
    assert fast.tolist() == slow.tolist()


@pytest.mark.parametrize("slots", [[6], [-1], [0, 1]])
def test_slots_that_are_not_there_are_refused(slots: list[int]) -> None:
    counters, tags = np.zeros(6, np.uint32), np.zeros(6, np.uint8)
    places = np.array(slots, np.int64)
    with pytest.raises(ValueError):
        tally.count_into(places, np.ones(1, np.uint8), counters)
    with pytest.raises(ValueError):
        tally.sum_into(places, np.ones(1, np.uint8), np.ones(1, np.int64), tags, np.zeros(6, np.int64))
    with pytest.raises(ValueError):
        tally.sum_into(places[:0], tags[:0], np.zeros(0, np.int64), tags, np.zeros(5, np.int64))
    assert not counters.any() and not tags.any()
