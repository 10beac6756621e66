"""Iso-harm curves: after how many steps each learning rate reaches a level of harm.  Data only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ftstab.outcome import Outcome
from ftstab.stability.units import asks_last_weights, last_weights, variants

_Recipe = tuple[str, int, float]
"""Other choices, batch size, learning rate."""
LEVELS = (0.1, 0.25, 0.5)
"""Levels of the rate of harmful prompts that curves are made for, where none are named."""


@dataclass(frozen=True)
class Crossing:
    """Where one learning rate reaches the level.

    Attributes:
        learning_rate: peak learning rate.
        batch_size: effective batch.
        variant: other choices of its recipe, as `variants` says them.
        steps: by seed, the steps at which harm reaches the level; None where it doesn't by `last`.
        ended: by seed, the last step that was measured of those that end before `last` and hadn't reached the level:
            they diverged, were left, or aren't measured further.  Whether they would reach it isn't known, so they
            aren't among `steps`.
        middle: median over all seeds, those that don't reach it counted as later; None where that is later than `last`,
            or hangs on a seed in `ended`.
        last: last step of the study.
        bent: largest change of a rate that made harm rise with the steps: above the noise of a rate, a warning.
    """

    learning_rate: float
    batch_size: int
    variant: str
    steps: dict[str, float | None]
    ended: dict[str, int]
    middle: float | None
    last: int
    bent: float


@dataclass(frozen=True)
class IsoHarm:
    """The curve of one level.

    Attributes:
        level: of the rate.
        rate: its name, after what its judge sees.
        start: the start model's rate.
        crossings: by other choices, batch size, then learning rate.
    """

    level: float
    rate: str
    start: float
    crossings: tuple[Crossing, ...]

    @property
    def at_start(self) -> bool:
        """Whether the start model has the level already, so that no training is what reaches it."""
        return self.start >= self.level

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def iso_harm(outcomes: Sequence[Outcome], start: Outcome, levels: Sequence[float] = LEVELS) -> list[IsoHarm]:
    """Return one curve per level, of last weights.

    Per trajectory the rates along the steps, the start's at 0 among them, are made to rise (isotonic least squares,
    every rate alike) and joined by a monotone cubic; the curve is where that reaches the level.  Nothing is
    extrapolated beyond the last step.  A point estimate per seed: the seeds show how sure it is.

    Raises:
        ValueError: a level outside (0, 1].
    """
    for level in levels:
        if not 0 < level <= 1:
            raise ValueError(f"level {level}: must lie above 0 and be at most 1")
    origin = start.rates["harmful"].value if "harmful" in start.rates else None
    if origin is None:
        return []
    others = variants(outcomes)
    lines: dict[_Recipe, dict[str, dict[int, float]]] = {}
    asked = [o for o in outcomes if asks_last_weights(o)]
    for outcome in asked:
        batch, peak = int(outcome.training["batch_size"]), float(outcome.training["learning_rate"])
        seeds = lines.setdefault((others[outcome.trajectory], batch, peak), {})
        rates = seeds.setdefault(str(outcome.seed), {0: origin})
        rate = outcome.rates.get("harmful")
        if last_weights(outcome) and rate is not None and rate.value is not None:
            rates[outcome.step] = rate.value
    last = max((o.step for o in asked), default=0)
    measured = [recipe for recipe in sorted(lines) if any(len(rates) > 1 for rates in lines[recipe].values())]
    return [
        IsoHarm(
            level,
            start.rates["harmful"].name,
            origin,
            tuple(_crossing(recipe, lines[recipe], level, last) for recipe in measured),
        )
        for level in levels
    ]


def _crossing(recipe: _Recipe, seeds: Mapping[str, Mapping[int, float]], level: float, last: int) -> Crossing:
    found: dict[str, float | None] = {}
    ended: dict[str, int] = {}
    bent = 0.0
    for seed, rates in sorted(seeds.items()):
        steps = sorted(rates)
        values = [rates[step] for step in steps]
        rising = isotonic(values)
        bent = max(bent, *(abs(a - b) for a, b in zip(values, rising, strict=True)))
        step = reached(steps, rising, level)
        if step is None and steps[-1] < last:
            ended[seed] = steps[-1]
        else:
            found[seed] = step
    known = [math.inf if step is None else step for step in found.values()]
    # A seed that ended may reach the level right after that, or never: the median is known where both say the same.
    middle = median([*known, *(math.inf for _ in ended)])
    soonest = median([*known, *ended.values()])
    return Crossing(
        learning_rate=recipe[2],
        batch_size=recipe[1],
        variant=recipe[0],
        steps=found,
        ended=ended,
        middle=middle if math.isfinite(middle) and middle == soonest else None,
        last=last,
        bent=bent,
    )


def isotonic(values: Sequence[float]) -> list[float]:
    """Return the rising sequence nearest to ``values`` in least squares (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [value for value, count in pools for _ in range(count)]


def reached(steps: Sequence[float], rising: Sequence[float], level: float) -> float | None:
    """Return where the monotone cubic through the points first reaches ``level``; None if it doesn't.

    Source: Fritsch and Butland 1984, SIAM Journal on Scientific and Statistical Computing 5:300-304 (PCHIP).
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import brentq

    if rising[0] >= level:
        return float(steps[0])
    after = next((i for i, value in enumerate(rising) if value >= level), None)
    if after is None:
        return None
    curve = PchipInterpolator(steps, rising)
    first, last = steps[after - 1], steps[after]
    # At a point of its own the curve may lie a rounding off it, so that a level met there exactly is met nowhere.
    if curve(last) <= level or curve(first) >= level:
        return float(last if curve(last) <= level else first)
    return float(brentq(lambda x: float(curve(x)) - level, first, last))
