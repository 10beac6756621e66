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


def mean_weights(abscissae: Sequence[float], low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Return [..., n]: the weight of each ordinate in the mean of the curve between ``low`` and ``high``; sum 1.

    The curve joins the mean points of the blocks of `rising_blocks` by straight lines.  With ``low`` equal to ``high``
    it is the value there.

    Args:
        abscissae: [n] finite numbers in the order in which they should rise.
        low: [...] where the mean begins.
        high: [...] where it ends.

    Raises:
        ValueError: the curve doesn't reach from ``low`` to ``high``.
    """
    blocks = rising_blocks(abscissae)
    knots = np.array([_mean(abscissae, block) for block in blocks])
    begin, end = np.broadcast_arrays(np.asarray(low, np.float64), np.asarray(high, np.float64))
    slack = 1e-9 * max(1.0, float(np.abs(knots).max()))
    if (begin < knots[0] - slack).any() or (begin > end).any() or (end > knots[-1] + slack).any():
        raise ValueError(
            f"the curve reaches from {knots[0]:g} to {knots[-1]:g}, not from {begin.min():g} to {end.max():g}"
        )
    width = end - begin
    # A range as narrow as rounding is a point.
    wide = width > slack
    areas = _areas(knots, end) - _areas(knots, begin)
    points = _hats(knots, (begin + end) / 2)
    found = np.where(wide[..., None], areas / np.where(wide, width, 1.0)[..., None], points)
    weights = np.zeros((*found.shape[:-1], len(abscissae)))
    for i, block in enumerate(blocks):
        weights[..., block] = found[..., i, None] / len(block)
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
    by_seed, mean = table.mean(axis=1), float(table.mean())
    own = own_variance(table)
    over_seeds = float(special.stdtrit(seeds - 1, (1 + level) / 2)) * math.sqrt(
        float(by_seed.var(ddof=1)) / seeds
    )
    largest = float(np.abs(table).max()) or 1.0
    half = math.hypot(over_seeds, normal_quantile(level) * math.sqrt(own + (largest / prompts) ** 2))
    return Mean(mean, mean - half, mean + half)


def own_variance(table: Floats) -> float:
    """Variance of the mean of a table [seeds, units] that is the units' own, by the crossed analysis of variance."""
    seeds, units = table.shape
    by_seed, by_unit = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_seed[:, None] - by_unit[None, :] + table.mean()
    both = float((rest**2).sum()) / ((seeds - 1) * (units - 1))
    return float(max(0.0, float(by_unit.var(ddof=1)) - both / seeds) / units)


def _hats(knots: Floats, at: Floats) -> Floats:
    """[..., knots]: the weights of the knots' ordinates in the curve's value at ``at``."""
    return np.stack([np.interp(at, knots, row) for row in np.eye(len(knots))], axis=-1)


def _areas(knots: Floats, to: Floats) -> Floats:
    """[..., knots]: the weights of the knots' ordinates in the area under the curve from its beginning to ``to``."""
    found = np.zeros((*to.shape, len(knots)))
    wide = np.diff(knots)
    part = np.clip((to[..., None] - knots[:-1]) / wide, 0.0, 1.0)
    found[..., :-1] += wide * (part - part**2 / 2)
    found[..., 1:] += wide * part**2 / 2
    return found


def _mean(values: Sequence[float], places: Sequence[int]) -> float:
    return sum(values[i] for i in places) / len(places)
