"""Curves over a measured abscissa, and the interval of a mean over seeds and prompts.

What is read off a curve here is a fixed weighted sum of its ordinates: the weights come from the abscissae alone.  So
nothing is chosen by the ordinates, and their errors average out instead of being picked for (a minimum would pick).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from ftstab.stats.interval import Floats, check_level, normal_quantile

MIN_CURVE_SEEDS = 5
"""Fewest seeds that two curves are compared on (measurement rule 20)."""


class Mean(NamedTuple):
    """A mean over seeds and prompts with its interval; unit as that of what was given."""

    value: float
    low: float
    high: float


def rising_blocks(abscissae: Sequence[float]) -> list[list[int]]:
    """Return neighbours pooled until the mean abscissa of the blocks strictly rises: places of each block.

    Pool-adjacent-violators with equal weights; ties are pooled too.

    Args:
        abscissae: finite numbers in the order in which they should rise.

    Source: Barlow, Bartholomew, Bremner and Brunk 1972, Statistical Inference under Order Restrictions, chapter 1.
    """
    blocks: list[list[int]] = []
    for place in range(len(abscissae)):
        blocks.append([place])
        while len(blocks) > 1 and _mean(abscissae, blocks[-2]) >= _mean(abscissae, blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return blocks


def reach(abscissae: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest abscissa of the curve of `rising_blocks`."""
    blocks = rising_blocks(abscissae)
    return _mean(abscissae, blocks[0]), _mean(abscissae, blocks[-1])


def mean_weights(abscissae: Sequence[float], low: float, high: float) -> Floats:
    """Return [n]: the weight of each ordinate in the mean of the curve between ``low`` and ``high``; sum 1.

    The curve joins the mean points of the blocks of `rising_blocks` by straight lines.  With ``low`` equal to ``high``
    it is the value there.

    Raises:
        ValueError: the curve doesn't reach from ``low`` to ``high``.
    """
    blocks = rising_blocks(abscissae)
    knots = np.array([_mean(abscissae, block) for block in blocks])
    slack = 1e-9 * max(1.0, float(np.abs(knots).max()))
    if not knots[0] - slack <= low <= high <= knots[-1] + slack:
        raise ValueError(
            f"the curve reaches from {knots[0]:g} to {knots[-1]:g}, not from {low:g} to {high:g}"
        )
    inside = knots[(knots > low) & (knots < high)]
    grid = np.concatenate(([low], inside, [high]))
    weights = np.zeros(len(abscissae))
    for i, block in enumerate(blocks):
        hat = np.interp(grid, knots, np.eye(len(knots))[i])
        whole = float(np.trapezoid(hat, grid)) / (high - low) if high > low else float(hat[0])
        weights[block] = whole / len(block)
    return weights


def crossed_mean(differences: npt.ArrayLike, level: float = 0.95) -> Mean:
    """Return the mean of a table of seeds by prompts, with its interval over new seeds and new prompts.

    The seeds' part is Student's t over the seed means; the prompts' own part, which more seeds don't shrink, is
    normal, by the crossed analysis of variance; both are joined by squares.  Where the same prompts tell the
    same in every seed this is wider than the t interval over seeds alone, and never narrower.  The prompts' variance
    is taken one prompt that differs larger than seen, so that nothing is sure because nothing differed.

    Args:
        differences: [seeds, prompts].
        level: probability that the interval holds the mean.

    Raises:
        ValueError: not such a table, fewer than two seeds or prompts, or a level outside (0, 1).

    Source: two-way random effects (Searle, Casella and McCulloch 1992, Variance Components, chapter 4).
    Coverage: analysis/coverage_arms.py.
    """
    check_level(level)
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise ValueError(
            f"shape {table.shape}: must be a table [seeds, prompts] of finite numbers, two of each"
        )
    seeds, prompts = table.shape
    by_seed, by_prompt, mean = table.mean(axis=1), table.mean(axis=0), float(table.mean())
    rest = table - by_seed[:, None] - by_prompt[None, :] + mean
    both = float((rest**2).sum()) / ((seeds - 1) * (prompts - 1))
    own = max(0.0, float(by_prompt.var(ddof=1)) - both / seeds) / prompts
    over_seeds = float(special.stdtrit(seeds - 1, (1 + level) / 2)) * math.sqrt(
        float(by_seed.var(ddof=1)) / seeds
    )
    largest = float(np.abs(table).max()) or 1.0
    half = math.hypot(over_seeds, normal_quantile(level) * math.sqrt(own + (largest / prompts) ** 2))
    return Mean(mean, mean - half, mean + half)


def _mean(values: Sequence[float], places: Sequence[int]) -> float:
    return sum(values[i] for i in places) / len(places)
