"""Settings asked one after the other, because what each says decides what is asked next.

Holds the study's lease in hand and writes nothing itself: workers store what they are told.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstab.errors import StudyError
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.running.dispatch import run_jobs
from ftstab.running.launcher import Context, Event, Launcher
from ftstab.running.progress import Show
from ftstab.store import Lease, Records


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


Procedure = Generator[Sequence[Asked], Outcome, dict[str, Any]]
"""Yields what is to be asked next, followed by what comes after it if no answer ends it sooner; is sent what the first
of these scored, and returns what the look found."""


def carry_out(
    procedure: Procedure,
    context: Context,
    records: Records,
    lease: Lease,
    folder: Path,
    show: Show,
    launcher: Launcher | None = None,
) -> dict[str, Any]:
    """Have ``procedure`` carried out by workers, and return what it found; what the store has isn't asked again.

    Args:
        procedure: what is asked.
        context: what workers are told.
        records: the store.
        lease: the study's, held.
        folder: the study's.
        show: where progress goes.  The time left is that of a procedure which no answer ends sooner.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: a worker couldn't finish; what it has stored is kept.
    """
    with show:
        source = _Source(procedure, records, lease, show)
        if source.wanted is not None:
            run_jobs(context, source, source.heard, folder, show.console, launcher)
    if source.result is None:
        raise StudyError(
            f"study {context.study.study}: the confirmation isn't finished: {source.failure or 'it was stopped'}. "
            f"What was asked is kept; to go on:\n  {context.command}"
        )
    return source.result


class _Source:
    """A job source that hands out one job at a time, because each answer decides what is asked next."""

    def __init__(self, procedure: Procedure, records: Records, lease: Lease, show: Show) -> None:
        self.procedure, self.records, self.lease, self.show = procedure, records, lease, show
        self.wanted: Asked | None = None
        self.running = False
        self.result: dict[str, Any] | None = None
        self.failure: str | None = None
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
        if failure is None and self._stored(self.wanted) is not None:
            self.show.measured(job, self.wanted.key)
            self.show.ended(job)
            self._skip_known()
            return
        self.show.ended(job)
        self.failure = failure or self.failure
        self.wanted = None

    def heard(self, job: Job, event: Event) -> None:
        """What the worker says."""
        self.lease.check()
        if event.kind == "failed":
            self.failure = event.message
        elif event.kind in ("phase", "lost") and self.wanted is not None:
            self.show.event(job, event, self.wanted.name)

    def _stored(self, one: Asked) -> Outcome | None:
        return self.records.outcome(one.found.trajectory, one.key)

    def _skip_known(self) -> None:
        """Go on to the next setting that the store has no answers of."""
        while self.wanted is not None and (known := self._stored(self.wanted)) is not None:
            self._send(known)

    def _send(self, outcome: Outcome | None) -> None:
        try:
            line = next(self.procedure) if outcome is None else self.procedure.send(outcome)
        except StopIteration as end:
            self.wanted, self.result = None, end.value
            return
        self.wanted = line[0]
        # Every setting is asked the same prompts.
        self.show.ahead({one.key: 1.0 for one in line if self._stored(one) is None})
