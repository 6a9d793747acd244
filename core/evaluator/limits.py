"""How much one user's evaluation may unfold and put together. Both evaluators hold to these, so that they err alike.

Each limit looks only at the lists of the macros around a construct, never at what was computed before it or beside it:
what errs does not depend on the order in which anything is computed. The lengths of nested lists multiplied bound the
elements that a nest of macros visits for one user, whatever those lists are.
"""

from __future__ import annotations

from typing import Final

from core.evaluator.cel_values import CelError

MOST_UNFOLDED: Final = 100_000
"""A macro inside macros errs where the length of its list and the lengths of theirs, multiplied, exceed this."""
MOST_JOINED: Final = 1_000_000
"""What `+`, `[…]` and `{…}` make errs where its length, multiplied by the lengths of the lists around, exceeds this."""
MOST_COMPARED: Final = 100_000
"""`==` of lists and maps errs when it has compared so many elements."""
CELLS_PER_PORTION: Final = 1 << 20
"""Rows are computed in portions that unfold about so many cells (some 20 to 200 bytes each), or one row at a time."""
CELLS_PER_QUESTION: Final = 1_000_000_000
"""A question is refused that has unfolded so many elements in macros inside macros, of all users together."""


def unfolded_too_much() -> CelError:
    """The error of a macro beyond MOST_UNFOLDED."""
    return CelError("other", f"macros inside each other run over more than {MOST_UNFOLDED:,} elements")


def joined_too_much() -> CelError:
    """The error of a value beyond MOST_JOINED."""
    return CelError("other", f"a value put together is longer than {MOST_JOINED:,}, or is made too many times")


def compared_too_much() -> CelError:
    """The error of a comparison beyond MOST_COMPARED."""
    return CelError("other", f"more than {MOST_COMPARED:,} elements to compare")
