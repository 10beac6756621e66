"""How far a trajectory is, and the resume states that bring it there again.

Reads and writes attempts, signals and resume states of the store; what is asked of settings is none of its business.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstab.outcome import Outcome
from ftstab.plan import Job, Setting, Trajectory
from ftstab.running.clock import Clock
from ftstab.running.launcher import Context
from ftstab.store import Records, State
from ftstab.training.run import BANK, Run

SAVE_AFTER_SECONDS = 20.0
"""Training time worth a resume state, where the study file names no number of steps ..."""
SAVE_SHARE = 20.0
"""... and how many times the cost of the last save must have been trained since: states take at most a twentieth of the
training."""


@dataclass
class Progress:
    """How far one trajectory is.

    Attributes:
        attempt: the physical training it belongs to.
        open: settings that the store hasn't, by step.
        rows: signals that aren't stored yet.
        training_seconds: spent on updates in this attempt.
        since_save: of these, since the last resume state.
        latest: signals of the last update.
        outcomes: those of its settings that the store has.
    """

    trajectory: Trajectory
    attempt: str
    open: dict[int, list[Setting]]
    rows: list[dict[str, float]] = field(default_factory=list)
    training_seconds: float = 0.0
    since_save: float = 0.0
    latest: dict[str, float] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    def updated(self, signals: dict[str, float]) -> None:
        """One update was trained."""
        self.rows.append(signals)
        self.training_seconds += signals.get("seconds", 0.0)
        self.since_save += signals.get("seconds", 0.0)
        self.latest = _kept_signals(signals)

    @property
    def still_open(self) -> list[Setting]:
        """Settings that the store hasn't, in order of step."""
        return [setting for group in self.open.values() for setting in group]


class States:
    """Attempts and resume states of the trajectories of one job."""

    def __init__(
        self,
        context: Context,
        job: Job,
        runner: Run,
        records: Records,
        clock: Clock,
        environment: Mapping[str, Any],
    ) -> None:
        """``environment`` is what `ftstab.running.environment` says: a state of another one isn't continued from."""
        self._context, self._runner, self._records, self._clock = context, runner, records, clock
        self._environment = environment
        self._profiles = [p.model_dump() for p in dict.fromkeys(s.profile for s in job.settings)]
        self._every = context.study.resources.save_every
        self._cost = 0.0

    def begin(self, progress: Progress) -> None:
        """Begin a new attempt."""
        trajectory = progress.trajectory
        progress.attempt = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        self._records.put_attempt(
            trajectory.key,
            progress.attempt,
            {
                "environment": self._environment,
                "profiles": self._profiles,
                "training": trajectory.training.model_dump(),
                "seed": trajectory.seed,
                "feedback_decay": trajectory.feedback_decay,
                "horizon": trajectory.horizon,
                "first": trajectory.first,
                "command": self._context.command,
                "started": time.time(),
            },
        )

    def useful(self, progress: Progress, first_branch: int | None) -> State | None:
        """The last resume state if it helps: of this environment, before everything still open, and with every
        average that is tracked now.

        ``first_branch`` is the step of the first branch still open, if there is one.
        """
        trajectory = progress.trajectory.key
        state = self._records.latest_state(trajectory)
        needed = min([*progress.open, *([] if first_branch is None else [first_branch])], default=0)
        if state is None or state.step > needed:
            return None
        about = self._records.attempts(trajectory).get(state.attempt, {})
        if about.get("environment") != self._environment:
            return None
        # Asked of the state and not of its attempt, which may have been gone on with by a study of fewer averages.
        return state if self._runner.can_load(state.piece.path(BANK), state.step) else None

    def resume(self, progress: Progress, state: State) -> None:
        """Go on with the attempt of ``state`` from there."""
        self.load(state)
        # A branch's own rows don't hold the spikes of its trunk, which the state counts as well.
        spikes = self._runner.spikes
        self.look_back(progress, state.attempt, state.step)
        self._runner.spikes = spikes

    def look_back(self, progress: Progress, attempt: str, step: int) -> None:
        """Have ``progress``, and the count of spikes, say what they said when ``attempt`` was at ``step``."""
        progress.attempt = attempt
        before = self._records.signals(progress.trajectory.key, attempt)
        before = [row for row in before if row["step"] <= step]
        progress.training_seconds = sum(row.get("seconds", 0.0) for row in before)
        progress.latest = _kept_signals(before[-1]) if before else {}
        self._runner.spikes = int(sum(row["spike"] for row in before))

    def load(self, state: State) -> None:
        """Bring the training to where ``state`` was saved."""
        with tempfile.TemporaryDirectory(prefix="ftstab-state-") as copy:
            folder = Path(copy)
            for name in state.piece.names:
                (folder / name).symlink_to(state.piece.path(name))
            self._runner.load(folder)

    @contextmanager
    def left_for_a_while(self, progress: Progress, stored: bool) -> Iterator[None]:
        """Context after which the training is where it was before, from the store or, unless ``stored``, from a folder
        that is gone afterwards.

        Raises:
            StoreError: the state can't be written to the store.
        """
        if stored:
            state = self.here(progress)
            yield
            self.load(state)
        else:
            with tempfile.TemporaryDirectory(prefix="ftstab-state-") as folder:
                self._runner.save(Path(folder))
                yield
                self._runner.load(Path(folder))

    def here(self, progress: Progress) -> State:
        """The resume state of this very step, saved unless it is there."""
        trajectory = progress.trajectory.key
        found = self._records.latest_state(trajectory)
        if found is None or (found.attempt, found.step) != (progress.attempt, self._runner.step):
            self.save(progress)
            found = self._records.latest_state(trajectory)
        assert found is not None
        return found

    def save_if_due(self, progress: Progress) -> None:
        """Save every so many steps, or where enough was trained since the last time."""
        step = self._runner.step
        if self._every is not None:
            due = step > 0 and step % self._every == 0 and progress.since_save > 0
        else:
            due = progress.since_save > max(SAVE_AFTER_SECONDS, SAVE_SHARE * self._cost)
        if due:
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Store the resume state of this step, in the place of the one before.

        Raises:
            StoreError: it can't be written.
        """
        began = time.perf_counter()
        self.flush(progress)
        with self._clock.whole("saving"):
            self._records.save_state(
                progress.trajectory.key, progress.attempt, self._runner.step, self._runner.save
            )
        progress.since_save = 0.0
        self._cost = time.perf_counter() - began

    def flush(self, progress: Progress) -> None:
        """Store the signals that aren't yet."""
        if progress.rows and progress.attempt:
            self._records.put_signals(progress.trajectory.key, progress.attempt, progress.rows)
            progress.rows = []


def _kept_signals(signals: Mapping[str, float]) -> dict[str, float]:
    """Those signals of an update that stand beside its settings."""
    kept = ("grad_norm", "update_ratio", "changed_share")
    return {"train_loss": signals["loss"]} | {
        k: v for k, v in signals.items() if "distance" in k or k in kept
    }
