"""The driver of a top-up: which prompts an early stop left out, what answering them costs, and who answers them.

Workers ask (`ftstab.running.topping_up`), through the same launchers as a sweep.  Holds the study's lease and writes
nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from ftstab.errors import StudyError
from ftstab.frontier import frontier_rows
from ftstab.judging.answers import JudgedRole, is_whole
from ftstab.outcome import Outcome
from ftstab.plan import Job, Setting, Trajectory
from ftstab.results import Results
from ftstab.running.dispatch import run_jobs, study_context
from ftstab.running.joblist import JobList
from ftstab.running.kept import is_kept
from ftstab.running.launcher import Event, Launcher
from ftstab.running.restore import restoring
from ftstab.store import Lease
from ftstab.terminal import say, shown
from ftstab.wording.settings import described, trained_words

NOT_KEPT = "its weights aren't kept any more"


@dataclass(frozen=True)
class ToppedUp:
    """What a top-up did.

    Attributes:
        settings: settings whose missing prompts were answered now.
        prompts: prompts answered now.
        before: settings that were topped up earlier.
        left_out: settings that stay as they stopped, each with the reason.
    """

    settings: int
    prompts: int
    before: int
    left_out: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def top_up(
    results: Results,
    role: JudgedRole,
    command: str,
    console: Console,
    retrain: bool = False,
    launcher: Launcher | None = None,
) -> ToppedUp:
    """Have every prompt of a set answered by the settings that stopped being asked it, by the weights measured.

    The outcome of such a setting doesn't change: its rate is what its judge decided from, and goes on showing the
    confidence sequence of the prompts asked by then (measurement rule 10).  Were it replaced by a rate over all
    prompts, a setting's interval would depend on who asked for a second judge, and the decision that stopped it would
    stand beside another number than the one it came from.  So the answers to the whole set are kept apart
    (`ftstab.judging.answers`), for judges that read later: their rates are over a number of prompts that no answer
    decided, which an ordinary interval is right for.  The confirmation half stays unasked.

    Args:
        results: the study.
        role: the set.
        command: the command that the user gave.
        console: where progress goes.
        retrain: train settings again whose weights aren't kept, and use them if they are bit by bit those that were
            measured.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: no stopped setting can be topped up, or it isn't finished; what was answered is kept.
    """
    study, records = results.study, results.records
    stopped = [o for o in results.outcomes if role in o.rates and o.rates[role].stopped]
    wanted = [o for o in stopped if not is_whole(records, o, role)]
    # Weights that aren't those measured answer nothing; reading them all is worth it where they can be replaced.
    kept = {o.setting for o in wanted if o.setting in records.weight_settings(o.trajectory)}
    lost = {o.setting for o in wanted if o.setting not in kept or (retrain and not is_kept(records, o))}
    able = [o for o in wanted if retrain or o.setting not in lost]
    left_out = {} if retrain else dict.fromkeys(sorted(lost), NOT_KEPT)

    if left_out:
        advice = f"train them again with\n  {command} --retrain"
        if len(left_out) == len(stopped):
            raise StudyError(
                f"study {study.study}: the weights of none of the {len(stopped)} settings that stopped early are kept "
                f"any more (keep_weights: {study.keep_weights}), so their {_missing(wanted, role)} missing prompts "
                f"can't be answered; {advice}"
            )
        some = [o for o in wanted if o.setting in left_out]
        say(
            console,
            f"left out: {len(some)} settings ({_missing(some, role)} prompts) whose weights aren't kept any more; "
            f"{advice}",
        )
    if not able:
        before = len(stopped) - len(wanted)
        why = (
            f"{before} settings stopped early and were topped up before"
            if before
            else "no setting stopped early"
        )
        say(console, f"nothing to top up: {why}")
        return ToppedUp(0, 0, len(stopped) - len(wanted), left_out)
    jobs = _jobs(results, role, {o.setting for o in able}, lost)
    updates = sum(t.train_steps for job in jobs if job.restores for t in job.trajectories)
    say(
        console,
        f"top-up: {_missing(able, role)} prompts ({role.replace('_', '-')}) to be answered by {len(able)} settings "
        "that stopped early"
        + (f"; {len(lost)} of them are trained again first, {updates} updates in all" if updates else ""),
    )
    waiting = partial(say, console)
    with Lease(records.store, study.study, say=waiting) as lease, console.status("starting") as status:
        context = study_context(study, results.plan, Path(results.about["base_dir"]), lease, command)
        run = _Run(results, JobList(jobs, lease), able, role, console, status)
        run_jobs(context, run.jobs, run.heard, results.folder, console, launcher)
    still = [o for o in able if not is_whole(records, o, role)]
    for outcome in still:
        fault = run.jobs.faults.get(outcome.setting)
        if fault is None:
            why = run.jobs.lost.get(outcome.setting, "it was stopped")
            raise StudyError(
                f"study {study.study}: the top-up isn't finished: {why}. What was answered is kept; to go on:\n"
                f"  {command}"
            )
        left_out[outcome.setting] = fault
    for reason in dict.fromkeys(left_out[o.setting] for o in still):
        say(console, f"left out: {sum(left_out[o.setting] == reason for o in still)} settings: {reason}")
    if len(left_out) == len(stopped):
        raise StudyError(
            f"study {study.study}: none of the {len(stopped)} settings that stopped early could be topped up: "
            f"{next(iter(left_out.values()))}"
        )
    done = [o for o in able if o not in still]
    return ToppedUp(len(done), _missing(done, role), len(stopped) - len(wanted), left_out)


def _missing(outcomes: Sequence[Outcome], role: JudgedRole) -> int:
    """Prompts that a stop left out."""
    return sum((o.rates[role].planned or 0) - o.rates[role].n for o in outcomes)


def _jobs(results: Results, role: JudgedRole, able: Collection[str], lost: Collection[str]) -> list[Job]:
    """One job for each trajectory with kept weights, and one for each that is trained again."""
    found = []
    for trajectory in results.plan.trajectories:
        kept = tuple(s for s in trajectory.settings if s.key in able and s.key not in lost)
        if kept:
            found.append(Job(replace(trajectory, settings=kept), tops_up=role))

    def again(trajectory: Trajectory, setting: Setting) -> bool:
        return setting.key in able and setting.key in lost

    parts = (restoring(results, job, again) for job in results.plan.jobs)
    return [*found, *(replace(part, tops_up=role) for part in parts if part.settings)]


class _Run:
    """What is told of a top-up while it runs."""

    def __init__(
        self,
        results: Results,
        jobs: JobList,
        able: Sequence[Outcome],
        role: JudgedRole,
        console: Console,
        status: Status,
    ) -> None:
        self.study, self.jobs, self.role, self.console, self.status = (
            results.study,
            jobs,
            role,
            console,
            status,
        )
        self.able = {o.key: o for o in able}
        self.names = {
            row.key: described(row) for row in frontier_rows(able, results.need_start(), results.study)
        }
        self.done: set[str] = set()

    def heard(self, job: Job, event: Event) -> None:
        """What a worker says."""
        self.jobs.heard(job, event)
        name = trained_words(job.trunk, self.study)
        if event.kind == "update":
            self.status.update(shown(f"{name}: trained again, step {event.step}/{event.last}"))
        elif event.kind == "phase":
            self.status.update(shown(f"{name}: {event.message}"))
        elif event.kind == "outcome" and event.outcome in self.able and event.outcome not in self.done:
            self.done.add(event.outcome)
            prompts = _missing([self.able[event.outcome]], self.role)
            which = self.names[event.outcome]
            say(self.console, f"[{len(self.done)}/{len(self.able)}] {which}: {prompts} prompts answered")
