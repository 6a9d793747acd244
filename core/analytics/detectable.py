"""How small an effect could have been seen, and how many units would show one."""

from __future__ import annotations

import math
from typing import Final

from core.analytics.difference import ALPHA
from core.analytics.distributions import normal_quantile
from core.analytics.sums import Sums

POWER: Final = 0.8
"""With which probability an effect is to be found."""


def least_detectable(control: Sums, treated_units: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The least difference that a two-sided test at `alpha` finds with probability `power`, given the groups' sizes.

    The variance of either group is taken to be the control's. None where a group is empty or nothing varies.
    """
    if not treated_units or control.variance == 0:
        return None
    return _reach(alpha, power) * math.sqrt(control.variance * (1 / treated_units + 1 / control.n))


def units_needed(
    control: Sums, difference: float, treated_share: float = 0.5, alpha: float = ALPHA, power: float = POWER
) -> int:
    """How many units, of both groups together, find a difference with probability `power`.

    Raises:
        ValueError: a difference of 0, or a share that leaves a group empty.
    """
    if not difference or not 0 < treated_share < 1:
        raise ValueError("a difference other than 0 and a share between 0 and 1")
    inverse = 1 / treated_share + 1 / (1 - treated_share)
    return math.ceil(control.variance * inverse * (_reach(alpha, power) / difference) ** 2)


def _reach(alpha: float, power: float) -> float:
    """So many standard errors the effect must be away from 0."""
    return normal_quantile(1 - alpha / 2) + normal_quantile(power)
