"""Rates and means with intervals, from answers that are grouped by what they share.

Answers to one item (two orders, many repeats) are not independent. The variance is therefore taken
between items, and becomes the number of independent answers that would have this variance; the
Wilson interval is that of so many answers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from pydantic import Field
from scipy.special import ndtri, stdtrit

from midspec.records import Frozen

Group = Sequence[float | None]


class Estimate(Frozen):
    """A rate or a mean with its interval; None in all three if nothing was scored."""

    value: float | None = Field(description="mean over groups, each group weighing the same")
    low: float | None = Field(description="lower end of the interval")
    high: float | None = Field(description="upper end of the interval")
    n_groups: int = Field(description="items (or cells) with a scored answer")
    n_scored: int = Field(description="scored answers")
    n_asked: int = Field(description="answers, scored or not")


def wilson(count: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson interval of ``count`` in ``n``; both may be fractions, unlike in scipy.

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    z = float(ndtri(0.5 + confidence / 2))
    rate, square = count / n, z * z / n
    middle = rate + square / 2
    half = z * math.sqrt(max(0.0, rate * (1 - rate)) / n + square / (4 * n))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return min(rate, max(0.0, low)), max(rate, min(1.0, high))


def rate(groups: Iterable[Group], confidence: float = 0.95) -> Estimate:
    """Share of answers (each 0 to 1; None is unscored) with a Wilson interval.

    Example:
        >>> found = rate([[1, 1], [0, 1], [None, 1]])
        >>> found.n_asked, found.n_scored, round(found.value, 3)
        (6, 5, 0.833)
    """
    means, n_scored, n_asked = _means(groups)
    if not means:
        return _nothing(n_asked)
    value = statistics.fmean(means)
    n = _independent(means, value, n_scored)
    low, high = wilson(value * n, n, confidence)
    return Estimate(
        value=value, low=low, high=high, n_groups=len(means), n_scored=n_scored, n_asked=n_asked
    )


def mean(groups: Iterable[Group], confidence: float = 0.95) -> Estimate:
    """Mean of answers on any scale with a t interval over groups; one group has no interval.

    Example:
        >>> mean([[3.0], [5.0], [7.0]]).value
        5.0
    """
    means, n_scored, n_asked = _means(groups)
    if not means:
        return _nothing(n_asked)
    value, half = statistics.fmean(means), None
    if len(means) > 1:
        error = statistics.stdev(means) / math.sqrt(len(means))
        half = float(stdtrit(len(means) - 1, 0.5 + confidence / 2)) * error
    return Estimate(
        value=value,
        low=None if half is None else value - half,
        high=None if half is None else value + half,
        n_groups=len(means),
        n_scored=n_scored,
        n_asked=n_asked,
    )


def _means(groups: Iterable[Group]) -> tuple[list[float], int, int]:
    """Mean of each group that has a scored answer; how many were scored, and asked."""
    means, n_scored, n_asked = [], 0, 0
    for group in groups:
        known = [value for value in group if value is not None and not math.isnan(value)]
        n_asked += len(group)
        n_scored += len(known)
        if known:
            means.append(statistics.fmean(known))
    return means, n_scored, n_asked


def _independent(means: list[float], value: float, n_scored: int) -> float:
    """How many independent answers have the variance that is seen between groups."""
    if len(means) < 2:
        return n_scored
    variance = statistics.variance(means) / len(means)
    if variance <= 0:
        return n_scored
    return min(n_scored, max(1.0, value * (1 - value) / variance))


def _nothing(n_asked: int) -> Estimate:
    return Estimate(value=None, low=None, high=None, n_groups=0, n_scored=0, n_asked=n_asked)
