"""Diagnostics against harm: rank correlations within learning rate over trajectories, with false-discovery control.

Where trajectories are read at steps of their own (`Units.step` and `Units.examples` None), within learning rate and
step: harm and most diagnostics rise with the steps, so they would go together whatever else is true.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ftstab.stability.units import HARMS, Unit, Units
from ftstab.stats import LEVEL, WithinCorrelation, benjamini_yekutieli, within_rank_correlation

MIN_TRAJECTORIES = 5
"""With fewer no correlation is printed."""
FALSE_DISCOVERY = 0.05
"""Share of the claims that may be false."""
PERMUTATIONS = 9999
"""Draws of a permutation test; more for a strong association among many (`_permutations`)."""
_FEW = 10
"""An association that so few of them reach is tested again, with draws enough for it to be claimed by itself."""
_SAME = {"safety_loss": ("safety_loss", "refusing_loss", "complying_loss")}
"""Diagnostics that are parts of a measure of harm when read at the same step: their correlation says nothing."""

Claim = Literal["rises with harm", "falls with harm", "not shown"]


@dataclass(frozen=True)
class Association:
    """One diagnostic against one measure of harm.

    Attributes:
        diagnostic: its name.
        harm: a name of `HARMS`.
        rho: Spearman's correlation within learning rate, combined.
        low: lower end of its 95 % interval.
        high: upper end.
        p: permutation p-value.
        adjusted: the same, adjusted for all associations of the analysis (Benjamini and Yekutieli).
        trajectories: how many count.
        learning_rates: in how many groups of one learning rate (and step, where these differ).
        claim: what may be said.  `not shown` is no claim of independence: the interval says how much is possible.
    """

    diagnostic: str
    harm: str
    rho: float
    low: float
    high: float
    p: float
    adjusted: float
    trajectories: int
    learning_rates: int
    claim: Claim


@dataclass(frozen=True)
class Associations:
    """All associations of a study.

    Attributes:
        found: strongest first, by measure of harm.
        none_because: why there are none; None where there are some.
        unmeasurable: diagnostics that too few trajectories have, or that never differ within a learning rate.
        units: the trajectories.
    """

    found: tuple[Association, ...]
    none_because: str | None
    unmeasurable: tuple[str, ...]
    units: Units

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def associations(units: Units, level: float = LEVEL, seed: int = 0) -> Associations:
    """Correlate every diagnostic with every measure of harm.

    Args:
        units: one per training.
        level: of the intervals.
        seed: of the permutations.
    """
    count = len(units.units)
    if count < MIN_TRAJECTORIES:
        counted = "1 trajectory" if count == 1 else f"{count} trajectories"
        why = f"{counted} that can be compared: with fewer than {MIN_TRAJECTORIES} no correlation is printed"
        return Associations((), why, (), units)
    names = sorted({name for unit in units.units for name in unit.diagnostics})
    draws = _permutations(len(names) * len(HARMS))
    raw, without = [], []
    for harm in HARMS:
        if not any(harm in unit.harm for unit in units.units):
            continue
        for name in names:
            if units.early is None and name in _SAME.get(harm, ()):
                continue
            known = [u for u in units.units if name in u.diagnostics and harm in u.harm]
            found = None
            if len(known) >= MIN_TRAJECTORIES:
                found = _correlated(name, harm, known, units, level, seed, draws)
            if found is None or found.units < MIN_TRAJECTORIES:
                without.append(name)
            else:
                raw.append((name, harm, found))
    adjusted = benjamini_yekutieli([found.p for _, _, found in raw])
    rows = [
        Association(
            diagnostic=name,
            harm=harm,
            rho=found.rho,
            low=found.low,
            high=found.high,
            p=found.p,
            adjusted=p,
            trajectories=found.units,
            learning_rates=found.strata,
            claim=_claim(found.low, found.high, p),
        )
        for (name, harm, found), p in zip(raw, adjusted, strict=True)
    ]
    order = HARMS
    rows.sort(key=lambda row: (order.index(row.harm), -abs(row.rho), row.diagnostic))
    why_none = (
        None if rows else "no diagnostic and harm both differ among enough trajectories of one learning rate"
    )
    return Associations(tuple(rows), why_none, tuple(sorted(set(without))), units)


def _correlated(
    name: str, harm: str, known: Sequence[Unit], units: Units, level: float, seed: int, draws: int
) -> WithinCorrelation | None:
    """The correlation over ``known``; its second test draws anew, so that its p-value is chosen by no other."""
    found = None
    for permutations, drawn in ((PERMUTATIONS, seed), (draws, seed + 1)):
        found = within_rank_correlation(
            [u.diagnostics[name] for u in known],
            [u.harm[harm] for u in known],
            [_stratum(u, units) for u in known],
            level,
            permutations,
            drawn,
        )
        if found is None or draws <= permutations or found.p > _FEW / (permutations + 1):
            break
    return found


def _stratum(unit: Unit, units: Units) -> Hashable:
    """What trajectories are alike in that are ranked against each other."""
    apart = units.step is None and units.examples is None
    return (unit.learning_rate, unit.step) if apart else unit.learning_rate


def _permutations(tests: int) -> int:
    """Draws with which the strongest of so many associations can be claimed by itself.

    The smallest p-value of n draws is 1 / (n + 1), and Benjamini and Yekutieli multiply the smallest by
    tests x (1 + 1/2 + ... + 1/tests): that product has to come to less than half of `FALSE_DISCOVERY`.
    """
    factor = tests * math.fsum(1 / i for i in range(1, tests + 1))
    return max(PERMUTATIONS, math.ceil(2 * factor / FALSE_DISCOVERY))


def _claim(low: float, high: float, adjusted: float) -> Claim:
    if adjusted > FALSE_DISCOVERY or low <= 0 <= high:
        return "not shown"
    return "rises with harm" if low > 0 else "falls with harm"
