"""What every worker has, whatever its job is: the store on a clock, and a way to say what it does."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from ftstab.plan import Job, Setting
from ftstab.running.clock import Clock, TimedStore
from ftstab.running.launcher import Context, Event
from ftstab.store import Records, open_store

SECONDS_BETWEEN_LOOKS = 1.0
"""While answers are written, whether a stop was asked for is looked up no more often: the store may be on a network."""


class StopAskedError(Exception):
    """A stop was asked for, and nothing that is finished is lost; whoever started the worker says so."""


class AtWork(ABC):
    """A worker at one job.

    Attributes:
        context: what it is told beside the job.
        job: the job.
        study: the study.
        clock: what its time goes to.
        records: the store.
    """

    def __init__(self, context: Context, job: Job, emit: Callable[[Event], None]) -> None:
        self.context, self.job, self._tell = context, job, emit
        self.study = context.study
        self.clock = Clock()
        self.records = Records(TimedStore(open_store(context.store), self.clock))
        self._looked = 0.0
        # More threads than CPUs is a hundred times slower.
        torch.set_num_threads(self.study.resources.cpus_per_trajectory)

    @abstractmethod
    def run(self) -> None:
        """Bring the job to its end.

        Raises:
            StopAskedError: a stop was asked for.
            FtstabError: something is wrong that must be mended.
        """

    def heed_stop(self) -> None:
        """Raise StopAskedError if a stop was asked for."""
        if self.records.stop_requested(self.study.study, self.context.driver):
            raise StopAskedError

    def heed_stop_often(self) -> None:
        """As `heed_stop`, but cheap enough to be called after every token."""
        if time.monotonic() - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            self.heed_stop()

    def emit(self, event: Event) -> None:
        """Tell the driver; the time includes waiting for it."""
        with self.clock.named("reporting"):
            self._tell(event)

    def phase(self, message: str, trajectory: str | None = None, step: int = 0) -> None:
        """Say what is done now, of a trajectory of the job where it isn't the trunk."""
        self.emit(Event("phase", trajectory or self.job.key, step, message=message))

    def answering_phase(self, setting: Setting) -> None:
        """Say that the prompts are put to a setting now."""
        self.phase(
            f"answering step {setting.step}, {setting.profile.label}", setting.trajectory, setting.step
        )
