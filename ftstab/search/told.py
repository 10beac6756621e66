"""Outcomes as samplers see them: where they lie, what they came to, which limits they break.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ftstab.constraints import constraint_excess
from ftstab.evaluation.rates import gain
from ftstab.outcome import Outcome, Rate
from ftstab.search.dimensions import Dimension
from ftstab.search.proposals import Told
from ftstab.sequential import shrunk_rate
from ftstab.spec import Study


def told_outcomes(
    outcomes: Iterable[Outcome], start: Outcome, study: Study, space: Sequence[Dimension]
) -> list[Told]:
    """Return ``outcomes`` as samplers see them; those outside ``space``, or without numbers, are left out.

    A diverged setting has no objectives and a violated constraint.  A rate that stopped early is drawn towards the
    other settings of its trajectory, or the start (`shrunk_rate`).

    Args:
        outcomes: settings, trajectory by trajectory.
        start: the start model's outcome, which gains and limits are read against.
        study: the study, for its limits.
        space: the dimensions of its search.
    """
    found: list[Told] = []
    kin: dict[str, list[tuple[int, int]]] = {}
    for outcome in outcomes:
        values = {d.name: _value(outcome, d.name) for d in space}
        if not all(d.holds(values[d.name]) for d in space):
            continue
        if outcome.status != "scored":
            found.append(Told(values, None, {outcome.status: 1.0}, outcome.trajectory))
            continue
        rate, won = outcome.rates.get("harmful"), gain(outcome, start)
        if rate is None or rate.value is None or won is None:
            continue
        relatives = kin.setdefault(outcome.trajectory, [])
        harm = _harm(rate, relatives or [_counted(start.rates["harmful"])])
        relatives.append(_counted(rate))
        limits = {"diverged": 0.0, **constraint_excess(outcome, start, study)}
        found.append(Told(values, (harm, -won.value), limits, outcome.trajectory))
    return found


def _value(outcome: Outcome, name: str) -> Any:
    own = {"steps": outcome.step, "average": outcome.profile, "interpolation": outcome.interpolation}
    if name in own:
        return own[name]
    if name == "ema_decay":
        return outcome.diagnostics.get("feedback_decay", 0.0)
    return outcome.training.get(name)


def _harm(rate: Rate, kin: Sequence[tuple[int, int]]) -> float:
    if rate.stopped and any(scored for _, scored in kin):
        return shrunk_rate(*_counted(rate), kin)
    assert rate.value is not None
    return rate.value


def _counted(rate: Rate) -> tuple[int, int]:
    """Hits and scored answers."""
    return rate.hits, rate.hits + rate.misses
