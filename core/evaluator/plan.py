"""The *bound* stage: a tree of steps, each of which splits a set of users into true, false and (neither) in error.

Sets are bit words of the blocks of one batch, see `core.evaluator.words`. A step is asked about the users `within` and
about one or both of its two sets; what it says of other users, or of a set not asked for, has no meaning. Connectives ask
their operands, cheapest first, only about users whose answer is still open; the order changes no answer, because a false
operand decides `&&` whatever the others do, errors included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Words


class Want(IntFlag):
    """Which of its two sets a step must give."""

    TRUE = 1
    FALSE = 2
    BOTH = 3

    def swapped(self) -> Want:
        """True for false."""
        return Want(((self & Want.TRUE) << 1) | ((self & Want.FALSE) >> 1))


class Split(NamedTuple):
    """Disjoint sets; whoever was asked about and is in neither erred. Owned by the caller, who may change them."""

    true: Words
    false: Words


class Step(ABC):
    """A node of a bound plan. `cost` estimates nanoseconds per user asked about; `text` shows it in `describe`."""

    def __init__(self, text: str, position: int, cost: float) -> None:
        self.text = text
        self.position = position
        self.cost = cost

    @abstractmethod
    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        """Split the users of `within`. The sets given back may be a superset's, so callers mask what matters."""

    def children(self) -> Sequence[Step]:
        """The steps below, in the order in which they run."""
        return ()

    def leaves(self) -> Iterator[Step]:
        """The steps without children, in the order of the text."""
        below = sorted(self.children(), key=lambda step: step.position)
        if not below:
            yield self
        for step in below:
            yield from step.leaves()

    def describe(self, depth: int = 0) -> str:
        """This step and those below as an indented text, one line each."""
        lines = [f"{'  ' * depth}{self.text}  [{self.cost:.3g} ns/user]"]
        lines += [step.describe(depth + 1) for step in self.children()]
        return "\n".join(lines)


class Connective(Step):
    """`&&` or `||` over two or more operands, run cheapest first.

    Both are one computation: call the answer that decides at once (false of `&&`, true of `||`) the *short* one; the
    short set is the union of the operands' short sets, the long set the intersection of their long ones.
    """

    def __init__(self, operands: Sequence[Step], position: int, *, conjunction: bool) -> None:
        self._operands = sorted(operands, key=lambda step: step.cost)
        self._conjunction = conjunction
        expected, reach = 0.0, 1.0
        for step in self._operands:
            expected += reach * step.cost
            reach *= 0.5
        super().__init__("&&" if conjunction else "||", position, expected)

    def children(self) -> Sequence[Step]:
        return self._operands

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        short_wanted = bool(want & (Want.FALSE if self._conjunction else Want.TRUE))
        long_wanted = bool(want & (Want.TRUE if self._conjunction else Want.FALSE))
        short = np.zeros_like(within)
        long = within.copy()
        still_open = within.copy()
        for step in self._operands:
            split = step.judge(batch, still_open, want)
            step_short, step_long = (split.false, split.true) if self._conjunction else (split.true, split.false)
            if long_wanted:
                long &= step_long
            if short_wanted:
                step_short &= still_open
                short |= step_short
                still_open &= ~step_short
            else:
                # Only the long set matters: an error ends a user's hope just as a short answer does.
                still_open &= step_long
            if not still_open.any():
                break
        return Split(long, short) if self._conjunction else Split(short, long)


class Negation(Step):
    """`!`: the two sets change places."""

    def __init__(self, operand: Step, position: int) -> None:
        super().__init__("!", position, operand.cost)
        self._operand = operand

    def children(self) -> Sequence[Step]:
        return (self._operand,)

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        true, false = self._operand.judge(batch, within, want.swapped())
        return Split(false, true)


class Choice(Step):
    """`c ? x : y` where both branches are conditions."""

    def __init__(self, condition: Step, if_true: Step, if_false: Step, position: int) -> None:
        super().__init__("?:", position, condition.cost + 0.5 * (if_true.cost + if_false.cost))
        self._condition, self._if_true, self._if_false = condition, if_true, if_false

    def children(self) -> Sequence[Step]:
        return (self._condition, self._if_true, self._if_false)

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        chosen = self._condition.judge(batch, within, Want.BOTH)
        first = self._if_true.judge(batch, chosen.true & within, want)
        second = self._if_false.judge(batch, chosen.false & within, want)
        return Split(
            (chosen.true & first.true) | (chosen.false & second.true),
            (chosen.true & first.false) | (chosen.false & second.false),
        )
