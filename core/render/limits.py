"""The bounds every template lives in. A template past one is refused, or its rendering fails; nothing is cut short."""

from __future__ import annotations

from typing import Final

MAX_SOURCE: Final = 524_288
"""Characters of one template's text."""

MAX_OUTPUT: Final = 1_048_576
"""Characters of one rendered field, and of any text made on the way to it."""

MAX_LIST_STEPS: Final = 10_000
"""Items that all loops and list filters of one rendering may visit together."""

MAX_LOOP_DEPTH: Final = 3
"""Loops inside loops."""

MAX_BLOCK_DEPTH: Final = 16
"""`if` and `for` inside each other."""

MAX_EXPRESSION_DEPTH: Final = 24
"""Operators, filters and brackets inside each other in one expression."""

MAX_TAG_TOKENS: Final = 300
"""Words and signs between `{{` and `}}`."""

MAX_NUMBER_DIGITS: Final = 19
"""Characters of a number written in a template: as many digits as a 64-bit integer can have."""

MAX_DECIMALS: Final = 15
"""Decimal places that a number can be formatted with: a double has no more to say."""
