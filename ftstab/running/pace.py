"""How long a run will still take, by the pace of what it has measured itself.  Touches nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

FEWEST = 0.1
"""Share of the work of this run that must be done before its pace says anything."""


class Pace:
    """Seconds that workers take for a unit of work, and what that means for the rest.

    Only time up to the last setting that a worker has measured counts, with the work of the settings measured by then:
    neither starting up, nor the start model, nor what the store had before, nor what is under way is in it.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` reads a clock, in seconds."""
        self._now = now
        self._since: dict[str, float] = {}
        """Job under way -> when it began, or measured its last setting."""
        self._most = 0
        self._seconds = self._done = 0.0

    def begin(self, job: str) -> None:
        """A worker has begun a job; beginning twice changes nothing."""
        self._since.setdefault(job, self._now())
        self._most = max(self._most, len(self._since))

    def measured(self, job: str, work: float) -> None:
        """A job under way has measured a setting that took so much work, in any unit."""
        if job in self._since:
            now = self._now()
            self._seconds += now - self._since[job]
            self._since[job] = now
            self._done += work

    def end(self, job: str) -> None:
        """A worker has left a job."""
        self._since.pop(job, None)

    def left(self, work: float, jobs: int) -> float | None:
        """Return the seconds until the rest is done; None while too little is done to tell.

        Args:
            work: what isn't measured yet, in the unit of `measured`.
            jobs: jobs that haven't ended, those under way among them.
        """
        if self._done <= FEWEST * (self._done + work):
            return None
        now = self._now()
        under_way = sum(now - since for since in self._since.values())
        rest = self._seconds / self._done * work - under_way
        return max(0.0, rest) / max(1, min(self._most, jobs))
