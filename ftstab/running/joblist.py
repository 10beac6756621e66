"""A job source whose jobs are all known beforehand.  Touches nothing but the lease that it looks at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ftstab.plan import Job
from ftstab.running.launcher import Event
from ftstab.store import Lease


class JobList:
    """Hands out every job once, while the study is still ours.

    Attributes:
        faults: by setting, what a worker says must be mended before the setting's job can be done.
        lost: by setting, what kept the launcher from finishing its job; trying again may help.
    """

    def __init__(self, jobs: Iterable[Job], lease: Lease) -> None:
        self._waiting, self._lease = deque(jobs), lease
        self.faults: dict[str, str] = {}
        self.lost: dict[str, str] = {}

    def next_job(self) -> Job | None:
        """The next job; None after the last."""
        self._lease.check()
        return self._waiting.popleft() if self._waiting else None

    def exhausted(self) -> bool:
        """True after the last job."""
        return not self._waiting

    def finished(self, job: Job, failure: str | None) -> None:
        """A job came to its end."""
        if failure is not None:
            self.lost |= dict.fromkeys((s.key for s in job.settings), failure)

    def heard(self, job: Job, event: Event) -> None:
        """Note what a worker says is wrong."""
        self._lease.check()
        if event.kind == "failed":
            self.faults |= dict.fromkeys((s.key for s in job.settings), event.message or "no reason given")
