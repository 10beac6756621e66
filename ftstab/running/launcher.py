"""The contract between who decides and who runs.

A source hands out jobs; a launcher runs them, somewhere, and passes on what they report.  Search and frontier
therefore work alike over Ray Tune, this process, or a table of recorded outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from ftstab.plan import Job
from ftstab.spec import Study


@dataclass(frozen=True)
class Context:
    """What a worker needs beside its job.  Plain data, without secrets: it travels to other machines.

    Attributes:
        study: the study.
        base_dir: folder that relative paths of data start from.
        store: where the store is, as an absolute location.
        start_setting: key of the start model's setting.
        start_trajectory: key of the start model's trajectory.
        driver: name of the driver, for stop requests.
        command: the command that the user gave, for the record.
    """

    study: Study
    base_dir: str
    store: str
    start_setting: str
    start_trajectory: str
    driver: str
    command: str


@dataclass(frozen=True)
class Event:
    """What a worker says.  It carries keys and numbers, never a prompt or an answer.

    Kinds: ``phase`` (message says what it does), ``resumed`` (a training goes on from a saved step), ``update`` (an
    optimizer step), ``outcome`` (a setting is in the
    store), ``failed`` (message says why the job can't finish), ``stopped`` (saved and stopped on request),
    ``worked`` (the worker leaves the job; seconds say what its time went to).  The launcher says ``lost`` of a worker
    that can't say anything any more, where another one goes on with its job (message says what killed it).
    """

    kind: Literal["phase", "resumed", "update", "outcome", "failed", "stopped", "worked", "lost"]
    trajectory: str
    step: int = 0
    last: int = 0
    loss: float | None = None
    outcome: str | None = None
    message: str | None = None
    seconds: Mapping[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class JobSource(Protocol):
    """Decides what is run."""

    def next_job(self) -> Job | None:
        """The next job, or None if there is none now."""

    def exhausted(self) -> bool:
        """True if no job will ever come again."""

    def finished(self, job: Job, failure: str | None) -> None:
        """A job came to its end; ``failure`` says why it has no outcomes, if it hasn't."""


class Launcher(Protocol):
    """Runs jobs until the source is exhausted or a stop is asked for."""

    def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        """Run every job of ``source``; call ``on_event`` in this process for whatever they say.

        Raises:
            StudyError: the launcher itself can't work (no cluster at that address, too few CPUs).
        """
