"""Make MLflow and Optuna again from the store: both are views, and whatever they lack is told.

Used by `ftstab sync` and at the start of a run.  The caller holds the study's lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ftstab.hopeless import founded
from ftstab.outcome import Outcome
from ftstab.plan import Plan, Trajectory
from ftstab.spec import Study
from ftstab.tracking.mlflow import MlflowTracker
from ftstab.tracking.optuna import OptunaTracker

if TYPE_CHECKING:
    from ftstab.frontier import FrontierRow


class Recorded(Protocol):
    """What is read of the store (`ftstab.store.Records`)."""

    def store_id(self) -> str:
        """Id of the store."""

    def outcomes(self, trajectory: str) -> list[Outcome]:
        """All outcomes of a trajectory, of whatever study and evaluation."""

    def attempts(self, trajectory: str) -> dict[str, dict[str, Any]]:
        """What is recorded of every attempt, by its name."""

    def signals(self, trajectory: str, attempt: str) -> list[dict[str, Any]]:
        """Signals of an attempt in order of step."""

    def failure(self, name: str, trajectory: str) -> str | None:
        """Why the last run of the study ``name`` couldn't finish a trajectory, if it couldn't."""


class Asked(Protocol):
    """The evaluation whose outcomes count (`ftstab.evaluation.questions.Questions`)."""

    @property
    def key(self) -> str:
        """Identity of the evaluation."""

    def outcome_key(self, setting: str) -> str:
        """Key of the outcome of ``setting``."""


@dataclass(frozen=True)
class SyncReport:
    """What `sync` found and added.

    Attributes:
        trajectories: trajectories of the study that the store knows.
        outcomes: outcomes of its settings; the start is not one.
        runs_added: MLflow runs made.
        trials_added: Optuna trials told.
    """

    trajectories: int
    outcomes: int
    runs_added: int
    trials_added: int

    def as_dict(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


def sync(
    study: Study,
    plan: Plan,
    records: Recorded,
    state_dir: Path,
    asked: Asked,
    fresh_plan: Plan | None = None,
) -> SyncReport:
    """Tell MLflow and Optuna everything of ``study`` that the store has and they lack.

    Optuna comes first: a search needs it, and a dead MLflow server keeps nothing from it.

    Args:
        study: the study.
        plan: its plan; what the store has beyond it (of other studies) is passed over.
        records: the store.
        state_dir: local folder for the databases, where no servers are named.
        asked: the evaluation; outcomes of others are passed over.
        fresh_plan: plan of the fresh seeds, which MLflow shows and no search is told about.

    Raises:
        TrackingError: one of the two can't be reached, or shows another store's study; what was told stays.
        StoreError: the store can't be read.
    """
    found = read_outcomes(study, plan, records, asked)
    store = records.store_id()
    optuna = OptunaTracker(study, plan, state_dir, asked.key, store)
    mlflow = MlflowTracker(study, state_dir, store)
    try:
        fill_optuna(optuna, plan, found)
        if fresh_plan is not None:
            # Before the settings, so that the frontier is theirs.
            extra = read_outcomes(study, fresh_plan, records, asked)
            fill_mlflow(mlflow, study, fresh_plan, records, extra)
        known = fill_mlflow(mlflow, study, plan, records, found)
        return SyncReport(
            trajectories=known,
            outcomes=sum(not o.start for o in found.values()),
            runs_added=mlflow.runs_added,
            trials_added=optuna.trials_added,
        )
    finally:
        optuna.close()
        mlflow.close()


def read_outcomes(study: Study, plan: Plan, records: Recorded, asked: Asked) -> dict[str, Outcome]:
    """Return the outcomes of ``plan``, which is of ``study``, under the evaluation ``asked``, by setting; the start is
    among them."""
    wanted = {asked.outcome_key(s.key) for s in (plan.start, *plan.settings)}
    trajectories = dict.fromkeys([plan.start.trajectory, *(t.key for t in plan.trajectories)])
    found = {o.setting: o for key in trajectories for o in records.outcomes(key) if o.key in wanted}
    return founded(plan, found, study)


def fill_optuna(tracker: OptunaTracker, plan: Plan, found: Mapping[str, Outcome]) -> None:
    """Tell ``tracker`` the outcomes ``found`` (by setting) that it lacks.

    Limits are read against the start model: while a study has them and no start, nothing can be told.
    """
    if plan.start.key in found:
        tracker.set_start(found[plan.start.key])
    elif tracker.needs_start:
        return
    for job in plan.jobs:
        for setting in job.settings:
            if setting.key in found:
                tracker.tell_outcome(job, found[setting.key])


def fill_mlflow(
    tracker: MlflowTracker, study: Study, plan: Plan, records: Recorded, found: Mapping[str, Outcome]
) -> int:
    """Tell ``tracker`` what it lacks of trajectories, signals and outcomes; return the trajectories known."""
    start = found.get(plan.start.key)
    rows = _frontier(study, found, start)
    if start is not None:
        tracker.log_start(start)
    known = 0
    for trajectory in plan.trajectories:
        outcomes = [found[s.key] for s in trajectory.settings if s.key in found]
        last = _fill_attempts(tracker, trajectory, records, outcomes)
        if last is None:
            continue
        known += 1
        for outcome in outcomes:
            row = rows.get(outcome.setting)
            tracker.log_outcome(outcome, row.on_frontier if row else None, row.gain if row else None)
        failure = records.failure(study.study, trajectory.key)
        tracker.end_trajectory(trajectory.key, *_end(trajectory, outcomes, last, failure))
    if rows:
        tracker.mark_frontier({setting for setting, row in rows.items() if row.on_frontier})
    return known


def end_trajectory(
    tracker: MlflowTracker,
    trajectory: Trajectory,
    records: Recorded,
    outcomes: Sequence[Outcome],
    failure: str | None = None,
) -> None:
    """Tell ``tracker`` how a trajectory stands that isn't trained any more; ``outcomes`` are told already.

    ``failure`` says why it isn't finished, if it isn't.
    """
    last = _fill_attempts(tracker, trajectory, records, outcomes)
    if last is not None:
        tracker.end_trajectory(trajectory.key, *_end(trajectory, outcomes, last, failure))


def _fill_attempts(
    tracker: MlflowTracker, trajectory: Trajectory, records: Recorded, outcomes: Sequence[Outcome]
) -> int | None:
    """Tell ``tracker`` of every attempt and its signals; return the last step trained, None if there is no attempt."""
    attempts = records.attempts(trajectory.key)
    for outcome in outcomes:
        attempts.setdefault(outcome.attempt, {})
    if not attempts:
        return None
    last = -1
    named = {outcome.attempt for outcome in outcomes}
    # The attempt that is told first has the curves without a prefix: one that the settings came from, or the oldest
    # (names begin with the time), as when they were told one after the other.
    for attempt, about in sorted(attempts.items(), key=lambda item: (item[0] not in named, item[0])):
        signals = records.signals(trajectory.key, attempt)
        tracker.log_trajectory(trajectory, attempt, about, running=False)
        tracker.log_signals(trajectory.key, signals, attempt)
        last = max([last, *(int(row["step"]) for row in signals)])
    return last


def _frontier(study: Study, outcomes: Mapping[str, Outcome], start: Outcome | None) -> dict[str, FrontierRow]:
    """Rows by setting, once there is a start that gains are read against."""
    from ftstab.frontier import frontier_rows

    if start is None or start.status != "scored" or "harmful" not in start.rates or start.utility is None:
        return {}
    return {row.setting: row for row in frontier_rows(list(outcomes.values()), start, study)}


def _end(
    trajectory: Trajectory, outcomes: Sequence[Outcome], last_signal: int, failure: str | None
) -> tuple[Literal["FINISHED", "FAILED", "KILLED"], str | None]:
    """How the run of a trajectory stands by what the store knows; ``failure``: why it isn't finished, if it isn't."""
    diverged = next((o for o in outcomes if o.status == "diverged"), None)
    if diverged is not None:
        return "FAILED", diverged.reason
    # A trunk has no settings: it is done when it was trained to its last step.
    done = len(outcomes) == len(trajectory.settings) and (bool(outcomes) or last_signal >= trajectory.last)
    return ("FINISHED", None) if done else ("KILLED", failure or "not finished yet")
