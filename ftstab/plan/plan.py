"""Settings grouped into trajectories, minus what the store already has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ftstab.identity import digest
from ftstab.outcome import Profile, StoredShadows
from ftstab.plan.arms import in_an_arm
from ftstab.spec import Study, Training
from ftstab.spec.training import FREE_AXES, READ_WITH, without_added

TRUNK_SCHEDULE = "constant"
"""What the trunk of warm-up-stable-decay is trained like: a trajectory of that schedule may be such a trunk."""


@dataclass(frozen=True)
class Setting:
    """One point: trajectory × step × averaging profile × interpolation."""

    key: str
    trajectory: str
    step: int
    profile: Profile
    interpolation: float


@dataclass(frozen=True)
class Trajectory:
    """One training run: one choice of the trained axes and a seed.

    Attributes:
        key: identity; depends on neither the steps that are read nor the averages that are tracked.
        training: how it is trained.
        seed: seed of row order and dropout.
        feedback_decay: decay that training continues from (`ema_mode: feedback`), else None.
        horizon: last step, where the schedule reads it; else None.
        first: step that it starts from: 0, or the branching step of the trunk.
        last: last step that is trained.
        settings: what is read off it, in order of step.
    """

    key: str
    training: Training
    seed: int
    feedback_decay: float | None
    horizon: int | None
    first: int
    last: int
    settings: tuple[Setting, ...]

    @property
    def train_steps(self) -> int:
        """Optimizer steps that it costs."""
        return self.last - self.first

    @property
    def stops(self) -> tuple[int, ...]:
        """Steps at which settings are read, ascending."""
        return tuple(sorted({s.step for s in self.settings}))


@dataclass(frozen=True)
class Job:
    """What one worker does: a trajectory, and the branches that leave it (warm-up-stable-decay only).

    Attributes:
        trunk: the trajectory.
        branches: what leaves it.
        confirms: key of an outcome of the search half: the job trains nothing and asks the one setting of its trunk
            the confirmation half, with the weights that were kept of it; None: the job trains.
        restores: the job trains settings again that are measured already, and keeps their weights.
        unfinished: of a job that restores: other settings of its trajectories are still to be trained, or a search may
            ask for more, so the resume states that are there are neither replaced nor deleted.
        tops_up: the set of which the job answers the prompts that an early stop left out: with the kept weights of the
            settings of its trunk, or, if it restores, with those that it trains again, which are not kept then.
    """

    trunk: Trajectory
    branches: tuple[Trajectory, ...] = ()
    confirms: str | None = None
    restores: bool = False
    unfinished: bool = False
    tops_up: Literal["harmful", "over_refusal"] | None = None

    @property
    def key(self) -> str:
        """The key of its trunk."""
        return self.trunk.key

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """Trunk and branches."""
        return (self.trunk, *self.branches)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting of the job."""
        return tuple(s for t in self.trajectories for s in t.settings)


@dataclass(frozen=True)
class Plan:
    """All jobs of a study.

    Attributes:
        base: key of the start model (base recipe with its alignment).
        data: key of the training rows.
        start: the start model as a setting, answered once.
        start_training: the compute type that the start is answered in, and how training rows are read; nothing is
            trained.
        jobs: everything the study asks for, finished or not.
        done: keys of settings that the store already has.
    """

    base: str
    data: str
    start: Setting
    start_training: Training
    jobs: tuple[Job, ...]
    done: frozenset[str] = field(default=frozenset())

    @property
    def start_job(self) -> Job:
        """The start model as a job of no updates."""
        return Job(Trajectory(self.start.trajectory, self.start_training, 0, None, None, 0, 0, (self.start,)))

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """Every trajectory, trunks and branches alike."""
        return tuple(t for job in self.jobs for t in job.trajectories)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting of the study; the start is not one."""
        return tuple(s for job in self.jobs for s in job.settings)

    @property
    def open_jobs(self) -> tuple[Job, ...]:
        """Jobs with a setting that the store hasn't."""
        return tuple(j for j in self.jobs if any(s.key not in self.done for s in j.settings))

    @property
    def train_steps(self) -> int:
        """Optimizer steps of all trajectories."""
        return sum(t.train_steps for t in self.trajectories)

    @property
    def train_steps_unshared(self) -> int:
        """Optimizer steps of one run per setting that must be trained (interpolation 0 needs none)."""
        return sum(s.step for s in self.settings if s.interpolation > 0)


