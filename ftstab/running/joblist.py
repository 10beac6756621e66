"""A job source whose jobs are all known beforehand.  Touches nothing but the lease that it looks at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ftstab.plan import Job
from ftstab.running.launcher import Event
from ftstab.store import Lease


class JobList:
    """Hands out every job once, while the study is still ours.

    Args:
        jobs: what is handed out, in order.
        lease: the study's.
        first: handed out before them, and they wait for its end; if it fails, none of them is handed out.

    Attributes:
        faults: by setting, what a worker says must be mended before the setting's job can be done.
        lost: by setting, what kept the launcher from finishing its job; trying again may help.
    """

    def __init__(self, jobs: Iterable[Job], lease: Lease, first: Job | None = None) -> None:
        self._waiting, self._lease = deque(jobs), lease
        if first is not None:
            self._waiting.appendleft(first)
        self._first, self._held = first, False
        self.faults: dict[str, str] = {}
        self.lost: dict[str, str] = {}

    def next_job(self) -> Job | None:
        """The next job; None after the last, and while the others wait for the first."""
        self._lease.check()
        if self._held or not self._waiting:
            return None
        job = self._waiting.popleft()
        self._held = job == self._first
        return job

    def exhausted(self) -> bool:
        """True after the last job."""
        return not self._waiting

    def finished(self, job: Job, failure: str | None) -> None:
        """A job came to its end."""
        if failure is not None:
            self.lost |= dict.fromkeys((s.key for s in job.settings), failure)
        if job == self._first:
            self._held = False
            if any(s.key in self.lost or s.key in self.faults for s in job.settings):
                self._waiting.clear()

    def heard(self, job: Job, event: Event) -> None:
        """Note what a worker says is wrong."""
        self._lease.check()
        if event.kind == "failed":
            self.faults |= dict.fromkeys((s.key for s in job.settings), event.message or "no reason given")
