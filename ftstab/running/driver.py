"""The driver of a study: plans, hands out jobs, and tells the trackers and the person what came of them.

Only the driver writes to MLflow and Optuna, and only into the folder of its study; the store is written by workers.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ftstab.arms.declared import DECLARED, declaration
from ftstab.errors import InterruptedStudyError, StoreError
from ftstab.frontier import frontier_rows, start_row
from ftstab.looks import now
from ftstab.outcome import Outcome
from ftstab.plan import Job, Plan, longest_first, open_work, planned_settings
from ftstab.results import ASKED, FRESH, OVER, Results, about_now, asked_points, gather, study_folder
from ftstab.running.clock import Clock, TimedStore
from ftstab.running.dispatch import run_jobs, study_context
from ftstab.running.ending import Ending
from ftstab.running.fresh import ask_for_fresh
from ftstab.running.interrupt import interruptible
from ftstab.running.launcher import Event, Launcher
from ftstab.running.prepare import check_place, check_same, prepare
from ftstab.running.progress import Show
from ftstab.running.searching import Searching
from ftstab.running.trackers import Trackers
from ftstab.running.weights import Keeper
from ftstab.search import check_scorable
from ftstab.spec import Study, study_text
from ftstab.store import Lease, Records, open_store
from ftstab.terminal import say
from ftstab.wording.caveats import start_text

LOST_IN_A_ROW = 3
"""A search asks for nothing more once so many of its trajectories in a row couldn't be finished: what is wrong then
isn't their choices, and a budget in hours would be spent on nothing."""


@dataclass(frozen=True)
class Finished:
    """How a run of the driver ended.

    Attributes:
        results: everything the store has of the study.
        failures: jobs that couldn't finish, each with the reason.
        tracking_lost: why MLflow or Optuna no longer hold everything, if so.
    """

    results: Results
    failures: dict[str, str]
    tracking_lost: str | None


def run_study(
    study: Study,
    base_dir: Path,
    command: str,
    console: Console,
    launcher: Launcher | None = None,
    frontier_seeds: int | None = None,
) -> Finished:
    """Bring ``study`` to its end; everything that its store already has is kept and not done again.

    Args:
        study: the study.
        base_dir: folder that relative paths of its data start from.
        command: the command that the user gave.
        console: where progress goes.
        launcher: None takes the one that the study file names.
        frontier_seeds: fresh seeds that every recipe on the frontier is trained with once the study is finished; 0: as
            many as the study file says; None: none are trained.

    Raises:
        InterruptedStudyError: the user stopped it; everything finished is saved.
        FtstabError: something is wrong that must be mended first.
    """
    check_place(study, console)
    clock = Clock()
    # All that may be wrong with the study file and what it names is found before anything is written.
    say(console, "preparing: start model, data, prompts")
    with clock.named("preparing"):
        prepared = prepare(study, base_dir, console)
    store = open_store(study.store, create=True)
    records = Records(TimedStore(store, clock))
    folder = study_folder(study)
    folder.mkdir(exist_ok=True)
    store.sweep()
    # The lease has a thread of its own, which must not touch the clock.
    with Lease(store, study.study, say=partial(say, console)) as lease:
        before = records.study(study.study)
        check_same(study, records, before, prepared.identities)
        carried = about_now(study, before) if before else {}
        about = {
            "identities": asdict(prepared.identities),
            "base_dir": str(base_dir),
            "command": command,
            "context": prepared.context,
            "times": before[1].get("times", []) if before else [],
            FRESH: before[1].get(FRESH, {}) if before else {},
            ASKED: carried.get(ASKED, []),
            # A search that was over is over still, though this run may end before it has looked.
            OVER: carried.get(OVER),
            DECLARED: before[1].get(DECLARED) if before else None,
        }
        records.put_study(study.study, study_text(study), about)
        results = gather(study, records, prepared.identities, about)
        if before is None or (results.start is None and not results.outcomes):
            # Nothing is measured under this name yet, so nothing of it can have been chosen by what came out.
            about[DECLARED] = declaration(study, len(results.outcomes), now())
            records.put_study(study.study, study_text(study), about)
        driver = _Driver(results, prepared.prompts, base_dir, command, console, lease, clock)
        return driver.run(launcher, frontier_seeds)


