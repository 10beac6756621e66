"""What a driver tells MLflow and Optuna, which may be lost while the study goes on: the store has everything.

Writes to the two trackers and nowhere else.  Fresh seeds are told to MLflow alone: seeds are never a search dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from ftstab.errors import TrackingError
from ftstab.evaluation.rates import gain
from ftstab.frontier import frontier_rows
from ftstab.outcome import Outcome
from ftstab.plan import Job, Plan
from ftstab.results import Results
from ftstab.running.clock import Clock
from ftstab.tracking.mlflow import MlflowTracker
from ftstab.tracking.optuna import OptunaTracker
from ftstab.tracking.sync import end_trajectory, fill_mlflow, fill_optuna, read_outcomes


class Trackers:
    """The trackers of one study.

    Attributes:
        lost: why they no longer hold everything; None while they do.
    """

    def __init__(self, results: Results, state: Path, clock: Clock, note: Callable[[str], None]) -> None:
        """``state`` holds their databases where no servers are named; ``note`` tells the person that they are lost."""
        self.lost: str | None = None
        self._study, self._records = results.study, results.records
        self._clock, self._note = clock, note
        store, evaluation = results.records.store_id(), results.identities.evaluation
        self._mlflow = MlflowTracker(results.study, state, store)
        self._optuna = OptunaTracker(results.study, results.plan, state, evaluation, store)

    def close(self) -> None:
        """Let go of databases and servers."""
        self._mlflow.close()
        self._optuna.close()

    def begin(self, results: Results) -> None:
        """Tell everything that the store has.

        Raises:
            TrackingError: one of the two can't be used, or shows another store's study.
        """
        plan, fresh_plan = results.plan, results.fresh_plan
        with self._clock.named("tracking start-up"):
            # Before anything trains: a wrong address is better known now than in the morning.
            self._mlflow.check()
            self._optuna.check()
            known = read_outcomes(self._study, plan, self._records, results.identities)
            fill_optuna(self._optuna, plan, known)
            # The settings after the fresh seeds, so that the frontier is theirs.
            extra = read_outcomes(self._study, fresh_plan, self._records, results.identities)
            fill_mlflow(self._mlflow, self._study, fresh_plan, self._records, extra)
            fill_mlflow(self._mlflow, self._study, plan, self._records, known)

    def extend(self, plan: Plan) -> None:
        """A search has asked for more: ``plan`` holds everything that it asked so far."""
        self._optuna.extend(plan)

    def ask(self, job: Job) -> None:
        """A job of search seeds is given out."""
        with self._clock.named("optuna"):
            self._track(lambda: self._optuna.ask(job))

    def start(self, outcome: Outcome) -> None:
        """The start model was measured."""

        def tell() -> None:
            self._mlflow.log_start(outcome)
            self._optuna.set_start(outcome)

        # The first call loads MLflow and makes its database.
        with self._clock.named("first telling"):
            self._track(tell)

    def outcome(
        self, job: Job, outcome: Outcome, start: Outcome, settings: Collection[Outcome], fresh: bool
    ) -> None:
        """A setting was measured.

        Args:
            job: where it comes from.
            outcome: what was measured.
            start: the start model's outcome.
            settings: every outcome of search seeds so far.
            fresh: whether it is one of a fresh seed.
        """

        def tell() -> None:
            trajectory = next(t for t in job.trajectories if t.key == outcome.trajectory)
            attempt = self._records.attempts(trajectory.key).get(outcome.attempt, {})
            signals = self._records.signals(trajectory.key, outcome.attempt)
            on_frontier = None
            if len(settings) > self._study.tracking.max_child_runs:
                rows = frontier_rows(list(settings), start, self._study)
                on_frontier = any(r.key == outcome.key and r.on_frontier for r in rows)
            won = gain(outcome, start) if outcome.status == "scored" else None
            with self._clock.named("mlflow"):
                self._mlflow.log_trajectory(trajectory, outcome.attempt, attempt)
                self._mlflow.log_signals(trajectory.key, signals, outcome.attempt)
                self._mlflow.log_outcome(outcome, on_frontier, won)
            if not fresh:
                with self._clock.named("optuna"):
                    self._optuna.tell_outcome(job, outcome)

        self._track(tell)

    def finish(self, job: Job, known: Collection[Outcome], failure: str | None, fresh: bool) -> None:
        """A job came to its end; of ``known`` those of its trajectories count, ``failure`` says why it lacks some."""

        def tell() -> None:
            if not fresh:
                with self._clock.named("optuna"):
                    self._optuna.finish(job, *([failure] if failure else []))
            for trajectory in job.trajectories:
                outcomes = [o for o in known if o.trajectory == trajectory.key]
                with self._clock.named("mlflow"):
                    end_trajectory(self._mlflow, trajectory, self._records, outcomes, failure)

        self._track(tell)

    def end(self, settings: Collection[Outcome], start: Outcome | None) -> None:
        """Nothing runs any more: mark the frontier."""

        def tell() -> None:
            if start is None:
                return
            rows = frontier_rows(list(settings), start, self._study)
            with self._clock.named("mlflow"):
                self._mlflow.mark_frontier({r.setting for r in rows if r.on_frontier})

        self._track(tell)

    def _track(self, tell: Callable[[], object]) -> None:
        """Tell the trackers; once they are lost the study goes on, for the store has everything."""
        if self.lost is not None:
            return
        try:
            tell()
        except TrackingError as error:
            self.lost = str(error)
            self._note(f"tracking lost, the study goes on: {error}")
