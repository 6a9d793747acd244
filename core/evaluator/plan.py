"""The *bound* stage: a tree of steps, each of which splits a set of users into true, false and (neither) in error.

Sets are bit words of the blocks of one batch, see `core.evaluator.words`. A step is asked about the users `within` and
about one or both of its two sets; what it says of other users, or of a set not asked for, has no meaning.

What kernels can answer, under any nesting of connectives, is one program of a run (`core.evaluator.program`), which takes
a block through all of its leaves while it is in the cache. Connectives put their other operands after it, cheapest first,
and ask them only about users whose answer is still open; the order changes no answer, because a false operand decides
`&&` whatever the others do, errors included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.evaluator.program import AND, CHOICE, CLOSED, NOT, OR, Program

if TYPE_CHECKING:
    from core.evaluator.batch import Batch, Run, Words
    from core.evaluator.program import Part


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


class NoKernel(Exception):
    """No kernel can answer a step in a run, such as one that compares with a map. Never leaves the evaluator."""


class Step(ABC):
    """A node of a bound plan. `cost` estimates nanoseconds per user asked about; `text` shows it in `describe`."""

    def __init__(self, text: str, position: int, cost: float) -> None:
        self.text = text
        self.position = position
        self.cost = cost

    @abstractmethod
    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        """Split the users of `within`. The sets given back may be a superset's, so callers mask what matters."""

    def part(self, run: Run) -> Part:
        """The step as a part of a program.

        Raises:
            NoKernel: in this run it is none.
        """
        raise NoKernel

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


class Fusible(Step):
    """A step that is a part of a program in most runs, and else is judged in another way."""

    def judge(self, batch: Batch, within: Words, want: Want) -> Split:
        program = program_of(self, batch.run)
        return self.apart(batch, within, want) if program is None else by_program(program, batch, within, want)

    @abstractmethod
    def part(self, run: Run) -> Part: ...

    @abstractmethod
    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        """What `judge` is in a run in which the step is no part of a program."""


def program_of(step: Step, run: Run) -> Program | None:
    """A step as a program; None where kernels alone cannot answer it in this run."""
    key = id(step)
    if key not in run.programs:
        try:
            run.programs[key] = Program(step.part(run))
        except NoKernel:
            run.programs[key] = None
    return run.programs[key]


def by_program(program: Program, batch: Batch, within: Words, want: Want) -> Split:
    """Split users by a program."""
    true = false = np.zeros_like(within)
    if want & Want.TRUE:
        true = within.copy()
        program.narrow(batch.blocks, true, false_rail=False)
    if want & Want.FALSE:
        false = within.copy()
        program.narrow(batch.blocks, false, false_rail=True)
    return Split(true, false)


class Connective(Fusible):
    """`&&` or `||` over two or more operands: those that kernels can answer as one program, then the others by cost.

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

    def part(self, run: Run) -> Part:
        return AND if self._conjunction else OR, [step.part(run) for step in self._operands]

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        short_wanted = bool(want & (Want.FALSE if self._conjunction else Want.TRUE))
        long_wanted = bool(want & (Want.TRUE if self._conjunction else Want.FALSE))
        short = np.zeros_like(within)
        long = within.copy()
        still_open = within.copy()
        program, others = self._partly(batch.run)
        for step in others if program is None else (None, *others):
            if step is not None:
                split = step.judge(batch, still_open, want)
            else:
                assert program is not None
                split = by_program(program, batch, still_open, want)
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

    def _partly(self, run: Run) -> tuple[Program | None, Sequence[Step]]:
        """Those operands that kernels can answer as one program, and the others."""
        found = run.partial.get(id(self))
        if found is None:
            parts: list[Part] = []
            others: list[int] = []
            for place, step in enumerate(self._operands):
                try:
                    parts.append(step.part(run))
                except NoKernel:
                    others.append(place)
            kind = AND if self._conjunction else OR
            found = run.partial[id(self)] = (Program((kind, parts)) if parts else None, others)
        return found[0], [self._operands[place] for place in found[1]]


class Negation(Fusible):
    """`!`: the two sets change places."""

    def __init__(self, operand: Step, position: int) -> None:
        super().__init__("!", position, operand.cost)
        self._operand = operand

    def children(self) -> Sequence[Step]:
        return (self._operand,)

    def part(self, run: Run) -> Part:
        return NOT, (self._operand.part(run),)

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        true, false = self._operand.judge(batch, within, want.swapped())
        return Split(false, true)


class Choice(Fusible):
    """`c ? x : y` where both branches are conditions."""

    def __init__(self, condition: Step, if_true: Step, if_false: Step, position: int) -> None:
        super().__init__("?:", position, condition.cost + 0.5 * (if_true.cost + if_false.cost))
        self._condition, self._if_true, self._if_false = condition, if_true, if_false

    def children(self) -> Sequence[Step]:
        return (self._condition, self._if_true, self._if_false)

    def part(self, run: Run) -> Part:
        return CHOICE, [step.part(run) for step in self.children()]

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        chosen = self._condition.judge(batch, within, Want.BOTH)
        first = self._if_true.judge(batch, chosen.true & within, want)
        second = self._if_false.judge(batch, chosen.false & within, want)
        return Split(
            (chosen.true & first.true) | (chosen.false & second.true),
            (chosen.true & first.false) | (chosen.false & second.false),
        )


class SavedAudience(Fusible):
    """`audiences["x"]` where x is an expression: never in error, who errs there is not in it."""

    def __init__(self, text: str, position: int, expression: Step) -> None:
        super().__init__(f"{text}: saved expression", position, expression.cost)
        self._expression = expression

    def part(self, run: Run) -> Part:
        return CLOSED, (self._expression.part(run),)

    def apart(self, batch: Batch, within: Words, want: Want) -> Split:
        true = self._expression.judge(batch, within, Want.TRUE).true
        return Split(true, within & ~true)

    def describe(self, depth: int = 0) -> str:
        return f"{super().describe(depth)}\n{self._expression.describe(depth + 1)}"
