"""The shadows that a trajectory stores on its way, for averages that are rebuilt from them (post-hoc EMA).

Writes and deletes copies of shadows in the store, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ftstab.errors import StoreError
from ftstab.outcome import StoredShadows
from ftstab.plan import Job, Setting
from ftstab.running.resume import Progress
from ftstab.spec import Study
from ftstab.store import Records
from ftstab.training.copies import Copies
from ftstab.training.posthoc import LAST, SHADOWS, copy_steps
from ftstab.training.run import Run
from ftstab.training.weights import FullWeights


def stored_shadows(settings: Iterable[Setting]) -> StoredShadows | None:
    """What the rebuilt averages among ``settings`` are made from; one study has one such bank."""
    found = {s.profile.stored for s in settings} - {None}
    assert len(found) <= 1
    return found.pop() if found else None


class CopyKeeper:
    """Stores the copies of a job's trajectories, and lets its training read them.

    Args:
        records: the store.
        runner: the training.
        job: what it trains; without rebuilt averages nothing is stored.
        keep: whether copies stay when a trajectory ends.
    """

    def __init__(self, records: Records, runner: Run, job: Job, keep: bool) -> None:
        self._records, self._runner, self._keep = records, runner, keep
        self._stored = stored_shadows(job.settings)
        self._wanted: set[int] = set()

    def begin(self, progress: Progress) -> None:
        """From now on the training is the attempt of ``progress``, whose copies it may read."""
        if self._stored is None:
            return
        last = progress.trajectory.last
        self._wanted = set(copy_steps(self._stored.every, last))
        if self._keep:
            self._wanted |= {*progress.trajectory.stops, last}
        assert isinstance(self._runner.weights, FullWeights)
        self._runner.weights.copies = open_copies(self._records, progress.trajectory.key, progress.attempt)

    def put_if_due(self, progress: Progress) -> None:
        """Store the shadows of this step where the study says so.

        Raises:
            StoreError: they can't be written.
        """
        step = self._runner.step
        if self._stored is None or step not in self._wanted:
            return
        write = partial(self._runner.save_copy, self._stored, weights_too=self._keep)
        self._records.put_copy(progress.trajectory.key, progress.attempt, step, write)

    def complete(self, trajectory: str, attempt: str, step: int) -> bool:
        """Whether an attempt may be continued from ``step``: the store has its copies up to there."""
        if self._stored is None:
            return True
        names = {SHADOWS, LAST} if self._keep else {SHADOWS}
        pieces = (
            self._records.copy(trajectory, attempt, s) for s in copy_steps(self._stored.every, step + 1)
        )
        return all(piece is not None and names <= set(piece.names) for piece in pieces)

    def finish(self, progress: Progress) -> None:
        """The trajectory has ended: copies stay where the study wants them, all others of it are deleted."""
        end_copies(
            self._records, progress.trajectory.key, progress.attempt, self._stored if self._keep else None
        )


def keeps_copies(study: Study, job: Job) -> bool:
    """Whether copies stay when a trajectory of ``job`` ends."""
    return study.posthoc is not None and study.posthoc.keep and not job.restores


def end_copies(records: Records, trajectory: str, attempt: str, stay: StoredShadows | None) -> None:
    """Delete the copies of a trajectory that has ended, but for those of ``attempt`` where they are to stay.

    Args:
        records: the store.
        trajectory: its key.
        attempt: the training that ended it.
        stay: the shadows that its copies hold; None where none stay.
    """
    if stay is not None and attempt in records.loose_copies(trajectory):
        records.keep_copies(trajectory, attempt, stay.model_dump(mode="json"))
    records.drop_copies(trajectory)


def open_copies(records: Records, trajectory: str, attempt: str) -> Copies:
    """The copies of an attempt, to be read.

    Reading one raises StoreError where it is gone.
    """

    def file(step: int, name: str) -> Path:
        piece = records.copy(trajectory, attempt, step)
        if piece is None:
            raise StoreError(
                f"trajectory {trajectory}: the shadows stored at step {step} are no longer in the store; run the same "
                "command again: it is trained anew"
            )
        return piece.path(name)

    return Copies(file)
