"""The settings of a study's arms, as curves and with what they cost.  Reads outcomes and signals; asks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ftstab.arms.effect import MIN_STRENGTHS, Curve, up_to_peak
from ftstab.errors import MisuseError, StudyError, nearest
from ftstab.frontier_classes import utility_by_row
from ftstab.outcome import Outcome
from ftstab.plan import strength_of
from ftstab.results import Results
from ftstab.spec import Study
from ftstab.spec.arms import Arm, kind_of
from ftstab.stats import Floats, left_out
from ftstab.stats.simultaneous import Hits

SAME_TOKENS = 0.05
"""Arms have equal training tokens where their longest trainings differ by at most this share: batches of another size
draw other rows of a data set, whose lengths differ."""
Signals = Mapping[str, Sequence[Mapping[str, Any]]]
"""Signals of the updates by trajectory."""


@dataclass(frozen=True)
class Compute:
    """What an arm costs, over all its seeds.

    Attributes:
        candidates: settings a seed, those without numbers too.
        trajectories: trainings.
        longest_steps: optimizer steps of its longest training.
        longest_tokens: tokens trained on there, a mean over the seeds.
        steps: optimizer steps of all trainings, each as far as the arm needs it.
        tokens: tokens of all trainings.
        training_seconds: of all trainings.
        answering_seconds: asking and judging the search half.
    """

    candidates: int
    trajectories: int
    longest_steps: int
    longest_tokens: float
    steps: int
    tokens: int
    training_seconds: float
    answering_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Candidates:
    """One arm's settings.

    Attributes:
        name: of the arm.
        arm: as the study file defines it.
        strengths: from the nearest to the start to the furthest, those up to the peak of utility and those beyond.
        kept: how many of them lie up to the peak.
        lost: strengths without numbers in some seed, which are left out of every seed.
        settings: by seed, outcomes on the search half in that order.
        compute: what they cost.
    """

    name: str
    arm: Arm
    strengths: tuple[float, ...]
    kept: int
    lost: tuple[float, ...]
    settings: Mapping[int, tuple[Outcome, ...]]
    compute: Compute

    @property
    def named(self) -> bool:
        """Whether it is one setting, named beforehand."""
        return self.arm.strength is None

    def curves(self, harm: Mapping[str, Outcome], start: Outcome) -> dict[int, Curve]:
        """Return its curve in each seed.

        Args:
            harm: by setting, the outcome that harm is read from: on the confirmation half, or on the search half.
            start: the start model on the search half.
        """
        found = {}
        without = _without([list(some[: self.kept]) for some in self.settings.values()])
        for (seed, outcomes), left in zip(self.settings.items(), without, strict=True):
            some = outcomes[: self.kept]
            marks = [harm[o.setting].marks["harmful"] for o in some]
            rates = [harm[o.setting].rates["harmful"].value for o in some]
            found[seed] = Curve(
                tuple(_gain(o, start) for o in some),
                left,
                tuple(0.5 if rate is None else rate for rate in rates),
                _table(marks, "N"),
                _table(marks, "NIU"),
            )
        return found


def candidates_of(results: Results, name: str, signals: Signals) -> Candidates:
    """Return the settings of the arm ``name``.

    Raises:
        MisuseError: no such arm.
        StudyError: one that can't be compared.
    """
    study = results.study
    if name not in study.arms:
        known = ", ".join(study.arms) or "none: define them under `arms`"
        raise MisuseError(f"--arms: no arm {name!r}{nearest(name, study.arms)}; the study file has {known}")
    arm = study.arms[name]
    by_seed, strengths = _by_seed(results, name, arm)
    if arm.strength is not None and len(strengths) < MIN_STRENGTHS:
        raise StudyError(
            f"arm {name}: {len(strengths)} strengths of {arm.strength}; at least {MIN_STRENGTHS} are compared. Give "
            "the axis more values, or name one setting beforehand (an arm without `strength`)"
        )
    settings = {seed: tuple(found[s] for s in strengths) for seed, found in by_seed.items()}
    start = results.need_start()
    rows = min(o.utility.n for some in settings.values() for o in some if o.utility is not None)
    if rows < 2:
        raise StudyError(f"arm {name}: its utility was measured on {rows} row; two or more are needed")
    kept = up_to_peak([[_gain(o, start) for o in some] for some in settings.values()])
    lost = sorted({s for found in by_seed.values() for s in found} - set(strengths))
    compute = _compute(name, by_seed, settings, signals)
    return Candidates(name, arm, strengths, kept, tuple(lost), settings, compute)


def check_budgets(first: Candidates, second: Candidates) -> None:
    """Refuse two curves of which one had more candidates, or more tokens to train on (measurement rule 20).

    An arm that is one setting named beforehand had no choice, so that it may be held against any curve.

    Raises:
        StudyError: they aren't equal, or both are one setting.
    """
    if first.named and second.named:
        raise StudyError(
            f"arms {first.name} and {second.name}: each is one setting, whose utilities differ; give one of them "
            "`strength`, so that it can be read at the other's utility"
        )
    if first.named or second.named:
        return
    a, b = first.compute, second.compute
    if a.candidates != b.candidates:
        raise StudyError(
            f"arms {first.name} and {second.name}: {a.candidates} and {b.candidates} candidates; more candidates are "
            "more chances, so give both equally many (`values`), or name one setting of the first beforehand (an arm "
            "without `strength`)"
        )
    if abs(a.longest_tokens - b.longest_tokens) > SAME_TOKENS * max(a.longest_tokens, b.longest_tokens):
        raise StudyError(
            f"arms {first.name} and {second.name}: their longest trainings read {a.longest_tokens:,.0f} and "
            f"{b.longest_tokens:,.0f} tokens; give both the same, or name one setting of the first beforehand (an arm "
            "without `strength`)"
        )


def planned_settings_of(study: Study, results: Results, names: Sequence[str]) -> list[str]:
    """Return the keys of all planned settings of the arms ``names``, in the order of the plan."""
    found = []
    for trajectory in results.plan.trajectories:
        training = trajectory.training.model_dump()
        for s in trajectory.settings:
            place = (study, training, s.step, s.profile, s.interpolation)
            if any(strength_of(study.arms[name], *place) is not None for name in names):
                found.append(s.key)
    return found


def _by_seed(
    results: Results, name: str, arm: Arm
) -> tuple[dict[int, dict[float, Outcome]], tuple[float, ...]]:
    """Outcomes by seed and strength, and the strengths that every seed has numbers of, in their order."""
    study = results.study
    planned: dict[int, set[float]] = {}
    for trajectory in results.plan.trajectories:
        training = trajectory.training.model_dump()
        for s in trajectory.settings:
            strength = strength_of(arm, study, training, s.step, s.profile, s.interpolation)
            if strength is not None:
                planned.setdefault(trajectory.seed, set()).add(strength)
    found: dict[int, dict[float, Outcome]] = {seed: {} for seed in planned}
    for o in results.outcomes:
        strength = strength_of(arm, study, o.training, o.step, o.profile, o.interpolation)
        if strength is None or o.seed is None:
            continue
        if strength in found[o.seed]:
            raise StudyError(
                f"arm {name}: two settings of seed {o.seed} at {strength:g}; narrow it by `training`"
            )
        found[o.seed][strength] = o
    missing = sum(len(planned[seed] - set(some)) for seed, some in found.items())
    if missing or not found:
        raise StudyError(
            f"arm {name}: {missing} of its settings aren't measured yet; `ftstab run` goes on with them"
        )
    rates = [o.rates["harmful"] for some in found.values() for o in some.values() if o.status == "scored"]
    if any(rate.stopped for rate in rates):
        raise StudyError(
            f"arm {name}: some of its settings stopped early, so that they answered other prompts than the rest; take "
            "`stopping` out of the study file and give the study a new name"
        )
    able = set.intersection(*({s for s, o in some.items() if _usable(o)} for some in found.values()))
    ordered = sorted(able, reverse=_falls(arm))
    if not ordered:
        raise StudyError(f"arm {name}: no strength has numbers in every seed (see `ftstab frontier`)")
    return found, tuple(ordered)


def _falls(arm: Arm) -> bool:
    """Whether a higher value lies nearer to the start model: that of a decay does."""
    return arm.strength == "ema_decay" or (arm.strength == "averaging" and kind_of(arm) != "power")


def _usable(outcome: Outcome) -> bool:
    return (
        outcome.status == "scored"
        and outcome.rates["harmful"].value is not None
        and outcome.utility is not None
        and outcome.utility.value is not None
    )


def _gain(outcome: Outcome, start: Outcome) -> float:
    """Utility over the start, better is higher."""
    ours, theirs = outcome.utility, start.utility
    assert ours is not None
    assert ours.value is not None
    origin = theirs.value if theirs is not None and theirs.value is not None else 0.0
    return (ours.value - origin) * (1 if ours.direction == "maximize" else -1)


def _without(outcomes: list[list[Outcome]]) -> Floats:
    """[seeds, settings, groups]: utility without one group of rows, for each of them."""
    measured = utility_by_row(outcomes)
    if isinstance(measured, Hits):
        return left_out(measured.least, np.ones(measured.least.shape[2]))
    return left_out(measured.values, measured.weights)


def _table(marks: Sequence[str], counted: str) -> Floats:
    return np.array([[float(mark in counted) for mark in some] for some in marks])


def _compute(
    name: str,
    every: Mapping[int, Mapping[float, Outcome]],
    settings: Mapping[int, tuple[Outcome, ...]],
    signals: Signals,
) -> Compute:
    """Compute of all settings by seed and strength, and the longest of those that have numbers."""
    deepest: dict[str, Outcome] = {}
    for o in (o for some in every.values() for o in some.values()):
        if o.trajectory not in deepest or o.step > deepest[o.trajectory].step:
            deepest[o.trajectory] = o
    tokens = {t: _tokens(name, o, signals.get(t, ())) for t, o in deepest.items()}
    longest = [max((tokens[o.trajectory] for o in some), default=0) for some in settings.values()]
    return Compute(
        candidates=max(len(some) for some in every.values()),
        trajectories=len(deepest),
        longest_steps=max(o.step for o in deepest.values()),
        longest_tokens=float(np.mean(longest)),
        steps=sum(o.step for o in deepest.values()),
        tokens=sum(tokens.values()),
        training_seconds=sum(o.seconds.get("training", 0.0) for o in deepest.values()),
        answering_seconds=sum(
            o.seconds.get("answering", 0.0) for some in every.values() for o in some.values()
        ),
    )


def _tokens(name: str, deepest: Outcome, updates: Sequence[Mapping[str, Any]]) -> int:
    """Tokens that a trajectory was trained on up to its furthest setting.

    Raises:
        StudyError: the signals of some of its updates aren't there; one that diverged has none after that.
    """
    known = {int(row["step"]): int(row["tokens"]) for row in updates if row["step"] <= deepest.step}
    missing = deepest.step - len(known)
    if missing and deepest.status == "scored":
        raise StudyError(
            f"arm {name}: the signals of {missing} of the {deepest.step} updates of trajectory {deepest.trajectory} "
            "aren't with it (a branch of warmup_stable_decay, or a store that lost them), so that its tokens can't be "
            "counted; arms need an equal number of them: give the study another schedule, or run it anew"
        )
    return sum(known.values())
