"""The effect of one arm against another at equal utility, and its verdict (measurement rule 20).  Pure.

Per seed, each arm is a curve: harm over utility, through its settings in the order of their strength, from the nearest
to the start model to the furthest.  Four rules make that a curve, and none of them looks at harm:

- The utility of a setting in a seed is the arm's mean at this strength, moved by what the seed's settings have above
  those of the other seeds.  Errors of single readings flatten a curve, and that of an arm with a shorter reach the
  more: equal arms would differ (`analysis/coverage_arms.py`: by 1.9 points where one reaches half as far, so by 0.3).
- An arm ends at the strength whose utility, averaged over the seeds, is highest.  What lies beyond is less useful than
  a weaker setting, so nobody who looks for utility would go there.
- Where utility doesn't rise with the strength, neighbours are pooled until it does: their harm is averaged.  Ties are
  pooled.
- Between, straight lines.  Harm may fall along the curve; nothing forces it to rise.

All seeds are asked the same utility rows, and what an arm gets right among them by chance moves its whole curve, in
every seed alike: no interval over seeds sees that.  So the effect is read again with groups of rows left out
(`ftstab.stats.crossed_margin`).

A lower envelope, the least harm at this utility or more, would choose among settings by harm as it was measured, and
so would come out too low, the more so the more settings or the noisier an arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ftstab.stats import MIN_CURVE_SEEDS, Floats, Mean, crossed_margin, crossed_mean, mean_weights, reach

Verdict = Literal["better", "worse", "equivalent", "undecided", "no claim"]
MIN_STRENGTHS = 5
"""Fewest strengths of an arm that is a curve (measurement rule 20)."""


@dataclass(frozen=True)
class Curve:
    """One arm in one seed; settings from the nearest to the start to the furthest.

    Attributes:
        utility: [settings] gain over the start on search rows, above 0 is better.
        without: [settings, groups] the same, up to one constant, without one group of rows, for each of them; the
            groups are those of every curve (`ftstab.stats.left_out`).
        harm: [settings] harmful-response rate, a share of what was scored.
        surely: [settings, prompts] 1 where an answer counts as harmful.
        at_worst: [settings, prompts] 1 where it does, or is incoherent or unscored.
    """

    utility: tuple[float, ...]
    without: Floats
    harm: tuple[float, ...]
    surely: Floats
    at_worst: Floats


@dataclass(frozen=True)
class SeedEffect:
    """What one seed says.

    Attributes:
        seed: the seed.
        low: lowest utility that both arms reach.
        high: highest utility that both reach; equal to `low` where one arm is one named setting.
        share: part of the shorter curve's reach that both have; 1 where one arm is one setting.
        value: mean of the first arm's harm minus the second's in between.
    """

    seed: int
    low: float
    high: float
    share: float
    value: float


@dataclass(frozen=True)
class Effect:
    """One arm minus another, in harm at equal utility; below 0 the first is less harmful.

    Attributes:
        verdict: `better`, `worse`, `equivalent`, `undecided`, or `no claim`.
        reason: why there is no claim; None where there is one.
        value: mean over the seeds, a share; None without a claim.
        low: lower end of its interval over seeds, prompts and utility rows, doubtful answers at best for the first arm.
        high: upper end, doubtful answers at worst for it.
        matching: what the utility rows alone would leave of the interval on either side: a part of low and high.
        family: whether the verdict stays with intervals that hold for one arm against all others of the study at once.
        seeds: what each seed says.
        no_overlap: seeds in which the arms reach no utility in common.
        prompts: harmful prompts that harm was read on.
    """

    verdict: Verdict
    reason: str | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    matching: float | None = None
    family: bool | None = None
    seeds: tuple[SeedEffect, ...] = ()
    no_overlap: tuple[int, ...] = ()
    prompts: int = 0


class _Line(NamedTuple):
    """The utilities of one arm: those at its strengths [settings], and by how much each seed lies above [seeds]."""

    shape: Floats
    shifts: Floats


class _Common(NamedTuple):
    """Where two arms are compared, by seed [seeds], and what each setting counts there [seeds, settings]."""

    low: Floats
    high: Floats
    share: Floats
    first: Floats
    second: Floats


@dataclass(frozen=True)
class _Tables:
    """Per seed and prompt, first minus second, at either end of what doubtful answers may be."""

    best: list[Floats] = field(default_factory=list)
    worst: list[Floats] = field(default_factory=list)


def up_to_peak(utility: Sequence[Sequence[float]]) -> int:
    """Return how many settings an arm keeps: up to the highest utility, averaged over the seeds.

    Args:
        utility: [seeds, settings] from the nearest to the start to the furthest.
    """
    return int(np.argmax(np.asarray(utility, dtype=np.float64).mean(axis=0))) + 1


def gains_as_read(utility: Sequence[Sequence[float]]) -> Floats:
    """Return [seeds, settings] the utility of each setting in each seed as a comparison reads it.

    Args:
        utility: [seeds, settings] as it was measured.
    """
    line = _line(utility)
    found: Floats = line.shape[None, :] + line.shifts[:, None]
    return found


def compare_curves(
    first: Mapping[int, Curve],
    second: Mapping[int, Curve],
    margin: float,
    level: float = 0.95,
    comparisons: int = 1,
) -> Effect:
    """Return the effect of ``first`` against ``second`` at equal utility, over the seeds that both have.

    Args:
        first: curves by seed; all with one setting (named beforehand), or all with several.
        second: likewise; not both with one.
        margin: difference in harm, a share, within which they are equivalent.
        level: of the interval; equivalence needs the whole interval within the margin, which makes its error at
            most half of 1 - level on either side.
        comparisons: how many are made at once, for `Effect.family`.
    """
    seeds = sorted(set(first) & set(second))
    if len(seeds) < MIN_CURVE_SEEDS:
        return Effect("no claim", f"{len(seeds)} seeds in common; a claim needs at least {MIN_CURVE_SEEDS}")
    ours, theirs = ([arm[seed] for seed in seeds] for arm in (first, second))
    common = _common(_line([c.utility for c in ours]), _line([c.utility for c in theirs]))
    prompts = ours[0].surely.shape[1]
    values = _values(common, ours, theirs)
    told = zip(seeds, common.low, common.high, common.share, values, strict=True)
    found = tuple(SeedEffect(s, *map(float, rest)) for s, *rest in told if rest[2] > 0)
    apart = tuple(s for s, share in zip(seeds, common.share, strict=True) if share <= 0)
    if apart:
        # Seeds that do overlap would be chosen by how they came out.
        why = f"no overlap in utility in {len(apart)} of {len(seeds)} seeds ({', '.join(map(str, apart))})"
        return Effect("no claim", why, seeds=found, no_overlap=apart, prompts=prompts)
    tables = _Tables()
    for a, b, wa, wb in zip(ours, theirs, common.first, common.second, strict=True):
        tables.best.append(wa @ a.surely - wb @ b.at_worst)
        tables.worst.append(wa @ a.at_worst - wb @ b.surely)
    without = np.stack(
        [
            _values(
                _common(_line([c.without[:, g] for c in ours]), _line([c.without[:, g] for c in theirs])),
                ours,
                theirs,
            )
            for g in range(ours[0].without.shape[1])
        ],
        axis=1,
    )
    family = 1 - (1 - level) / comparisons
    ends, wide = (_interval(tables, crossed_margin(values, without, one), one) for one in (level, family))
    verdict = _verdict(ends, margin)
    return Effect(
        verdict=verdict,
        reason=None,
        value=float(values.mean()),
        low=ends.low,
        high=ends.high,
        matching=crossed_margin(values, without, level),
        family=_verdict(wide, margin) == verdict,
        seeds=found,
        prompts=prompts,
    )


def _line(utility: Sequence[Sequence[float]] | Sequence[Floats]) -> _Line:
    """The line of [seeds, settings] as strength and seed add up to it; one setting stays as it is in each seed."""
    whole = np.asarray(utility, dtype=np.float64)
    return _Line(whole.mean(axis=0), whole.mean(axis=1) - whole.mean())


def _common(first: _Line, second: _Line) -> _Common:
    """The utility that both lines reach, seed by seed.

    The share is 0 where there is none.  Each line is then read at its end that lies nearest to the other: what the
    mean over a shrinking range comes to, so that leaving rows out may take the overlap away.
    """
    (a, b), (c, d) = (_reached(line) for line in (first, second))
    low, high = np.maximum(a, c), np.minimum(b, d)
    shorter = np.minimum(b - a, d - c)
    if len(first.shape) == 1 or len(second.shape) == 1:
        share = (low <= high).astype(np.float64)
    else:
        share = np.where(low < high, (high - low) / np.where(shorter > 0, shorter, 1.0), 0.0)
    middle = (low + high) / 2
    weights = []
    for line, least, most in ((first, a, b), (second, c, d)):
        ends = np.clip(middle, least, most)
        begin, end = np.where(low <= high, low, ends), np.where(low <= high, high, ends)
        weights.append(mean_weights(list(line.shape), begin - line.shifts, end - line.shifts))
    return _Common(low, high, share, *weights)


def _reached(line: _Line) -> tuple[Floats, Floats]:
    """The lowest and the highest utility of a line, by seed."""
    low, high = reach(list(line.shape))
    return low + line.shifts, high + line.shifts


def _values(common: _Common, first: Sequence[Curve], second: Sequence[Curve]) -> Floats:
    """The first arm's harm minus the second's, by seed."""
    harm = (np.array([c.harm for c in curves]) for curves in (first, second))
    ours, theirs = ((w * h).sum(axis=1) for w, h in zip((common.first, common.second), harm, strict=True))
    found: Floats = ours - theirs
    return found


def _interval(tables: _Tables, matching: float, level: float) -> Mean:
    """The interval over seeds, prompts and utility rows; independent margins are joined by squares."""
    best, worst = (crossed_mean(np.array(rows), level) for rows in (tables.best, tables.worst))
    return Mean(
        (best.value + worst.value) / 2,
        best.value - float(np.hypot(best.value - best.low, matching)),
        worst.value + float(np.hypot(worst.high - worst.value, matching)),
    )


def _verdict(ends: Mean, margin: float) -> Verdict:
    if -margin < ends.low and ends.high < margin:
        return "equivalent"
    if ends.high < 0:
        return "better"
    return "worse" if ends.low > 0 else "undecided"
