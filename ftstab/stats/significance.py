"""Tests and what several of them at once may claim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the exact two-sided p-value for two paired proportions being equal.

    Only units that differ count: under equality each is a fair coin.  Without any, p is 1.

    Source: McNemar 1947, Psychometrika 12:153-157, with the binomial distribution in place of chi-squared.

    Raises:
        ValueError: a negative count.
    """
    if min(first_only, second_only) < 0:
        raise ValueError(f"counts {(first_only, second_only)}: none may be negative")
    n = first_only + second_only
    return min(1.0, 2 * float(special.bdtr(min(first_only, second_only), n, 0.5)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values of one family, in the order given: those at most q are the discoveries at a
    false-discovery rate of q.

    Valid for independent tests, and for those that depend positively; categories are tested on different prompts,
    so they are independent given the settings.  Discrete p-values make it conservative.

    Source: Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289-300.

    Raises:
        ValueError: a number outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values: all must lie between 0 and 1, in a flat list")
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(np.minimum(1.0, p[order] * p.size / ranks))
    return [float(x) for x in adjusted]
