"""The search of a study while it runs: what is trained next, and when the search is over.

Decides; the driver records what was asked, and runs it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ftstab.hopeless import unfounded
from ftstab.outcome import Outcome
from ftstab.plan import Job, Point, point_jobs
from ftstab.results import Identities
from ftstab.search import Search, Told, stalled, told_outcomes
from ftstab.spec import Study
from ftstab.stopping import stopping_rule
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
        self._known_jobs: dict[str, dict[str, Job]] = {}

    def next(self, outcomes: Iterable[Outcome], start: Outcome, running: Collection[str]) -> list[Job]:
        """Ask for the next point and return its jobs; none when the search is over.

        Args:
            outcomes: every setting of search seeds so far.
            start: the start model's outcome.
            running: keys of jobs that are being trained or wait for it.
        """
        asked = [(point, self._jobs(point)) for point in self.asked]
        by_setting = {o.setting: o for o in outcomes}
        # In the order in which they were asked, whatever finished first, and each once: a trajectory that was asked
        # again with more steps adds what is new.
        added: dict[str, tuple[int, str]] = {}
        for i, (_, jobs) in enumerate(asked):
            for job in jobs.values():
                for setting in job.settings:
                    if setting.key in by_setting:
                        added.setdefault(setting.key, (i, job.key))
        told = told_outcomes([by_setting[key] for key in added], start, self._study, self._search.space)
        trainings: dict[tuple[int, str], list[Told]] = {}
        for one in told:
            place = added[one.setting]
            if place[1] not in running:  # what isn't finished may still find something
                trainings.setdefault(place, []).append(one)
        paid = {place for point, jobs in asked if not point.stored for place in _paid(point, jobs)}
        self.ended = self._over([*trainings.values()], len(paid))
        if self.ended is not None:
            return []
        point = self._search.next(self.asked, told, [p for p, jobs in asked if jobs.keys() & set(running)])
        if point is None:
            self.ended = "every point of the space is known"
            return []
        jobs = self._jobs(point)
        stored = all(self._has(job, start) for job in jobs.values())
        planned = {
            s.key for some in (*(j for _, j in asked), jobs) for job in some.values() for s in job.settings
        }
        self.ended = self._too_much(len(paid if stored else paid | _paid(point, jobs)), len(planned))
        if self.ended is not None:
            return []
        self.asked.append(replace(point, stored=stored))
        return list(jobs.values())

    def _over(self, trainings: Sequence[Sequence[Told]], paid: int) -> str | None:
        """Why nothing more is asked, whatever it would be."""
        budget, stall = self._study.search.budget, self._study.search.stall
        assert budget is not None
        if budget.trajectories is not None and paid >= budget.trajectories:
            return f"the budget of {budget.trajectories} trajectories is spent"
        if budget.hours is not None and time.monotonic() - self._began > 3600 * budget.hours:
            return f"the budget of {budget.hours:g} hours is spent"
        if stall is not None and self._search.begun(self.asked) and stalled(self._study, trainings):
            return f"the hypervolume grew by less than {stall.growth:.1%} in the last {stall.trajectories} trajectories"
        return None

    def _too_much(self, paid: int, settings: int) -> str | None:
        """Why the next point is no longer asked, with which so many trajectories would be paid and settings planned."""
        budget, rule = self._study.search.budget, stopping_rule(self._study)
        if budget is not None and budget.trajectories is not None and paid > budget.trajectories:
            return (
                f"what is left of the budget of {budget.trajectories} trajectories is less than a point takes"
            )
        if rule is not None and settings > rule.settings:
            return f"the error rate of `stopping` is shared by {rule.settings} settings, another point would be more"
        return None

    def _jobs(self, point: Point) -> dict[str, Job]:
        known, seeds = repr(point), self._study.seeds.search
        if known not in self._known_jobs:
            keys = self._identities.base, self._identities.data
            self._known_jobs[known] = point_jobs(self._study, [point], seeds, *keys)
        return self._known_jobs[known]

    def _has(self, job: Job, start: Outcome) -> bool:
        """Whether the store has every setting of ``job``, so that nothing of it is trained."""
        known = {}
        for s in job.settings:
            outcome = self._records.outcome(s.trajectory, self._identities.outcome_key(s.key))
            if outcome is None:
                return False
            known[s.key] = outcome
        return not unfounded(job, known, start, self._study)


def _paid(point: Point, jobs: Collection[str]) -> set[tuple[str, str]]:
    """What a point takes of a budget: a training for each of its ``jobs``, which further steps of it share.

    Points that differ in what only a branch reads (`decay_fraction`) share a trunk, but each has branches of its own.
    """
    choices = repr(sorted(point.choices.items()))
    return {(key, choices) for key in jobs}