def start_of(study: Study, base: str) -> tuple[Setting, Training]:
    """The start model as a setting, and what it is answered with."""
    # Gains are paired with the start, so it answers in the compute type of the settings (of the first, if several).
    # Nothing is trained, but the rows are read and recorded as a training reads them.
    start_training = Training(
        precision=_precisions(study)[0],
        max_length=max(study.axes.of("max_length") or [study.training.max_length]),
        mix_share=study.training.mix_share,
    )
    start_key = digest({"start": base, "precision": start_training.precision})
    start = Setting(
        key=digest({"trajectory": start_key, "step": 0}),
        trajectory=start_key,
        step=0,
        profile=Profile(kind="last"),
        interpolation=1.0,
    )
    return start, start_training


def start_precision(study: Study) -> str | None:
    """Return the compute type that the start model answers in, where what is stored of a setting depends on it and the
    setting's own key doesn't hold it; else None.

    Comparers, early stops and `search.hopeless` read the start's answers, and with several compute types the start has
    that of the first alone.
    """
    hopeless = study.search.hopeless
    decided = (
        study.evaluation.utility.comparer is not None
        or study.stopping is not None
        or (hopeless is not None and hopeless.reads_start)
    )
    precisions = _precisions(study)
    return precisions[0] if decided and len(precisions) > 1 else None


def _precisions(study: Study) -> list[Any]:
    return study.axes.of("precision") or [study.training.precision]


def grid_jobs(study: Study, seeds: Iterable[int], base: str, data: str) -> dict[str, Job]:
    """Every job of the grid for each of ``seeds``, by its key."""
    jobs: dict[str, Job] = {}
    for training in _trainings(study):
        for seed in seeds:
            for whole in jobs_of(study, training, seed, base, data):
                job = _of_arms(study, whole) if study.settings == "arms" else whole
                if not job.settings:
                    continue
                # A warm-up-stable-decay trunk is the trajectory of a constant schedule: one job serves both.
                jobs[job.key] = joined(jobs[job.key], job) if job.key in jobs else job
    return jobs


def _of_arms(study: Study, job: Job) -> Job:
    """What the arms of ``study`` need of ``job``."""

    def wanted(trajectory: Trajectory, setting: Setting) -> bool:
        training = trajectory.training.model_dump()
        return in_an_arm(study, training, setting.step, setting.profile, setting.interpolation)

    return part_of(job, wanted)


def part_of(job: Job, keep: Callable[[Trajectory, Setting], bool]) -> Job:
    """Return ``job`` with the settings alone that ``keep`` says, trained no further than they need."""

    def cut(trajectory: Trajectory) -> Trajectory:
        return replace(trajectory, settings=tuple(s for s in trajectory.settings if keep(trajectory, s)))

    branches = tuple(b for b in map(cut, job.branches) if b.settings)
    trunk = cut(job.trunk)
    last = max([*trunk.stops, *(b.first for b in branches)], default=0)
    return Job(replace(trunk, last=last), branches)


def joined(first: Job, second: Job) -> Job:
    """One job for two whose trunks are the same trajectory."""
    trunk = replace(
        first.trunk,
        last=max(first.trunk.last, second.trunk.last),
        settings=tuple(dict.fromkeys((*first.trunk.settings, *second.trunk.settings))),
    )
    branches = {b.key: b for b in (*first.branches, *second.branches)}
    return Job(trunk, tuple(branches.values()))


def _trainings(study: Study) -> list[Training]:
    """Every combination of the trained axes."""
    names = [
        n for n in type(study.axes).model_fields if n not in FREE_AXES and getattr(study.axes, n) is not None
    ]
    grids = [getattr(study.axes, n) for n in names]
    return [
        study.training.model_copy(update=dict(zip(names, values, strict=True)))
        for values in itertools.product(*grids)
    ]


def jobs_of(study: Study, training: Training, seed: int, base: str, data: str) -> list[Job]:
    """The jobs of one choice of the trained axes and one seed."""
    identity = {"base": base, "data": data, "seed": seed, "template": _template(study)}
    steps = sorted(study.axes.steps)
    jobs = []
    for feedback, profiles in _averages(study, training):
        if feedback is None:
            # A decay of 0 feeds nothing back: that is the plain trajectory, whatever the mode.
            training = training.model_copy(update={"ema_mode": "shadow"})
        if training.schedule == "constant":
            jobs.append(Job(_trajectory(study, training, identity, feedback, None, 0, steps, profiles)))
        elif training.schedule == "warmup_stable_decay":
            # The trunk is trained exactly like a constant schedule, so it has that trajectory's key.
            trunk_training = training.model_copy(update={"schedule": TRUNK_SCHEDULE})
            points = {n: n - max(1, round(training.decay_fraction * n)) for n in steps}
            trunk = _trajectory(
                study, trunk_training, identity, feedback, None, 0, [], (), last=max(points.values())
            )
            jobs.append(
                Job(
                    trunk,
                    tuple(
                        _trajectory(study, training, identity, feedback, n, points[n], [n], profiles)
                        for n in steps
                    ),
                )
            )
        else:
            jobs.extend(
                Job(_trajectory(study, training, identity, feedback, n, 0, [n], profiles)) for n in steps
            )
    return jobs


