"""What the rows that something was measured on leave open, read off by leaving groups of them out (the jackknife)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from ftstab.stats.curves import own_variance
from ftstab.stats.interval import Floats, check_level

GROUPS = 20
"""Groups of rows that are left out one at a time (`left_out`), where there are so many rows."""


def left_out(totals: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Return [..., groups]: the ratio sum(totals) / sum(weights) without one group of rows, for each of them.

    Row i is of group i modulo their number: `GROUPS`, or as many as there are rows.

    Args:
        totals: [..., rows].
        weights: [rows], above 0.

    Raises:
        ValueError: fewer than two rows, or a weight that isn't positive.
    """
    y, w = np.asarray(totals, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    rows = w.size
    if rows < 2 or y.shape[-1] != rows or w.min() <= 0:
        raise ValueError(f"{rows} rows of {y.shape[-1]} totals: two or more are needed, of positive weights")
    groups = min(GROUPS, rows)
    members = (np.arange(rows)[:, None] % groups == np.arange(groups)).astype(np.float64)
    found: Floats = (y.sum(axis=-1, keepdims=True) - y @ members) / (w.sum() - w @ members)
    return found


def crossed_margin(whole: npt.ArrayLike, without: npt.ArrayLike, level: float = 0.95) -> float:
    """Return the half-width that the units themselves leave in a mean over seeds, read off by leaving them out.

    The jackknife's pseudo-values stand for the units: G x whole - (G - 1) x without.  Their variance is split as in
    `crossed_mean`, so that what differs from seed to seed, which an interval over seeds has, isn't counted twice.
    Student's t on G - 1 degrees of freedom.

    Args:
        whole: [seeds] what is read from all units.
        without: [seeds, G] the same without one group of units, for each of them.
        level: two-sided.

    Raises:
        ValueError: fewer than two seeds or groups, or a level outside (0, 1).

    Source: Quenouille 1956, Biometrika 43:353-360; Tukey's pseudo-values.  Coverage: analysis/coverage_arms.py.
    """
    check_level(level)
    all_, some = np.asarray(whole, dtype=np.float64), np.asarray(without, dtype=np.float64)
    if some.ndim != 2 or min(some.shape) < 2 or all_.shape != some.shape[:1]:
        raise ValueError(
            f"shapes {all_.shape} and {some.shape}: must be [seeds] and [seeds, groups], two of each"
        )
    groups = some.shape[1]
    pseudo = groups * all_[:, None] - (groups - 1) * some
    return float(special.stdtrit(groups - 1, (1 + level) / 2)) * math.sqrt(own_variance(pseudo))
