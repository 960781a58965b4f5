"""Rates and means with intervals, from answers that are grouped by what they share.

Answers to one item (two orders, many repeats) are not independent. The variance is therefore taken
between items, and becomes the number of independent answers that would have this variance; the
Wilson interval is that of so many answers. A measure on a scale with two ends (a rating from 1 to
10) is a share of that scale: unlike a t interval, its interval is as skewed as the scale makes it.
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
    return scaled(groups, 0.0, 1.0, confidence)


def scaled(groups: Iterable[Group], low: float, high: float, confidence: float = 0.95) -> Estimate:
    """Mean of answers on a scale from ``low`` to ``high``, with the interval of a share of it.

    Example:
        >>> found = scaled([[9], [9], [7], [10]], 1, 10)
        >>> found.value, found.high < 10
        (8.75, True)
    """
    means, n_scored, n_asked = _means(groups)
    if not means:
        return _nothing(n_asked)
    shares = [(value - low) / (high - low) for value in means]
    is_share = (low, high) == (0.0, 1.0)
    ends = _ends(shares, n_scored, confidence, most=n_scored if is_share else math.inf)
    return Estimate(
        value=statistics.fmean(means),
        low=low + ends[0] * (high - low),
        high=low + ends[1] * (high - low),
        n_groups=len(means),
        n_scored=n_scored,
        n_asked=n_asked,
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


def _ends(
    shares: list[float], n_scored: int, confidence: float, most: float
) -> tuple[float, float]:
    """Interval of the mean of shares, as that of at most ``most`` independent answers."""
    value, variance = statistics.fmean(shares), _variance_of_mean(shares)
    if variance <= 0:  # all alike: as many items may differ as can be missed among so many
        missed = wilson(0, len(shares), confidence)[1]
        return value - missed * value, value + missed * (1 - value)
    if most == n_scored == len(shares):
        n: float = n_scored
    else:
        n = min(most, max(1.0, value * (1 - value) / variance * _known(len(shares), confidence)))
    return wilson(value * n, n, confidence)


def _variance_of_mean(shares: list[float]) -> float:
    return statistics.variance(shares) / len(shares) if len(shares) > 1 else 0.0


def _known(n_groups: int, confidence: float) -> float:
    """What is left of n independent answers since the variance is estimated from few items."""
    side = 0.5 + confidence / 2
    return float(ndtri(side) / stdtrit(n_groups - 1, side)) ** 2


def _nothing(n_asked: int) -> Estimate:
    return Estimate(value=None, low=None, high=None, n_groups=0, n_scored=0, n_asked=n_asked)