class _Driver:
    """A job source: the start model first, then every open job of the grid, or what the search asks for."""

    def __init__(
        self,
        results: Results,
        prompts: int,
        base_dir: Path,
        command: str,
        console: Console,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self.study, self.records, self.about = results.study, results.records, results.about
        self.found = results
        self.prompts, self.lease, self.clock = prompts, lease, clock
        self.worked: list[dict[str, Any]] = []
        self.state = results.folder / "state"
        self.state.mkdir(exist_ok=True)
        self.plan: Plan = results.plan
        self.start = results.start
        self.outcomes = {o.key: o for o in results.outcomes}
        self.fresh_plan = results.fresh_plan
        self.fresh = {o.key: o for o in results.fresh}
        self.waiting = deque(longest_first(self.study, self.plan, prompts))
        self.running: dict[str, Job] = {}
        if self.start is None:
            self.waiting.appendleft(self.plan.start_job)
        self.searching: Searching | None = None
        if self.study.search.method != "grid":
            points = asked_points(self.about)
            self.searching = Searching(self.study, results.identities, self.records, points)
        self.failures: dict[str, str] = {}
        self.asked_now: set[str] = set()
        self.lost_in_a_row = 0
        # Jobs that run and that the search has asked more of since: they are given out again when they end.
        self.again: set[str] = set()
        self.stopping = False
        if self.searching is not None and self.start is not None:
            check_scorable(self.start)
        self.show = Show(console, self.study)
        self.show.expect(
            planned_settings(self.study) or len(self.plan.settings),
            len(self.outcomes),
            open_work(self.study, self.plan, prompts),
            # A search asks for more as it goes.
            len(self.plan.open_jobs) if self.study.search.method == "grid" else 0,
        )
        self.context = study_context(self.study, self.plan, base_dir, lease, command)

    def run(self, launcher: Launcher | None, frontier_seeds: int | None) -> Finished:
        self.show.note("starting MLflow and Optuna")
        self.trackers = Trackers(self.found, self.state, self.clock, self.show.note)
        try:
            self.trackers.begin(self.found)
            launched = time.time()
            with interruptible(self._stop), self.show:
                self._work(launcher, frontier_seeds)
            landed = time.time()
            self.trackers.end(self.outcomes.values(), self.start)
        finally:
            self.records.clear_stop(self.study.study, self.lease.driver)
            self.trackers.close()
        results = self._gather()
        self._note_times(launched, landed)
        if self.stopping:
            raise InterruptedStudyError(
                f"stopped: {len(results.outcomes)} of {len(self.plan.settings)} settings are saved, and how far the "
                "trainings under way have come. To go on:\n"
                f"  {self.context.command}"
            )
        return Finished(results, self.failures, self.trackers.lost)

    def _work(self, launcher: Launcher | None, frontier_seeds: int | None) -> None:
        """Have the open jobs of the grid run, and of fresh seeds if they are asked for."""
        self._tidy()
        if self.outcomes:
            self.show.note(
                f"{len(self.outcomes)} of {len(self.plan.settings)} settings are in the store already"
            )
        if self.waiting or self.searching is not None:
            self._launch(launcher)
        if self.searching is not None and self.searching.ended is not None:
            self.show.note(f"the search is over: {self.searching.ended}")
            self.about[OVER] = self.searching.ended
            self._record()
            self.searching = None
            self._tidy()
        if frontier_seeds is None and self.fresh_plan.open_jobs:
            self.show.note(
                f"{len(self.fresh_plan.open_jobs)} trajectories of fresh seeds that were asked for are still "
                "to train; `ftstab run ... --frontier-seeds` goes on with them"
            )
        if frontier_seeds is not None and not self.stopping and not self.failures:
            self._wait_for_fresh(frontier_seeds or self.study.seeds.frontier)
            if self.waiting:
                self._launch(launcher)

    def _launch(self, launcher: Launcher | None) -> None:
        run_jobs(self.context, self, self._heard, self.found.folder, self.show.console, launcher)

    def _tidy(self) -> None:
        """End every trajectory again that has ended and whose state or copies are still there: it was killed before it
        had deleted them, or the search that might have asked for more of it is over."""
        keeper = Keeper(self.study, self.records, lambda: self.start)
        ending = Ending(self.study, self.records, keeper, self.searching is not None)
        ending.all_left(
            (*self.plan.jobs, *self.fresh_plan.jobs), (*self.outcomes.values(), *self.fresh.values())
        )

    def _stop(self) -> None:
        """Ask the workers to save and stop."""
        self.stopping = True
        self.records.request_stop(self.study.study, self.lease.driver)

    def _gather(self) -> Results:
        """Everything the store has of the study now."""
        return gather(self.study, self.records, self.found.identities, self.about)

    def _wait_for_fresh(self, count: int) -> None:
        """Have every recipe on the frontier trained with fresh seeds; what was asked for before stays asked for."""
        if self.start is None:
            return
        asked = ask_for_fresh(self.study, list(self.outcomes.values()), self.start, self.about[FRESH], count)
        self.about[FRESH] = asked.wanted
        self._record()
        results = self._gather()
        self.fresh_plan = results.fresh_plan
        self.fresh = {o.key: o for o in results.fresh}
        self.waiting = deque(longest_first(self.study, self.fresh_plan, self.prompts))
        self.show.expect(
            len(self.fresh_plan.settings),
            len(self.fresh),
            open_work(self.study, self.fresh_plan, self.prompts),
            len(self.fresh_plan.open_jobs),
        )
        self.show.note(
            f"fresh seeds {', '.join(map(str, asked.seeds))} of {asked.recipes} recipes on the frontier: "
            f"{len(self.fresh_plan.trajectories)} trajectories, {len(self.fresh_plan.open_jobs)} still to train"
        )

    def _is_fresh(self, job: Job) -> bool:
        """Whether a job trains fresh seeds, which no search is told about."""
        return job.key != self.plan.start.trajectory and job.trunk.seed not in self.study.seeds.search

    def _record(self) -> None:
        """Record beside the study file what is known about its runs."""
        stored = self.records.study(self.study.study)
        assert stored is not None
        self.records.put_study(self.study.study, stored[0], self.about)

    def _note_times(self, launched: float, landed: float) -> None:
        """Record what the time of this run went to, beside that of earlier runs of the study."""
        times = {"launched": launched, "landed": landed, "driver": self.clock.reading(), "jobs": self.worked}
        self.about["times"].append(times)
        self._record()

    # Job source

    def next_job(self) -> Job | None:
        self.lease.check()
        if self.stopping or self.plan.start.trajectory in self.running:
            return None
        if self.start is None and (not self.waiting or self.waiting[0].key != self.plan.start.trajectory):
            return None
        self._search_on()
        if not self.waiting:
            return None
        job = self.waiting.popleft()
        self.running[job.key] = job
        # A search may ask for more of a trajectory that couldn't be finished before.
        self.failures.pop(job.key, None)
        if job.key != self.plan.start.trajectory and not self._is_fresh(job):
            self.trackers.ask(job)
        return job

    def exhausted(self) -> bool:
        if self.start is None and self.plan.start.trajectory not in self.running:
            return True  # nothing can be compared with a start that couldn't be measured
        searched = self.searching is None or self.searching.ended is not None
        return self.stopping or (searched and not self.waiting and not self.again)

    def _search_on(self) -> None:
        """Where nothing waits, ask the search for more, until something is to be trained or it is over."""
        while self.searching is not None and self.start is not None and not self.waiting:
            if self.lost_in_a_row >= LOST_IN_A_ROW:
                self.searching.ended = f"{LOST_IN_A_ROW} trajectories in a row couldn't be finished"
                return
            before = len(self.searching.asked)
            jobs = self.searching.next(self.outcomes.values(), self.start, self.running.keys())
            if len(self.searching.asked) == before:
                return
            # Recorded before it is trained, so that a driver that is killed goes on with it.
            self.about |= {ASKED: [point.as_dict() for point in self.searching.asked], OVER: None}
            self._record()
            results = self._gather()
            self.plan = results.plan
            self.trackers.extend(self.plan)
            self.show.asked(
                len(self.plan.settings),
                open_work(self.study, self.plan, self.prompts),
                bounded=planned_settings(self.study) is not None,
            )
            for outcome in results.outcomes:
                if outcome.key not in self.outcomes:
                    job = next(j for j in self.plan.jobs if outcome.setting in {s.key for s in j.settings})
                    self._outcome(job, outcome)
            asked = {job.key for job in jobs}
            is_open = [j for j in self.plan.open_jobs if j.key in asked]
            self.waiting.extend(j for j in is_open if j.key not in self.running)
            self.again |= {j.key for j in is_open} & self.running.keys()
            self.asked_now |= asked
            for job in jobs:
                if job.key not in self.running and all(job.key != j.key for j in is_open):
                    # Nothing will run that could end it.
                    self.trackers.finish(job, self.outcomes.values(), None, False)

    def finished(self, job: Job, failure: str | None) -> None:
        self.lease.check()
        self.running.pop(job.key, None)
        try:
            self._hear_unsaid(job)
        except StoreError:
            if failure is None:  # else that may be why it failed, and the next is tried all the same
                raise
        self.show.ended(job)
        if failure is not None:
            self._failed(job, failure)
        if job.key == self.plan.start.trajectory:
            return
        if job.key in self.asked_now:
            self.lost_in_a_row = self.lost_in_a_row + 1 if job.key in self.failures else 0
        if job.key in self.again:
            self.again.remove(job.key)
            told = {o.setting for o in self.outcomes.values()}
            more = [
                j for j in self.plan.jobs if j.key == job.key and any(s.key not in told for s in j.settings)
            ]
            self.waiting.extend(more if job.key not in self.failures else ())
        known = [*self.outcomes.values(), *self.fresh.values()]
        self._note_failure(job)
        self.trackers.finish(job, known, self.failures.get(job.key), self._is_fresh(job))

    def _note_failure(self, job: Job) -> None:
        """Record why a job couldn't finish, for trackers that are told anew; forget it once the job ends otherwise."""
        why = self.failures.get(job.key)
        # A store that can't be written to may be the very reason, which the person and the trackers are told anyway.
        with contextlib.suppress(StoreError):
            for trajectory in job.trajectories:
                if why is not None:
                    self.records.put_failure(self.study.study, trajectory.key, why)
                else:
                    self.records.drop_failure(self.study.study, trajectory.key)

    # What workers say

    def _hear_unsaid(self, job: Job) -> None:
        """Take from the store what no worker said of ``job``: one that is killed once it has stored an outcome can't
        say so, and the one that is started in its place finds that setting done."""
        heard = {*self.outcomes, *self.fresh} | ({self.start.key} if self.start is not None else set())
        for setting in job.settings:
            key = self.found.identities.outcome_key(setting.key)
            outcome = None if key in heard else self.records.outcome(setting.trajectory, key)
            if outcome is not None:
                self._outcome(job, outcome)

    def _heard(self, job: Job, event: Event) -> None:
        # Jobs take hours, and whatever is told meanwhile is another driver's to tell once the lease is lost.
        self.lease.check()
        if event.kind == "outcome":
            assert event.outcome is not None
            outcome = self.records.outcome(event.trajectory, event.outcome)
            if outcome is not None:
                self._outcome(job, outcome)
        elif event.kind == "failed":
            self._failed(job, event.message or "no reason given")
        elif event.kind == "worked":
            self.worked.append({"job": job.key, **(event.seconds or {})})
        else:
            self.show.event(job, event)

    def _failed(self, job: Job, why: str) -> None:
        if job.key not in self.failures:
            self.failures[job.key] = why
            self.show.failed(job, why)

    def _outcome(self, job: Job, outcome: Outcome) -> None:
        if outcome.start:
            if self.searching is not None:
                check_scorable(outcome)
            self.start = outcome
            row = start_row(outcome, self.study)
            self.show.start(row)
            if warning := start_text(row, self.study):
                self.show.note(warning)
            self.trackers.start(outcome)
            return
        fresh = self._is_fresh(job)
        mine = self.fresh if fresh else self.outcomes
        if outcome.key in mine:
            return  # a worker that was started again says it twice
        mine[outcome.key] = outcome
        assert self.start is not None
        (row,) = [r for r in frontier_rows([outcome], self.start, self.study) if r.key == outcome.key]
        self.show.setting(job, row, f", seed {row.seed}" if fresh else "")
        self.trackers.outcome(job, outcome, self.start, self.outcomes.values(), fresh)
