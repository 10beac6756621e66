"""All parts of the stability analysis of one study, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftstab.outcome import Outcome
from ftstab.plan import Plan
from ftstab.spec import Study
from ftstab.stability.associations import Associations, associations
from ftstab.stability.importance import Importance, importances
from ftstab.stability.isoharm import IsoHarm, iso_harm
from ftstab.stability.rise import Exponents, Rise, exponents, rises
from ftstab.stability.units import Signals, trajectory_units

REPORT_DRAWS = 50
"""Resamples of trainings for a report, which has to be ready soon; `analysis/stability_importance.py` takes more."""


@dataclass(frozen=True)
class Stability:
    """What a study says of stability.

    Attributes:
        associations: diagnostics against harm.
        rises: rise of the safety loss by trajectory; empty where the study didn't measure it.
        exponents: its powers; None likewise.
        importances: of the axes, by objective.
        curves: iso-harm curves; empty where only one learning rate or one step was measured.
    """

    associations: Associations
    rises: tuple[Rise, ...]
    exponents: Exponents | None
    importances: tuple[Importance, ...]
    curves: tuple[IsoHarm, ...]


def stability_of(
    study: Study, plan: Plan, outcomes: Sequence[Outcome], start: Outcome, signals: Signals
) -> Stability:
    """Analyse the outcomes of ``study``.

    Args:
        study: the study.
        plan: its plan.
        outcomes: its settings.
        start: the start model's outcome.
        signals: signals of its trajectories.
    """
    found = rises(outcomes, start, signals)
    curves = iso_harm(outcomes, start)
    rates = {c.learning_rate for curve in curves for c in curve.crossings}
    return Stability(
        associations=associations(trajectory_units(outcomes, signals)),
        rises=tuple(found),
        exponents=exponents(found) if found else None,
        importances=tuple(importances(study, plan, outcomes, REPORT_DRAWS)),
        curves=tuple(curves) if len(rates) > 1 else (),
    )