def _template(study: Study) -> dict[str, Any]:
    return {"system": study.template.training_system_prompt, "chat": study.template.chat_template}


def _averages(study: Study, training: Training) -> list[tuple[float | None, tuple[Profile, ...]]]:
    """Pairs of (decay that is fed back, profiles that are read off)."""
    if training.ema_mode == "feedback":
        # The plain trajectory last, because its mode is another.
        decays = study.axes.ema_decay or []
        return [(d or None, (Profile(kind="last"),)) for d in sorted(decays, reverse=True)]
    return [(None, study_profiles(study))]


def study_profiles(study: Study) -> tuple[Profile, ...]:
    """The averages that are read off a trajectory whose averages are shadows."""
    decays = study.axes.ema_decay or ([] if study.axes.averaging else [0.0])
    last = Profile(kind="last")
    profiles = [last if d == 0 else _exponential(study, d) for d in decays]
    for spec in study.axes.averaging or []:
        profiles.append(Profile(kind=spec.kind, value=spec.gamma if spec.kind == "power" else spec.decay))
    return tuple(dict.fromkeys(profiles))


def _exponential(study: Study, decay: float) -> Profile:
    """The average of ``decay``: tracked, or rebuilt from the shadows that ``study`` stores."""
    posthoc = study.posthoc
    if posthoc is None or decay in posthoc.decays:
        return Profile(kind="exponential", value=decay)
    stored = StoredShadows(decays=tuple(sorted(posthoc.decays)), every=posthoc.every)
    return Profile(kind="posthoc_exponential", value=decay, stored=stored)


def _trajectory(
    study: Study,
    training: Training,
    identity: Mapping[str, Any],
    feedback: float | None,
    horizon: int | None,
    first: int,
    stops: list[int],
    profiles: tuple[Profile, ...],
    last: int | None = None,
) -> Trajectory:
    choices = _choices(training.model_dump())
    key = digest({**identity, "training": choices, "feedback_decay": feedback, "horizon": horizon})
    settings = tuple(
        Setting(
            key=digest(
                {
                    "trajectory": key,
                    "step": step,
                    "profile": profile.model_dump(),
                    "interpolation": interpolation,
                }
            ),
            trajectory=key,
            step=step,
            profile=profile,
            interpolation=interpolation,
        )
        for step in stops
        for profile in profiles
        for interpolation in study.axes.interpolation
    )
    return Trajectory(
        key=key,
        training=training,
        seed=identity["seed"],
        feedback_decay=feedback,
        horizon=horizon,
        first=first,
        last=max(stops) if last is None else last,
        settings=settings,
    )


def _choices(training: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``training`` that its weights depend on."""
    idle = idle_fields(training)
    return {k: v for k, v in without_added(training).items() if k not in idle}


def trunk_key(
    trajectory: str, training: Mapping[str, Any], seed: int | None, feedback_decay: float | None
) -> str:
    """Return what tells the trainings of one study apart: the same for a trunk and everything that branches from it.

    Branches share most of their updates, so whoever counts independent runs counts these.  Made from what an outcome
    records, because no outcome names its trunk.

    Args:
        trajectory: key of a trajectory, which tells it where its schedule has no trunk.
        training: its fields of `Training`.
        seed: its seed.
        feedback_decay: decay that its training continues from, if it does.
    """
    if training.get("schedule") not in (TRUNK_SCHEDULE, "warmup_stable_decay"):
        return trajectory
    choices = _choices({**training, "schedule": TRUNK_SCHEDULE})
    return digest({"training": choices, "seed": seed, "feedback_decay": feedback_decay})


def idle_fields(training: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields of ``training`` that its weights don't depend on, the others being what they are:
    a LoRA rank where all weights are trained, for one."""
    found = {name for name, (other, value) in READ_WITH.items() if training.get(other) != value}
    if training.get("beta2_half_life") is not None:
        found.add("adam_beta2")
    return found
