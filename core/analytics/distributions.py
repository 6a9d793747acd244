"""The distribution functions that the statistics need, by SciPy, which is loaded at the first question.

A server that nobody asks for a report starts a third of a second earlier and 26 MiB smaller without it.
"""

from __future__ import annotations


def normal_two_sided(statistic: float) -> float:
    """The probability that a standard normal variable is as far from 0 as `statistic`, or farther."""
    from scipy import special

    return float(2 * special.ndtr(-abs(statistic)))


def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable stays below with a probability."""
    from scipy import special

    return float(special.ndtri(probability))


def student_two_sided(statistic: float, freedom: float) -> float:
    """The probability that a Student variable is as far from 0 as `statistic`, or farther."""
    from scipy import special

    return float(2 * special.stdtr(freedom, -abs(statistic)))


def student_quantile(probability: float, freedom: float) -> float:
    """The value that a Student variable stays below with a probability."""
    from scipy import special

    return float(special.stdtrit(freedom, probability))


def chi_square_above(statistic: float, freedom: float) -> float:
    """The probability that a chi-square variable is larger than `statistic`."""
    from scipy import special

    return float(special.chdtrc(freedom, statistic))
