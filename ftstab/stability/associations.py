"""Diagnostics against harm: rank correlations within learning rate over trajectories, with false-discovery control."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ftstab.stability.units import HARM_WORDS, Units
from ftstab.stats import LEVEL, benjamini_yekutieli, within_rank_correlation

MIN_TRAJECTORIES = 5
"""With fewer no correlation is printed."""
FALSE_DISCOVERY = 0.05
"""Share of the claims that may be false."""
_SAME = {"safety_loss": ("safety_loss", "refusing_loss", "complying_loss")}
"""Diagnostics that are parts of a measure of harm when read at the same step: their correlation says nothing."""

Claim = Literal["rises with harm", "falls with harm", "not shown"]


@dataclass(frozen=True)
class Association:
    """One diagnostic against one measure of harm.

    Attributes:
        diagnostic: its name.
        harm: a name of `HARM_WORDS`.
        rho: Spearman's correlation within learning rate, combined.
        low: lower end of its 95 % interval.
        high: upper end.
        p: permutation p-value.
        adjusted: the same, adjusted for all associations of the analysis (Benjamini and Yekutieli).
        trajectories: how many count.
        learning_rates: at how many learning rates.
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
        units: one per trajectory.
        level: of the intervals.
        seed: of the permutations.
    """
    count = len(units.units)
    if count < MIN_TRAJECTORIES:
        why = f"{count} trajectories that can be compared: with fewer than {MIN_TRAJECTORIES} no correlation is printed"
        return Associations((), why, (), units)
    names = sorted({name for unit in units.units for name in unit.diagnostics})
    raw, without = [], []
    for harm in HARM_WORDS:
        if not any(harm in unit.harm for unit in units.units):
            continue
        for name in names:
            if units.early is None and name in _SAME.get(harm, ()):
                continue
            known = [u for u in units.units if name in u.diagnostics and harm in u.harm]
            found = None
            if len(known) >= MIN_TRAJECTORIES:
                found = within_rank_correlation(
                    [u.diagnostics[name] for u in known],
                    [u.harm[harm] for u in known],
                    [u.learning_rate for u in known],
                    level,
                    seed=seed,
                )
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
    order = list(HARM_WORDS)
    rows.sort(key=lambda row: (order.index(row.harm), -abs(row.rho), row.diagnostic))
    why_none = (
        None if rows else "no diagnostic and harm both differ among enough trajectories of one learning rate"
    )
    return Associations(tuple(rows), why_none, tuple(sorted(set(without))), units)


def _claim(low: float, high: float, adjusted: float) -> Claim:
    if adjusted > FALSE_DISCOVERY or low <= 0 <= high:
        return "not shown"
    return "rises with harm" if low > 0 else "falls with harm"
