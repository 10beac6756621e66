"""Two levels, seeds and prompts: what a new training run of a recipe will show.

Every seed answers the same prompts (a crossed design), so the variance of prompts doesn't shrink with more
seeds, nor that of seeds with more prompts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from ftstab.stats.interval import Floats, check_level, normal_quantile
from ftstab.stats.proportions import method_label, wilson

MIN_SEEDS = 3
"""Fewest seeds that an interval is given for (measurement rule 14)."""


class NewRun(NamedTuple):
    """Where the figure of a new training run lies, over prompts like these.

    `value` is the mean over the seeds seen; unit as that of what was given.  `interval` is the method of its ends.
    """

    value: float
    low: float
    high: float
    seeds: int
    prompts: int
    interval: str


class _Crossed(NamedTuple):
    """Mean, variance between seed means, and variance of the prompts' own effects."""

    mean: float
    seeds: float
    prompts: float


def new_run(hits: npt.ArrayLike, level: float = 0.95) -> NewRun | None:
    """Return the interval of the rate of a new run, from the hits of several runs on the same prompts.

    The seeds' part is t x s x sqrt(1 + 1/S) on S - 1 degrees of freedom, with s the standard deviation of the
    seeds' rates; the prompts' part is Wilson's margin of the mean rate, scaled by the share of its variance that
    is the prompts' own (crossed analysis of variance).  The two margins are joined by squares on either side.

    Args:
        hits: [seeds, prompts], 0 or 1.
        level: probability that the interval holds the new run's rate.

    Returns:
        None below `MIN_SEEDS` seeds or two prompts.

    Source: two-way random effects (Searle, Casella and McCulloch 1992, Variance Components, chapter 4); joining of
    margins as in Zou and Donner 2008, Statistics in Medicine 27:1693-1702.  Coverage: analysis/coverage_seeds.py.

    Raises:
        ValueError: not a table of zeros and ones, or a level outside (0, 1).
    """
    table = _table(hits, level)
    if not np.isin(table, (0.0, 1.0)).all():
        raise ValueError("hits: must be 0 or 1")
    found = _crossed(table)
    if found is None:
        return None
    seeds, prompts = table.shape
    mean = found.mean
    # Wilson's interval of a mean of so many prompts; between two counts it is read off a straight line.
    below, above = _wilson_margins(mean, prompts, level)
    whole = mean * (1 - mean)
    # Never below what seeds that each drew their own prompts would leave.
    own = 1.0 if whole == 0 else math.sqrt(min(1.0, max(1 / seeds, found.prompts / whole)))
    spread = _t(seeds, level) * math.sqrt(found.seeds * (1 + 1 / seeds))
    return NewRun(
        mean,
        max(0.0, mean - math.hypot(spread, own * below)),
        min(1.0, mean + math.hypot(spread, own * above)),
        seeds,
        prompts,
        method_label("t-seeds-wilson", level),
    )


def new_run_difference(differences: npt.ArrayLike, level: float = 0.95) -> NewRun | None:
    """Return the interval of the difference between new runs of two recipes that share their seed.

    As `new_run`, with the normal margin of the prompts' own effects; that variance is taken one prompt that
    differs larger than seen, so that recipes which no prompt has told apart aren't called equal.

    Args:
        differences: [seeds, prompts], first minus second on the same seed and prompt.
        level: probability that the interval holds the new runs' difference.

    Returns:
        None below `MIN_SEEDS` seeds or two prompts.

    Raises:
        ValueError: not a table of finite numbers, or a level outside (0, 1).
    """
    table = _table(differences, level)
    found = _crossed(table)
    if found is None:
        return None
    seeds, prompts = table.shape
    largest = float(np.abs(table).max()) or 1.0
    own = normal_quantile(level) * math.sqrt(found.prompts / prompts + (largest / prompts) ** 2)
    half = math.hypot(_t(seeds, level) * math.sqrt(found.seeds * (1 + 1 / seeds)), own)
    return NewRun(
        found.mean,
        found.mean - half,
        found.mean + half,
        seeds,
        prompts,
        method_label("t-seeds-normal", level),
    )


def _table(values: npt.ArrayLike, level: float) -> Floats:
    check_level(level)
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(f"shape {table.shape}: must be a table [seeds, prompts] of finite numbers")
    return table


def _crossed(table: Floats) -> _Crossed | None:
    seeds, prompts = table.shape
    if seeds < MIN_SEEDS or prompts < 2:
        return None
    by_seed, by_prompt, mean = table.mean(axis=1), table.mean(axis=0), float(table.mean())
    rest = table - by_seed[:, None] - by_prompt[None, :] + mean
    both = float((rest**2).sum()) / ((seeds - 1) * (prompts - 1))
    return _Crossed(mean, float(by_seed.var(ddof=1)), max(0.0, float(by_prompt.var(ddof=1)) - both / seeds))


def _wilson_margins(mean: float, n: int, level: float) -> tuple[float, float]:
    k = math.floor(mean * n + 1e-9)
    share = min(1.0, max(0.0, mean * n - k))
    lower = wilson(k, n, level)
    upper = wilson(min(n, k + 1), n, level)
    low = (1 - share) * lower.low + share * upper.low
    high = (1 - share) * lower.high + share * upper.high
    return max(0.0, mean - low), max(0.0, high - mean)


def _t(seeds: int, level: float) -> float:
    return float(special.stdtrit(seeds - 1, (1 + level) / 2))
