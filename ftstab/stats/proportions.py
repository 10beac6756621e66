"""Intervals of proportions: one rate, and the difference of two rates on the same prompts."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from ftstab.stats.interval import Floats, Interval, check_count, check_level, normal_quantile

Method = Literal["wilson", "clopper_pearson"]
"""How the interval of a single rate is made."""

LEVEL = 0.95
"""Level of the intervals of single rates."""
NEWCOMBE_PAIRED = "newcombe-paired-95"
"""Method and level of `newcombe_paired`, as records carry them."""
NEWCOMBE_UNPAIRED = "newcombe-unpaired-95"
"""Method and level of `newcombe_unpaired`, as records carry them."""


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Return the score interval of a proportion, from ``k`` hits of ``n``.

    With n = 0 nothing is known: (0, 1).

    Source: Wilson 1927; method 3 of Newcombe 1998, Statistics in Medicine 17:857-872.

    Raises:
        ValueError: not 0 <= k <= n, or a level outside (0, 1).
    """
    check_count(k, n)
    z = normal_quantile(level)
    if n == 0:
        return Interval(0.0, 1.0)
    centre = 2 * k + z * z
    spread = z * math.sqrt(z * z + 4 * k * (n - k) / n)
    scale = 2 * (n + z * z)
    # At the ends rounding would leave the bound a hair off the 0 or 1 that it is.
    low = 0.0 if k == 0 else (centre - spread) / scale
    high = 1.0 if k == n else (centre + spread) / scale
    return Interval(low, high)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion: it covers at least ``level``, and is wider than `wilson`.

    Source: Clopper and Pearson 1934, Biometrika 26:404-413, by quantiles of the beta distribution.

    Raises:
        ValueError: not 0 <= k <= n, or a level outside (0, 1).
    """
    check_count(k, n)
    check_level(level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - tail))
    return Interval(low, high)


def proportion(k: int, n: int, method: Method, level: float = LEVEL) -> Interval:
    """Return the interval of a proportion by the named method.

    Raises:
        ValueError: not 0 <= k <= n, or a level outside (0, 1).
    """
    return wilson(k, n, level) if method == "wilson" else clopper_pearson(k, n, level)


def method_label(method: str, level: float = LEVEL) -> str:
    """Return method and level as records carry them, e.g. ``clopper-pearson-95``."""
    return f"{method.replace('_', '-')}-{100 * level:g}"


def newcombe_paired(
    both: int, first_only: int, second_only: int, neither: int, level: float = 0.95
) -> Interval:
    """Return the interval of p_first - p_second, two proportions measured on the same units.

    The four counts are the 2x2 table of hits.  With an empty table nothing is known: (-1, 1).

    Source: method 10 of Newcombe 1998, Statistics in Medicine 17:2635-2650: Wilson intervals of both
    proportions, joined by squares with their correlation phi, whose numerator is corrected for continuity.

    Raises:
        ValueError: a negative count, or a level outside (0, 1).
    """
    if min(both, first_only, second_only, neither) < 0:
        raise ValueError(f"counts {(both, first_only, second_only, neither)}: none may be negative")
    n = both + first_only + second_only + neither
    if n == 0:
        check_level(level)
        return Interval(-1.0, 1.0)
    first, second = both + first_only, both + second_only
    p1, p2 = first / n, second / n
    low1, high1 = wilson(first, n, level)
    low2, high2 = wilson(second, n, level)
    product: float = both * neither - first_only * second_only
    if product > 0:
        product = max(product - n / 2, 0.0)
    margins = first * (n - first) * second * (n - second)
    phi = product / math.sqrt(margins) if margins else 0.0
    below = _joined(p1 - low1, high2 - p2, phi)
    above = _joined(high1 - p1, p2 - low2, phi)
    return Interval(max(-1.0, p1 - p2 - below), min(1.0, p1 - p2 + above))


def discordant_lower(first_only: npt.ArrayLike, second_only: npt.ArrayLike, n: int, level: float) -> Floats:
    """Return lower limits of p_first - p_second on the same units, for tests whose size must not pass what is stated.

    The exact limits of both discordant shares at ``level`` (two-sided), joined by squares with their correlation.  A
    one-sided test by it errs at most as often as stated where Newcombe's interval, which is narrower, errs up to twice
    as often (analysis/coverage_paired.py).

    Args:
        first_only: units that only the first hits, of any shape.
        second_only: units that only the second hits, of the same shape.
        n: units.
        level: two-sided level of the exact limits, so that the lower limit errs with (1 - level) / 2.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693-1702 (joining limits).
    """
    first, second = np.asarray(first_only, dtype=np.int64), np.asarray(second_only, dtype=np.int64)
    limits = np.array([clopper_pearson(k, n, level) for k in range(n + 1)])
    p, q = first / n, second / n
    below, above = p - limits[first, 0], limits[second, 1] - q
    # The two counts share n units: the more of one, the fewer of the other.
    rest = (1 - p) * (1 - q)
    related = np.sqrt(np.divide(p * q, rest, out=np.zeros_like(rest), where=rest > 0))
    low: Floats = np.maximum(p - q - np.sqrt(below**2 + above**2 + 2 * related * below * above), -1.0)
    return low


def newcombe_unpaired(first: int, n_first: int, second: int, n_second: int, level: float = 0.95) -> Interval:
    """Return the interval of p_first - p_second, two proportions measured on different units.

    Where either has no unit nothing is known of it: its part is (0, 1).

    Source: method 10 of Newcombe 1998, Statistics in Medicine 17:873-890: Wilson intervals of both proportions, joined
    by squares.

    Raises:
        ValueError: a count outside its total, or a level outside (0, 1).
    """
    low1, high1 = wilson(first, n_first, level)
    low2, high2 = wilson(second, n_second, level)
    if n_first == 0 or n_second == 0:
        return Interval(low1 - high2, high1 - low2)
    p1, p2 = first / n_first, second / n_second
    return Interval(p1 - p2 - math.hypot(p1 - low1, high2 - p2), p1 - p2 + math.hypot(high1 - p1, p2 - low2))


def _joined(a: float, b: float, phi: float) -> float:
    # Rounding can take a perfect correlation of equal parts just below 0.
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))
