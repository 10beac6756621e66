"""Which axes decide each objective: PED-ANOVA importances from Optuna, with their spread over trainings."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftstab.outcome import Outcome
from ftstab.plan import Plan
from ftstab.recipes import trunk_of
from ftstab.spec import Study
from ftstab.stability.associations import MIN_TRAJECTORIES
from ftstab.stability.units import safety_loss
from ftstab.tracking.space import distributions, points

if TYPE_CHECKING:
    import optuna

TOP = 0.25
"""Share of the settings that counts as good: importance is how far they are told from the rest by one axis."""
DRAWS = 200


@dataclass(frozen=True)
class Importance:
    """How much each axis decides one objective.

    Attributes:
        objective: what is read of a setting.
        direction: which way is better.
        axes: importance by axis, largest first; they sum to 1.
        low: 2.5 % quantile over resampled trainings, by axis; empty below 5 trainings.
        high: 97.5 % quantile likewise.
        settings: settings that have the objective.
        best: of these, as many as count as good: the share asked for, and all that tie with its last.
        trajectories: trajectories that they are on.
        trainings: independent trainings that these are: branches of one trunk are resampled together.
    """

    objective: str
    direction: str
    axes: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    settings: int
    best: int
    trajectories: int
    trainings: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def importances(
    study: Study,
    plan: Plan,
    outcomes: Sequence[Outcome],
    draws: int = DRAWS,
    seed: int = 0,
    top: float = TOP,
) -> list[Importance]:
    """Return the importance of every axis that varies, for each objective that settings have.

    A share of what the axes decide one by one; what they do together, and seeds, are in none of them.  The ends say
    what other trainings of the same study would have given, by resampling them whole (a trunk with its branches); they
    are no test.

    Args:
        study: the study.
        plan: its plan.
        outcomes: its settings.
        draws: resamples of trainings.
        seed: of the resampling.
        top: share of the settings that counts as good.

    Source: Watanabe, Bansal and Hutter 2023, PED-ANOVA (IJCAI, arXiv 2304.10255).
    """
    found = []
    where, space = points(study, plan), distributions(study, plan)
    for name, direction, read in _objectives(outcomes):
        known = [
            (o, value)
            for o in outcomes
            if (value := read(o)) is not None and o.setting in where and not o.start
        ]
        values = [value for _, value in known]
        names = [n for n in space if len({repr(where[o.setting].get(n)) for o, _ in known}) > 1]
        best = _best(values, direction, top)
        if best == len(values) or not names:
            # So many settings tie that none is told from the rest.
            continue
        levels = {
            # Null may be a level too, as of `max_grad_norm`.
            n: list(dict.fromkeys(where[o.setting][n] for o, _ in known if n in where[o.setting]))
            for n in names
            if _is_listed(study, n)
        }
        given = {n: _by_level(levels[n]) if n in levels else space[n] for n in names}
        trials = [
            (
                {
                    n: levels[n].index(v) if n in levels else v
                    for n, v in where[o.setting].items()
                    if n in given
                },
                trunk_of(o),
                value,
            )
            for o, value in known
        ]
        whole = _ped_anova(trials, given, direction, top)
        trajectories = {o.trajectory: trunk_of(o) for o, _ in known}
        trainings = list(dict.fromkeys(trunk for _, trunk in sorted(trajectories.items())))
        spread: list[dict[str, float]] = []
        if len(trainings) >= MIN_TRAJECTORIES:
            spread = _resampled(trials, trainings, given, direction, top, draws, seed)
        found.append(
            Importance(
                objective=name,
                direction=direction,
                axes=whole,
                low={n: _quantile(spread, n, 0.025) for n in whole} if spread else {},
                high={n: _quantile(spread, n, 0.975) for n in whole} if spread else {},
                settings=len(known),
                best=best,
                trajectories=len(trajectories),
                trainings=len(trainings),
            )
        )
    return found


_Trial = tuple[dict[str, Any], str, float]


def _is_listed(study: Study, name: str) -> bool:
    """Whether a parameter takes listed values, as everything but the ranges of a search does."""
    return name not in type(study.axes).model_fields or study.axes.range(name) is None


def _by_level(levels: Sequence[Any]) -> optuna.distributions.BaseDistribution:
    """Listed values as choices.  As numbers they would be smoothed over 50 points from the lowest to the highest, with
    one bandwidth for the best settings and another for all, which merges levels that lie close and makes gaps between
    others: importances off by a factor of several."""
    import optuna

    return optuna.distributions.CategoricalDistribution(range(len(levels)))


def _objectives(
    outcomes: Sequence[Outcome],
) -> list[tuple[str, str, Callable[[Outcome], float | None]]]:
    def rate(outcome: Outcome) -> float | None:
        return outcome.rates["harmful"].value if "harmful" in outcome.rates else None

    def utility(outcome: Outcome) -> float | None:
        return None if outcome.utility is None else outcome.utility.value

    metric = next((o.utility for o in outcomes if o.utility is not None), None)
    found: list[tuple[str, str, Callable[[Outcome], float | None]]] = [
        (next((o.rates["harmful"].name for o in outcomes if "harmful" in o.rates), "rate"), "minimize", rate),
        ("safety_loss", "minimize", safety_loss),
    ]
    if metric is not None:
        found.append((metric.metric, metric.direction, utility))
    return found


def _resampled(
    trials: Sequence[_Trial],
    trainings: Sequence[str],
    space: dict[str, Any],
    direction: str,
    top: float,
    draws: int,
    seed: int,
) -> list[dict[str, float]]:
    by_training: dict[str, list[_Trial]] = {}
    for trial in trials:
        by_training.setdefault(trial[1], []).append(trial)
    draw = random.Random(seed)
    found = []
    for _ in range(draws):
        chosen = draw.choices(trainings, k=len(trainings))
        some = [trial for training in chosen for trial in by_training[training]]
        if _best([value for _, _, value in some], direction, top) < len(some):
            found.append(_ped_anova(some, space, direction, top))
    return found


def _best(values: Sequence[float], direction: str, top: float) -> int:
    """How many of ``values`` are among the best share ``top``, ties with the last of them included."""
    losses = sorted(values if direction == "minimize" else [-v for v in values])
    return sum(v <= losses[math.ceil(top * len(losses)) - 1] for v in losses) if losses else 0


def _ped_anova(
    trials: Sequence[_Trial], space: dict[str, Any], direction: str, top: float
) -> dict[str, float]:
    """Importances by axis, largest first, which sum to 1, from a study in memory."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study = optuna.create_study(direction=direction)
        study.add_trials([_trial(params, space, value) for params, _, value in trials])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=top)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    optuna.logging.set_verbosity(verbosity)
    # What is equally important comes by name, not in the order that Optuna's sets happen to have.
    ordered = sorted(found.items(), key=lambda item: (-round(item[1], 9), item[0]))
    return {name: float(value) for name, value in ordered}


def _trial(params: dict[str, Any], space: dict[str, Any], value: float) -> optuna.trial.FrozenTrial:
    import optuna

    given = {name: space[name] for name in params}
    return optuna.trial.create_trial(params=params, distributions=given, value=value)


def _quantile(spread: Sequence[dict[str, float]], name: str, share: float) -> float:
    return float(np.quantile([one.get(name, 0.0) for one in spread], share))
