"""Points of a search: choices of the trained axes, and the jobs that they are.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftstab.plan.plan import Job, Plan, grid_jobs, idle_fields, jobs_of, joined, start_of, study_profiles
from ftstab.spec import Study

HORIZON_SCHEDULES = ("cosine", "linear")
"""Schedules that read the last step: a trajectory answers that step alone."""


@dataclass(frozen=True)
class Point:
    """One choice of the trained axes, and how far it is trained.

    Attributes:
        choices: values of the trained axes of the study, but those that the others make meaningless (a LoRA rank where
            all weights are trained); with `ema_mode: feedback`, `ema_decay` is one of them.
        steps: largest step of the grid that is read off it.
        source: where it came from: `preset <name>`, `startup` or `sampler`.
        stored: whether the store had everything when it was asked, so that it cost nothing.
    """

    choices: Mapping[str, Any]
    steps: int
    source: str
    stored: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, which `Point(**data)` reads."""
        return {
            "choices": dict(self.choices),
            "steps": self.steps,
            "source": self.source,
            "stored": self.stored,
        }


def point_choices(study: Study, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of a point: what was ``drawn``, and the trained axes of one value, so that it means the same
    once they have more; what the others make meaningless is left out."""
    axes = study.axes
    names = [n for n in axes.trained() if not axes.varied(n)]
    choices = {name: (axes.of(name) or [None])[0] for name in names} | dict(drawn)
    if study.training.ema_mode == "feedback" and len(axes.ema_decay or ()) == 1:
        choices.setdefault("ema_decay", (axes.ema_decay or [0.0])[0])
    idle = idle_fields(study.training.model_dump() | choices)
    return {name: value for name, value in choices.items() if name not in idle}


def carried(points: Iterable[Point], before: Study, now: Study) -> list[Point]:
    """Return ``points`` that were asked while ``before`` was the study, as points of ``now`` that mean the same: what
    was fixed then may be an axis since."""
    names = [n for n in now.axes.trained() if not before.axes.varied(n)]
    fixed = {n: (before.axes.of(n) or [getattr(before.training, n)])[0] for n in names}
    found = []
    for point in points:
        choices = fixed | dict(point.choices)
        idle = idle_fields(now.training.model_dump() | choices)
        found.append(replace(point, choices={n: v for n, v in choices.items() if n not in idle}))
    return found


def reads_horizon(study: Study, choices: Mapping[str, Any]) -> bool:
    """Return whether a trajectory of ``choices`` answers its last step alone."""
    return choices.get("schedule", study.training.schedule) in HORIZON_SCHEDULES


def study_plan(
    study: Study, base: str, data: str, done: Collection[str] = (), points: Iterable[Point] = ()
) -> Plan:
    """Return the plan of a study: its grid, or what its search has asked so far.

    Args:
        study: the study.
        base: key of the start model.
        data: key of the training rows.
        done: keys of settings that the store already has.
        points: what was asked so far (`search.method: optuna`).
    """
    start, start_training = start_of(study, base)
    jobs = study_jobs(study, study.seeds.search, base, data, points)
    return Plan(base, data, start, start_training, tuple(jobs.values()), frozenset(done))


def study_jobs(
    study: Study, seeds: Iterable[int], base: str, data: str, points: Iterable[Point] = ()
) -> dict[str, Job]:
    """Return every job of the grid, or of the ``points`` that a search has asked, for each of ``seeds``, by key."""
    if study.search.method == "grid":
        return grid_jobs(study, seeds, base, data)
    return point_jobs(study, points, tuple(seeds), base, data)


def planned_settings(study: Study) -> int | None:
    """Return how many settings ``study`` will have at most; None where its search has no budget in trajectories."""
    # Keys don't matter to how many there are.
    if study.search.method == "grid":
        return len(study_plan(study, "", "").settings)
    budget = study.search.budget
    if budget is None or budget.trajectories is None:
        return None
    schedules = study.axes.of("schedule") or [study.training.schedule]
    steps = 1 if set(schedules) <= set(HORIZON_SCHEDULES) else len(study.axes.steps)
    # Where training continues from an average, a trajectory has that one alone.
    modes = study.axes.of("ema_mode") or [study.training.ema_mode]
    profiles = 1 if set(modes) == {"feedback"} else len(study_profiles(study))
    return budget.trajectories * steps * profiles * len(study.axes.interpolation)


def point_jobs(
    study: Study, points: Iterable[Point], seeds: Sequence[int], base: str, data: str
) -> dict[str, Job]:
    """Return the jobs of ``points`` for each of ``seeds``, by key; points of one trajectory are one job.

    Args:
        study: the study, for its free axes and everything that isn't varied.
        points: what was asked so far.
        seeds: seeds of training.
        base: key of the start model.
        data: key of the training rows.
    """
    jobs: dict[str, Job] = {}
    for point in points:
        choices = point_choices(study, point.choices)
        axes: dict[str, Any] = {"steps": read_steps(study, choices, point.steps)}
        if "ema_decay" in choices:
            axes["ema_decay"] = [choices.pop("ema_decay")]
        narrowed = study.model_copy(update={"axes": study.axes.model_copy(update=axes)})
        training = study.training.model_copy(update=choices)
        for seed in seeds:
            for job in jobs_of(narrowed, training, seed, base, data):
                jobs[job.key] = joined(jobs[job.key], job) if job.key in jobs else job
    return jobs


def read_steps(study: Study, choices: Mapping[str, Any], steps: int) -> list[int]:
    """Return the steps at which settings are read off a trajectory of ``choices`` that is trained for ``steps``."""
    if reads_horizon(study, choices):
        return [steps]
    return [s for s in study.axes.steps if s <= steps]
