"""The search of a study while it runs: what is trained next, and when the search is over.

Decides; the driver records what was asked, and runs it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ftstab.outcome import Outcome
from ftstab.plan import Job, Point, point_jobs
from ftstab.results import Identities
from ftstab.search import Search, Told, stalled, told_outcomes
from ftstab.spec import Study
from ftstab.store import Records


class Searching:
    """Asks for one point after the other, within the budget.

    Attributes:
        asked: every point so far, in order.
        ended: why nothing more is asked; None while there may be more.
    """

    def __init__(
        self, study: Study, identities: Identities, records: Records, asked: Sequence[Point]
    ) -> None:
        self.asked = list(asked)
        self.ended: str | None = None
        self._study, self._identities, self._records = study, identities, records
        self._search = Search(study)
        self._began = time.monotonic()

    def next(self, outcomes: Iterable[Outcome], start: Outcome, running: Collection[str]) -> list[Job]:
        """Ask for the next point and return its jobs; none when the search is over.

        Args:
            outcomes: every setting of search seeds so far.
            start: the start model's outcome.
            running: keys of jobs that are being trained or wait for it.
        """
        by_trajectory: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            by_trajectory.setdefault(outcome.trajectory, []).append(outcome)
        # In the order in which they were asked, whatever finished first.
        ordered = [o for p in self.asked for key in self._trajectories(p) for o in by_trajectory.get(key, [])]
        told = told_outcomes(ordered, start, self._study, self._search.space)
        self.ended = self._over(told)
        if self.ended is not None:
            return []
        busy = [p for p in self.asked if self._jobs(p).keys() & set(running)]
        point = self._search.next(self.asked, told, busy)
        if point is None:
            self.ended = "every point of the space is known"
            return []
        jobs = self._jobs(point)
        stored = all(self._has(job) for job in jobs.values())
        self.asked.append(replace(point, stored=stored))
        return list(jobs.values())

    def _over(self, told: Sequence[Told]) -> str | None:
        budget = self._study.search.budget
        assert budget is not None
        paid = sum(len(self._trajectories(p)) for p in self.asked if not p.stored)
        if budget.trajectories is not None and paid >= budget.trajectories:
            return f"the budget of {budget.trajectories} trajectories is spent"
        if budget.hours is not None and time.monotonic() - self._began > 3600 * budget.hours:
            return f"the budget of {budget.hours:g} hours is spent"
        if stalled(self._study, told):
            stall = self._study.search.stall
            assert stall is not None
            return f"the hypervolume grew by less than {stall.growth:.1%} in the last {stall.trajectories} trajectories"
        return None

    def _jobs(self, point: Point) -> dict[str, Job]:
        seeds = self._study.seeds.search
        return point_jobs(self._study, [point], seeds, self._identities.base, self._identities.data)

    def _trajectories(self, point: Point) -> list[str]:
        return [t.key for job in self._jobs(point).values() for t in job.trajectories if t.settings]

    def _has(self, job: Job) -> bool:
        """Whether the store has every setting of ``job``."""
        return all(
            self._records.outcome(s.trajectory, self._identities.outcome_key(s.key)) is not None
            for s in job.settings
        )
