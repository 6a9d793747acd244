"""Promise: systems take turns, the first round is not timed, and a system that answers differently is named."""

from __future__ import annotations

import pytest

from benchmarks.rounds import Timed, WrongAnswer, interleaved, same_answer


def test_systems_take_turns_and_the_first_round_is_not_timed() -> None:
    asked: list[tuple[str, int]] = []

    def system(name: str) -> int:
        return 5

    systems = {name: lambda number, name=name: asked.append((name, number)) or system(name) for name in "ab"}
    ended: list[int] = []
    timed = interleaved(systems, 2, lambda: ended.append(len(asked)))
    assert asked == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert ended == [2, 4, 6]
    assert {name: one.answers for name, one in timed.items()} == {"a": [5, 5], "b": [5, 5]}
    assert all(len(one.seconds) == 2 for one in timed.values())


def test_figures_are_of_the_timed_rounds() -> None:
    timed = Timed([0.004, 0.001, 0.002], [1, 1, 1])
    assert (timed.median_ms, timed.least_ms) == (2.0, 1.0)


def test_one_answer_is_asked_of_all() -> None:
    right, wrong = Timed([1.0, 1.0], [5, 6]), Timed([1.0, 1.0], [5, 7])
    assert same_answer({"a": right, "b": right}, "a") == [5, 6]
    with pytest.raises(WrongAnswer, match="round 2: b counts 7, a counts 6"):
        same_answer({"a": right, "b": wrong}, "a")
