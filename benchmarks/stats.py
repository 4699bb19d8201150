"""Medians with their spread, paired ratios, and when a ratio says nothing.

The rule: a ratio is **unclear**, and is not printed, if it was taken in fewer than 3 rounds, if its upper quartile is
more than twice its lower one, or if a quartile is not positive (a ratio of differences can be). Read `harness.py`
next.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

UNCLEAR = "unclear"
FEWEST = 3  # rounds
WIDEST = 2.0  # upper quartile over lower quartile


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    (2.0, 3.0, 4.0)
    """
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def paired(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio round by round: both met the same machine."""
    return [a / b for a, b in zip(above, below, strict=True)]


def clear(ratios: Sequence[float]) -> bool:
    """Whether a ratio was seen often enough and narrowly enough to be worth printing.

    >>> clear([1.0, 1.1, 1.2]), clear([1.0, 1.1]), clear([0.5, 1.0, 4.0])
    (True, False, False)
    """
    if len(ratios) < FEWEST:
        return False
    low, _, high = spread(ratios)
    return low > 0 and high <= WIDEST * low


def shown(values: Sequence[float], digits: int = 3) -> str:
    """"median [lower quartile, upper quartile]" with so many significant digits.

    >>> shown([1234.5, 1240.0, 1250.0])
    '1,240 [1,237, 1,245]'
    """
    low, middle, high = (significant(value, digits) for value in spread(values))
    return f"{middle} [{low}, {high}]"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, never fewer than its whole part has.

    >>> significant(0.01234), significant(12.34), significant(123456.0), significant(0.0)
    ('0.0123', '12.3', '123,456', '0.00')
    """
    from math import floor, log10

    whole = floor(log10(abs(value))) + 1 if value else 1
    return f"{value:,.{max(0, digits - whole)}f}"


def shown_ratio(ratios: Sequence[float]) -> str:
    """The ratio with its quartiles, or "unclear"."""
    return shown(ratios) if clear(ratios) else UNCLEAR


def verdict(values: Sequence[float], target: float) -> str:
    """Whether the median of a ratio meets a target, which is an upper bound."""
    return UNCLEAR if not clear(values) else "met" if median(values) <= target else "MISSED"
