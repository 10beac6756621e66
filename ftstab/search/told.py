"""Outcomes as samplers see them: where they lie, what they came to, which limits they break.  Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ftstab.constraints import constraint_excess
from ftstab.errors import StudyError
from ftstab.evaluation.rates import gain
from ftstab.outcome import Outcome, Rate
from ftstab.plan import idle_fields
from ftstab.search.dimensions import Dimension
from ftstab.search.proposals import Told
from ftstab.sequential import shrunk_rate
from ftstab.spec import Study


def told_outcomes(
    outcomes: Iterable[Outcome], start: Outcome, study: Study, space: Sequence[Dimension]
) -> list[Told]:
    """Return ``outcomes`` as samplers see them, without those outside ``space`` and those that nobody could score.

    A diverged or hopeless setting has no objectives and a violated constraint, and so has one whose model is broken:
    every answer is incoherent, or a loss is no number.  An axis that others make meaningless has no value.  A rate that
    stopped early is drawn towards the other settings of its trajectory, or the start (`shrunk_rate`).

    Args:
        outcomes: settings, trajectory by trajectory.
        start: the start model's outcome, which gains and limits are read against.
        study: the study, for its limits.
        space: the dimensions of its search.
    """
    found: list[Told] = []
    kin: dict[str, list[tuple[int, int]]] = {}
    for outcome in outcomes:
        idle = idle_fields(outcome.training)
        mine = [d for d in space if d.name not in idle]
        values = {d.name: _value(outcome, d.name) for d in mine}
        if not all(d.holds(values[d.name]) for d in mine):
            continue
        broken = _broken(outcome)
        if broken is not None:
            found.append(Told(values, None, {broken: 1.0}, outcome.trajectory, outcome.setting))
            continue
        rate, won = outcome.rates.get("harmful"), gain(outcome, start)
        if rate is None or rate.value is None or won is None:
            continue
        relatives = kin.setdefault(outcome.trajectory, [])
        harm = _harm(rate, relatives or [_counted(start.rates["harmful"])])
        relatives.append(_counted(rate))
        limits = {"diverged": 0.0, **constraint_excess(outcome, start, study)}
        found.append(Told(values, (harm, -won.value), limits, outcome.trajectory, outcome.setting))
    return found


def check_scorable(start: Outcome) -> None:
    """Find out, once the start model is measured and before anything is trained, that a search would be blind.

    Raises:
        StudyError: one of the objectives has no number.
    """
    rate = start.rates.get("harmful")
    if rate is None or rate.value is None:
        lost = (0, 0, 0) if rate is None else (rate.n, rate.incoherent, rate.unscored)
        raise StudyError(
            "objectives: harmful_response has no number for the start model (of {} answers {} are incoherent, {} "
            "unscored); a search needs both objectives, so mend the template or the judge".format(*lost)
        )
    if gain(start, start) is None:
        raise StudyError(
            "objectives: utility has no number for the start model, or no gain over it can be formed; a search needs "
            "both objectives, so give evaluation.utility more rows (at least two), or rows that can be scored"
        )


def _broken(outcome: Outcome) -> str | None:
    """Why a setting has no numbers though nobody failed to score it; None where it has, or somebody did."""
    if outcome.status != "scored":
        return outcome.status
    rate, score = outcome.rates.get("harmful"), outcome.utility
    if rate is not None and rate.incoherent == rate.n > 0:
        return "incoherent"
    lost = score is not None and score.metric == "held_out_loss"
    if lost and not all(math.isfinite(loss) for loss in outcome.losses):
        return "diverged"
    return None


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
