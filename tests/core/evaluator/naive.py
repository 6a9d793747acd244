"""The kernels of `core.evaluator.{words,tally}` and those of a block in plain Python, row by row: what they must equal.

Each takes the arguments of the kernel of its name and gives what that gives; see there. `scan` is what a block's `split`
must say of its cells; as a `BlockTest` tells nothing of itself, the twin takes the `Bounds` that it is made of.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from core.evaluator.ranges import Bounds
from core.evaluator.vector import DOUBLE, INT, MISSING, OTHER_ERROR, UINT, WRONG_TYPE
from core.values import INT_MAX, INT_MIN

Words = NDArray[np.uint64]


def words_of(users: set[int]) -> Words:
    """The words uint64[1024] of one block's users."""
    found = np.zeros(1024, np.uint64)
    for user in users:
        found[user // 64] |= np.uint64(1 << user % 64)
    return found


def positions(row: Words) -> list[int]:
    return [64 * place + bit for place, word in enumerate(row.tolist()) for bit in range(64) if word >> bit & 1]


def count(words: Words) -> int:
    return sum(len(positions(row)) for row in words)


def expand(serialized: bytes, blocks: NDArray[np.uint32]) -> Words:
    users: dict[int, set[int]] = {number: set() for number in blocks.tolist()}
    for user in BitMap.deserialize(serialized):
        users.get(user // 65_536, set()).add(user % 65_536)
    return np.array([words_of(users[number]) for number in blocks.tolist()], np.uint64).reshape(-1, 1024)


def collapse(blocks: NDArray[np.uint32], words: Words) -> bytes:
    rows = zip(blocks.tolist(), words, strict=True)
    return BitMap([number * 65_536 + user for number, row in rows for user in positions(row)]).serialize()


def scatter(places: NDArray[np.int64], flags: NDArray[np.uint8], row: Words) -> None:
    row |= words_of({place for place, flag in zip(places.tolist(), flags.tolist(), strict=True) if flag})


def scan(
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    within: Words,
    true_words: Words,
    false_words: Words,
    wanted: Bounds,
) -> None:
    true, false = set(), set()
    for user in positions(within):
        tag, cell = int(tags[user]), int(data[user])
        if tag and tag == wanted.int_tag:
            hit = wanted.ints[0] <= cell <= wanted.ints[1]
        elif tag and tag == wanted.double_tag:
            hit = wanted.doubles[0] <= _double(cell) <= wanted.doubles[1]
        elif tag and wanted.others_false:
            hit = False
        else:
            continue
        (true if hit != wanted.negate else false).add(user)
    true_words[:] = words_of(true)
    false_words[:] = words_of(false)


def count_into(slots: NDArray[np.int64], flags: NDArray[np.uint8], counters: NDArray[np.uint32]) -> None:
    for slot, flag in zip(slots.tolist(), flags.tolist(), strict=True):
        counters[slot] += flag


def sum_into(
    slots: NDArray[np.int64],
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    sum_tags: NDArray[np.uint8],
    sums: NDArray[np.int64],
) -> None:
    for slot, tag, cell in zip(slots.tolist(), tags.tolist(), data.tolist(), strict=True):
        own, before = int(sum_tags[slot]), int(sums[slot])
        if own in (WRONG_TYPE, OTHER_ERROR):
            continue
        if tag not in (INT, DOUBLE, UINT) or own not in (MISSING, tag):
            sum_tags[slot], sums[slot] = WRONG_TYPE, 0
        elif own == MISSING:
            sum_tags[slot], sums[slot] = tag, cell
        elif tag == DOUBLE:
            sums[slot] = _cell(_double(before) + _double(cell))
        elif tag == INT:
            total = before + cell
            fits = INT_MIN <= total <= INT_MAX
            sum_tags[slot], sums[slot] = (INT, total) if fits else (OTHER_ERROR, 0)
        else:
            total = before % 2**64 + cell % 2**64
            sum_tags[slot], sums[slot] = (UINT, _signed(total)) if total < 2**64 else (OTHER_ERROR, 0)


def _double(cell: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", cell))[0]
    return value


def _cell(value: float) -> int:
    cell: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return cell


def _signed(natural: int) -> int:
    return natural - 2**64 if natural > INT_MAX else natural
