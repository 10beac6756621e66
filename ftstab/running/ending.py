"""A trajectory that has ended, ended once more: what its worker was killed before it had deleted.

A worker that trains a trajectory to its end keeps what is still wanted of it and deletes the rest.  Whoever comes after
one that was killed meanwhile does that here: the worker that is started in its place, or the driver of the next run.
Deletes weights, states and copies of the store, and writes nothing but which copies stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ftstab.outcome import Outcome
from ftstab.plan import Job, Trajectory
from ftstab.results import at_work_elsewhere
from ftstab.running.copies import end_copies, keeps_copies, stored_shadows
from ftstab.running.weights import Keeper
from ftstab.spec import Study
from ftstab.store import Records


@dataclass(frozen=True)
class Ending:
    """Ends trajectories of a study.

    Attributes:
        study: the study.
        records: the store.
        keeper: knows which weights are needless.
        searching: whether a search goes on, which may ask for more steps of what has ended.
    """

    study: Study
    records: Records
    keeper: Keeper
    searching: bool = True

    def again(self, job: Job, trajectory: Trajectory, outcomes: Sequence[Outcome]) -> None:
        """Delete what ``trajectory`` of ``job``, which has ended with ``outcomes``, no longer needs."""
        if not job.restores:
            self.keeper.drop_needless(trajectory, outcomes)
        if self._has_needless_state(job, trajectory, outcomes):
            self.records.drop_states(trajectory.key)
        # Names of attempts begin with the time when they were begun.
        latest = max((outcome.attempt for outcome in outcomes), default="")
        stay = stored_shadows(job.settings) if keeps_copies(self.study, job) else None
        end_copies(self.records, trajectory.key, latest, stay)

    def all_left(self, jobs: Iterable[Job], outcomes: Iterable[Outcome]) -> None:
        """Do so with every trajectory that still has a state or copies which nobody needs.

        Args:
            jobs: what the study asks for.
            outcomes: what the store has of that.
        """
        known: dict[str, dict[str, Outcome]] = {}
        for outcome in outcomes:
            known.setdefault(outcome.trajectory, {})[outcome.setting] = outcome
        found = []
        for job in jobs:
            is_open = {
                t.key for t in job.trajectories if any(s.key not in known.get(t.key, {}) for s in t.settings)
            }
            for trajectory in ended_trajectories(job, is_open):
                mine = [*known.get(trajectory.key, {}).values()]
                if self.records.loose_copies(trajectory.key) or self._has_needless_state(
                    job, trajectory, mine
                ):
                    found.append((job, trajectory, mine))
        elsewhere = at_work_elsewhere(self.records, self.study.study) if found else set()
        for job, trajectory, mine in found:
            if trajectory.key not in elsewhere:
                self.again(job, trajectory, mine)

    def _has_needless_state(self, job: Job, trajectory: Trajectory, outcomes: Sequence[Outcome]) -> bool:
        state = None if job.unfinished else self.records.latest_state(trajectory.key)
        if state is None:
            return False
        return not (self.searching and may_go_on(self.study, job, trajectory, outcomes, state.step))


def ended_trajectories(job: Job, is_open: Collection[str]) -> Iterator[Trajectory]:
    """Yield the trajectories of ``job`` that have ended, where those in ``is_open`` lack settings.

    A trunk ends last: its branches leave from its states.
    """
    yield from (branch for branch in job.branches if branch.key not in is_open)
    if not any(trajectory.key in is_open for trajectory in job.trajectories):
        yield job.trunk


def may_go_on(study: Study, job: Job, trajectory: Trajectory, outcomes: Sequence[Outcome], step: int) -> bool:
    """Whether a search may ask for more steps of a trajectory that has ended, which a state of ``step`` helps to.

    The driver drops the state when the search is over.
    """
    search, axes = study.search, study.axes
    return (
        search.method != "grid"
        and search.keep_states
        # A range hardly ever gives a value twice, unless the sampler looks back at what was asked.
        and (search.sampler == "trajectory_gp" or not any(axes.range(name) for name in axes.trained()))
        and not job.restores
        # The start model is a job of no updates.
        and trajectory.last > 0
        and trajectory.seed in study.seeds.search
        and trajectory.horizon is None
        and trajectory.first == 0
        and any(n > step and n not in trajectory.stops for n in axes.steps)
        and all(outcome.status == "scored" for outcome in outcomes)
    )
