"""A treated group beside its control: everything a report says of one number of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.analytics.detectable import POWER, least_detectable
from core.analytics.difference import ALPHA, Estimate, of_means, of_proportions, relative
from core.analytics.sequential import TUNED_FOR, half_width
from core.analytics.sums import Sums

Kind = Literal["proportion", "mean"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of an effect; None where it cannot be known (an empty group, no variation, a mean of 0).

    Attributes:
        difference: treated minus control, at a fixed horizon.
        always_low, always_high: the interval of the difference that holds at every look.
        lift: the difference as a part of the control's mean.
        detectable: the least difference that these sizes would have found with a power of 80%.
    """

    treated: Sums
    control: Sums
    difference: Estimate | None
    always_low: float | None
    always_high: float | None
    lift: Estimate | None
    detectable: float | None


def compare(
    treated: Sums, control: Sums, kind: Kind, alpha: float = ALPHA, tuned_for: int = TUNED_FOR, power: float = POWER
) -> Comparison:
    """Compare two groups by something their users have or have not (`proportion`), or by an amount (`mean`)."""
    found = of_proportions(treated, control, alpha) if kind == "proportion" else of_means(treated, control, alpha)
    low = high = None
    if found is not None and found.error:
        half = half_width(found.error, treated.n + control.n, alpha, tuned_for)
        low, high = found.value - half, found.value + half
    return Comparison(
        treated,
        control,
        found,
        low,
        high,
        relative(treated, control, alpha),
        least_detectable(control, treated.n, alpha, power),
    )
