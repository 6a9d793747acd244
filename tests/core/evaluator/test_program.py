"""Promise: a program of kernels says of every user what its leaves say put together, whatever the order they run in.

The naive twin judges one user at a time: true, false, or (None) in error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from core.bitmaps.block_tables import BlockTable
from core.bitmaps.user_set import UserSet
from core.evaluator.program import (
    AND,
    CHOICE,
    CLOSED,
    NOT,
    OR,
    Blocks,
    ComparisonLeaf,
    Leaf,
    MembersLeaf,
    PresenceLeaf,
    Program,
)
from core.evaluator.ranges import Bounds, bounds_of
from core.evaluator.vector import DOUBLE, INT, STRING
from core.values import ABSENT, Value
from tests.conformance.populations import populated

PLACES = (0, 1, 63, 64, 65_535, 65_536, 70_000, 131_071, 200_000, 300_000)
_NUMBERS = np.arange(6, dtype=np.uint32)
_COLUMNS = ("a", "b", "c")
_values: st.SearchStrategy[Any] = st.sampled_from([ABSENT, 0, 1, 2, 3, 1.5, 2.5, "x"])
_rows = st.lists(st.fixed_dictionaries({name: _values for name in _COLUMNS}), min_size=10, max_size=10)
_leaves = st.one_of(
    st.sampled_from([True, False, None]),
    st.tuples(st.just("test"), st.sampled_from(_COLUMNS), st.sampled_from(["_<_", "_>=_", "_==_", "_!=_"]), st.integers(0, 3)),
    st.tuples(st.just("present"), st.sampled_from(_COLUMNS)),
    st.tuples(st.just("members"), st.sets(st.sampled_from(PLACES))),
)  # fmt: skip
_trees = st.recursive(
    _leaves,
    lambda below: st.one_of(
        st.tuples(st.sampled_from([AND, OR]), st.lists(below, min_size=1, max_size=4)),
        st.tuples(st.sampled_from([NOT, CLOSED]), st.tuples(below)),
        st.tuples(st.just(CHOICE), st.tuples(below, below, below)),
    ),
    max_leaves=12,
)
Row = dict[str, Value]


def _bounds(function: str, limit: int) -> Bounds:
    found = bounds_of(function, INT, limit)
    assert found is not None
    return found


def _compiled(tree: Any, column: Callable[[str], BlockTable]) -> Any:
    """The tree with its leaves over columns."""
    match tree:
        case ("test", name, function, limit):
            return ComparisonLeaf(column(name), _bounds(function, limit).test())
        case ("present", name):
            return PresenceLeaf(column(name))
        case ("members", places):
            return MembersLeaf(UserSet(BitMap(places)))
        case (kind, parts):
            return kind, [_compiled(part, column) for part in parts]
    return tree


def _says(tree: Any, place: int, row: Row) -> bool | None:
    """What a tree says of one user."""
    match tree:
        case ("test", name, function, limit):
            return _compared(function, row[name], limit)
        case ("present", name):
            return row[name] is not ABSENT
        case ("members", places):
            return place in places
        case (kind, parts):
            return _joined(kind, [_says(part, place, row) for part in parts])
    answer: bool | None = tree
    return answer


def _compared(function: str, value: Any, limit: int) -> bool | None:
    if value is ABSENT:
        return None
    if function in ("_==_", "_!=_"):
        return (value == limit) == (function == "_==_")
    if isinstance(value, str):
        return None
    return bool(value < limit if function == "_<_" else value >= limit)


def _joined(kind: int, answers: list[bool | None]) -> bool | None:
    if kind == NOT:
        return None if answers[0] is None else not answers[0]
    if kind == CLOSED:
        return answers[0] is True
    if kind == CHOICE:
        return None if answers[0] is None else answers[1] if answers[0] else answers[2]
    short = kind == OR
    if short in answers:
        return short
    return None if None in answers else not short


def _set(words: Any) -> set[int]:
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return {(int(block) << 16) + int(place) for block, place in zip(*np.nonzero(bits), strict=True)}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    _trees,
    _rows,
    _rows,
    st.sets(st.sampled_from(PLACES)),
    st.none() | st.sets(st.sampled_from(PLACES)),
    st.integers(-1, 4),
)
def test_programs(
    tree: Any, old: list[Row], rows: list[Row], gone: set[int], named: set[int] | None, sample: int
) -> None:
    """Over pages, and over pages patched by a second write; ranked by a block with users, by one without, or not."""
    population = populated([(row, {}) for row in old], PLACES)
    for name in _COLUMNS:
        values = [row[name] for row in rows]
        population.writable_column(name).set_many(np.array(PLACES, np.uint32), values)
    live = UserSet(population.live - BitMap(gone))
    among = None if named is None else UserSet(BitMap(named))
    program = Program(_compiled(tree, lambda name: population.writable_column(name).blocks))
    if sample >= 0:
        program.rank(sample)
    answers = {place: _says(tree, place, row) for place, row in zip(PLACES, rows, strict=True)}
    nobody = _says(tree, -1, dict.fromkeys(_COLUMNS, ABSENT))
    asked = set(PLACES) - gone if named is None else named - gone

    out = np.full((len(_NUMBERS), 1024), 2**64 - 1, np.uint64)
    program.select(live, among, Blocks(_NUMBERS), out)
    found = _set(out)
    assert found & set(PLACES) == {place for place in asked if answers[place] is True}
    others = len(population.live) - len(PLACES) if named is None else 0
    assert len(found - set(PLACES)) == (others if nobody is True else 0)
    assert program.count(live, among, Blocks(_NUMBERS)) == len(found)

    for false_rail in (False, True):
        words = live.words(_NUMBERS)
        program.narrow(_NUMBERS, words, false_rail=false_rail)
        kept = {place for place in set(PLACES) - gone if answers[place] is (not false_rail)}
        assert _set(words) & set(PLACES) == kept


def test_what_is_no_program_is_refused() -> None:
    leaf = MembersLeaf(UserSet(BitMap([1])))
    for wrong in ((AND, []), (NOT, [leaf, leaf]), (CHOICE, [leaf]), (99, [leaf]), (CLOSED, []), Leaf()):
        with pytest.raises(ValueError):
            Program(wrong)
    nothing: Any = "x"
    with pytest.raises((TypeError, ValueError)):
        Program(nothing)
    program, blocks = Program(leaf), np.arange(2, dtype=np.uint32)
    users = UserSet(BitMap([1]))
    with pytest.raises(ValueError):
        program.select(users, None, Blocks(blocks), np.zeros((1, 1024), np.uint64))
    with pytest.raises(ValueError):
        program.narrow(blocks, np.zeros((2, 1023), np.uint64), false_rail=False)


def test_a_program_keeps_what_it_reads() -> None:
    """Leaves own the columns' blocks and the sets that their kernels point into."""
    program = Program((AND, [_string_leaf(), MembersLeaf(UserSet(BitMap(range(0, 100_000, 2))))]))
    junk = [np.full(1 << 16, number) for number in range(50)]
    assert program.count(UserSet(BitMap(range(100_000))), None, Blocks(_NUMBERS)) == 1
    assert len(junk) == 50


def _string_leaf() -> Leaf:
    population = populated([({"s": "a", "d": 1.5}, {}), ({"s": "b"}, {})], (70_000, 70_002))
    column = population.writable_column("s")
    bounds = bounds_of("_==_", STRING, column.strings.find("a"))
    assert bounds is not None and bounds_of("_<_", DOUBLE, 1.0) is not None
    return ComparisonLeaf(column.blocks, bounds.test())
