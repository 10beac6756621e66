"""The space of a study as Optuna sees it: the dimensions of a setting and their ranges.

The seed is never a dimension: it is an attribute of a trial.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ftstab.plan import Plan, Setting, Trajectory, idle_fields, study_profiles
from ftstab.spec import Study, Training
from ftstab.tracking.metrics import varied_axes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_LOG = ("learning_rate",)


def points(study: Study, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the point of every setting of ``plan``: its parameters, by key of the setting.

    Every varied axis that is trained stands under its own name, `step` and `ema_decay` always,
    `interpolation` if varied.  Where a study averages otherwise than exponentially, `profile` names the kind;
    a `power` profile has `gamma` in the place of `ema_decay`.  In a search, an axis that the others make
    meaningless (a LoRA rank where all weights are trained) is left out; a grid's points are part of its name.
    """
    kinds = {s.profile.kind for s in plan.settings}
    trained = varied_axes(study)
    scaled = len(study.axes.interpolation) > 1
    found = {}
    searched = study.search.method != "grid"
    for trajectory in plan.trajectories:
        idle = idle_fields(trajectory.training.model_dump()) if searched else ()
        for setting in trajectory.settings:
            params: dict[str, Any] = {n: getattr(trajectory.training, n) for n in trained if n not in idle}
            params["step"] = setting.step
            params |= _averaging(trajectory, setting, named=bool(kinds - {"last", "exponential"}))
            if scaled:
                params["interpolation"] = setting.interpolation
            found[setting.key] = params
    return found


def _averaging(trajectory: Trajectory, setting: Setting, named: bool) -> dict[str, Any]:
    profile = setting.profile
    found: dict[str, Any] = {"profile": profile.kind} if named else {}
    if profile.kind == "power":
        return found | {"gamma": profile.value}
    if trajectory.feedback_decay is not None:
        return found | {"ema_decay": trajectory.feedback_decay}
    return found | {"ema_decay": 0.0 if profile.value is None else profile.value}


def distributions(study: Study, plan: Plan) -> dict[str, BaseDistribution]:
    """Return one distribution per parameter: numbers from lowest to highest, anything else as a choice.

    Numbers keep their order, and what is told is always a value of the grid, or one that the search has drawn.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = _told_values(study, plan)
    if study.search.method == "optuna":
        # What was asked before the axes were narrowed is told as well.
        values = {
            name: [*known, *(v for v in values.get(name, ()) if v not in known)]
            for name, known in _searched_values(study).items()
        }
    space: dict[str, BaseDistribution] = {}
    for name, known in values.items():
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in known):
            space[name] = CategoricalDistribution(known)
        elif all(isinstance(v, int) for v in known):
            space[name] = IntDistribution(min(known), max(known))
        else:
            log = name in _LOG or _log_scale(study, name)
            space[name] = FloatDistribution(float(min(known)), float(max(known)), log=log)
    return space


def _told_values(study: Study, plan: Plan) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for given in points(study, plan).values():
        for name, value in given.items():
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    return values


def _searched_values(study: Study) -> dict[str, list[Any]]:
    """The values of every parameter that a search may come to, ranges by their ends."""
    axes = study.axes
    values: dict[str, list[Any]] = {}
    for name in varied_axes(study):
        span = axes.range(name)
        values[name] = list(axes.of(name) or []) if span is None else [span.low, span.high]
        if span is not None and Training.model_fields[name].annotation is int:
            values[name] = [math.ceil(span.low), math.floor(span.high)]
    values["step"] = list(axes.steps)
    profiles = study_profiles(study)
    kinds = sorted({p.kind for p in profiles})
    if set(kinds) - {"last", "exponential"}:
        values["profile"] = kinds
    if gammas := [p.value for p in profiles if p.kind == "power"]:
        values["gamma"] = gammas
    values["ema_decay"] = [0.0 if p.value is None else p.value for p in profiles if p.kind != "power"] or [
        0.0
    ]
    if len(axes.interpolation) > 1:
        values["interpolation"] = list(axes.interpolation)
    return values


def _log_scale(study: Study, name: str) -> bool:
    span = study.axes.range(name) if name in type(study.axes).model_fields else None
    return span is not None and span.scale == "log"
