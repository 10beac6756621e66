"""Intervals of means and ratios by Student's t, and rank correlation."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from ftstab.stats.interval import Interval, Values, check_level, paired


def mean_interval(values: Values, level: float = 0.95, grain: float = 0.0) -> Interval:
    """Return Student's t interval of a mean.  Below two values nothing is known: (-inf, inf).

    Args:
        values: one per unit.
        level: of the interval.
        grain: by how much a unit may differ from another where values come in steps; 0 where they don't.  The variance
            is taken one such unit larger, so that units which are all equal leave doubt too.

    Raises:
        ValueError: a level outside (0, 1), or values that aren't a flat list of finite numbers.
    """
    return ratio_interval(values, np.ones(len(values)), level, grain)


def ratio_interval(totals: Values, weights: Values, level: float = 0.95, grain: float = 0.0) -> Interval:
    """Return the t interval of sum(totals) / sum(weights), where units were drawn with their weights.

    Linearised variance: with r the ratio and e = totals - r * weights,
    se = sqrt(n / (n - 1) * sum(e^2)) / sum(weights), on n - 1 degrees of freedom.  With equal weights this is
    the t interval of the mean.  Below two units nothing is known: (-inf, inf).  ``grain`` as in `mean_interval`.

    Source: Cochran 1977, Sampling Techniques, 3rd edition, chapter 6 (no finite population correction).

    Raises:
        ValueError: different lengths, numbers that aren't finite, weights that aren't positive, or a level
            outside (0, 1).
    """
    check_level(level)
    y, w = paired(totals, weights)
    if w.size and w.min() <= 0:
        raise ValueError("weights: all must be positive")
    n = y.size
    if n < 2:
        return Interval(-math.inf, math.inf)
    ratio = float(y.sum() / w.sum())
    error = math.hypot(math.sqrt(n / (n - 1) * float(((y - ratio * w) ** 2).sum())), grain) / float(w.sum())
    return t_interval(ratio, error, n, level)


def t_interval(mean: float, error: float, n: int, level: float = 0.95) -> Interval:
    """Return Student's t interval of a mean of which only the standard error is known; below two values (-inf, inf).

    Args:
        mean: the mean.
        error: its standard error.
        n: how many values it is of.
        level: of the interval.

    Raises:
        ValueError: a level outside (0, 1).
    """
    check_level(level)
    if n < 2:
        return Interval(-math.inf, math.inf)
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * error
    return Interval(mean - half, mean + half)


def rank_correlation(first: Values, second: Values) -> float | None:
    """Return Spearman's rank correlation with mid-ranks; None where it isn't defined (below two pairs, or all
    values of one side equal).

    Raises:
        ValueError: different lengths, or numbers that aren't finite.
    """
    from scipy import stats  # takes a second to import, and only this function needs it

    a, b = paired(first, second)
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(stats.spearmanr(a, b).statistic)
