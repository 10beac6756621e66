"""Settings asked one after the other, because what each says decides what is asked next.

Holds the study's lease in hand and writes nothing itself: workers store what they are told.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from ftstab.errors import StudyError
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.running.dispatch import run_jobs
from ftstab.running.launcher import Context, Event, Launcher
from ftstab.store import Lease, Records
from ftstab.terminal import shown


@dataclass(frozen=True)
class Asked:
    """A setting to be asked the confirmation half.

    Attributes:
        job: what a worker is given.
        found: its outcome on the search half.
        key: key of its outcome on the confirmation half.
        name: how it is called on the terminal.
    """

    job: Job
    found: Outcome
    key: str
    name: str


Procedure = Generator[Asked, Outcome, dict[str, Any]]
"""Yields what is to be asked next, is sent what it scored, and returns what the look found."""


def carry_out(
    procedure: Procedure,
    context: Context,
    records: Records,
    lease: Lease,
    folder: Path,
    console: Console,
    launcher: Launcher | None = None,
) -> dict[str, Any]:
    """Have ``procedure`` carried out by workers, and return what it found; what the store has isn't asked again.

    Args:
        procedure: what is asked.
        context: what workers are told.
        records: the store.
        lease: the study's, held.
        folder: the study's.
        console: where progress goes.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: a worker couldn't finish; what it has stored is kept.
    """
    source = _Source(procedure, records, lease)
    with console.status("starting") as status:
        source.status = status
        if source.wanted is not None:
            run_jobs(context, source, source.heard, folder, console, launcher)
    if source.result is None:
        raise StudyError(
            f"study {context.study.study}: the confirmation isn't finished: {source.failure or 'it was stopped'}. "
            f"What was asked is kept; to go on:\n  {context.command}"
        )
    return source.result


class _Source:
    """A job source that hands out one job at a time, because each answer decides what is asked next."""

    def __init__(self, procedure: Procedure, records: Records, lease: Lease) -> None:
        self.procedure, self.records, self.lease = procedure, records, lease
        self.wanted: Asked | None = None
        self.running = False
        self.result: dict[str, Any] | None = None
        self.failure: str | None = None
        self.status: Status | None = None
        self._send(None)
        self._skip_known()

    def next_job(self) -> Job | None:
        self.lease.check()
        if self.wanted is None or self.running:
            return None
        self.running = True
        return self.wanted.job

    def exhausted(self) -> bool:
        return self.wanted is None

    def finished(self, job: Job, failure: str | None) -> None:
        self.running = False
        assert self.wanted is not None
        if failure is not None or self._stored() is None:
            self.failure = failure or self.failure
            self.wanted = None
            return
        self._skip_known()

    def heard(self, job: Job, event: Event) -> None:
        """What the worker says."""
        self.lease.check()
        if event.kind == "failed":
            self.failure = event.message
        elif event.kind == "phase" and self.status is not None and self.wanted is not None:
            self.status.update(shown(f"{self.wanted.name}: {event.message}"))

    def _stored(self) -> Outcome | None:
        assert self.wanted is not None
        return self.records.outcome(self.wanted.found.trajectory, self.wanted.key)

    def _skip_known(self) -> None:
        """Go on to the next setting that the store has no answers of."""
        while self.wanted is not None and (known := self._stored()) is not None:
            self._send(known)

    def _send(self, outcome: Outcome | None) -> None:
        try:
            self.wanted = next(self.procedure) if outcome is None else self.procedure.send(outcome)
        except StopIteration as end:
            self.wanted, self.result = None, end.value
