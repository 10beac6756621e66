"""Asking the confirmation half of every setting that a comparison of arms reads (measurement rules 11 and 20).

Nothing is chosen by it, so all settings are asked, side by side.  The look is logged before the first prompt; workers
store what they are told (`ftstab.running.confirming`).  Holds the study's lease and writes the log of looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ftstab.arms.candidates import candidates_of, check_budgets
from ftstab.arms.comparison import asked_settings
from ftstab.arms.declared import check_declared
from ftstab.errors import StudyError
from ftstab.looks import ArmsQuestion, Look, arms_look, begin, finish
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.results import Results
from ftstab.running.confirm import who
from ftstab.running.confirm_half import Half, read_half
from ftstab.running.dispatch import run_jobs, study_context
from ftstab.running.joblist import JobList
from ftstab.running.kept import is_kept
from ftstab.running.launcher import Event, Launcher
from ftstab.running.restore import restore_settings
from ftstab.store import Lease
from ftstab.terminal import say, shown


def confirm_arms(
    results: Results, names: Sequence[str], command: str, console: Console, launcher: Launcher | None = None
) -> Look:
    """Ask the settings of the arms ``names`` the confirmation half, or go on with it, or find it in the log.

    Args:
        results: the study.
        names: of the arms; the first is compared with the others.
        command: the command that the user gave.
        console: where progress goes.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: the arms can't be compared, weights aren't kept, or a worker couldn't finish; what was asked is
            kept.
    """
    study, records = results.study, results.records
    signals = results.signals()
    arms = [candidates_of(results, name, signals) for name in names]
    for other in arms[1:]:
        check_budgets(arms[0], other)
    check_declared(study, results.about, names)
    wanted = asked_settings(arms)
    with Lease(records.store, study.study, say=partial(say, console)) as lease:
        known = arms_look(records, study.study, wanted)
        if known is not None:
            return known
        with console.status("reading the confirmation half"):
            half = read_half(results, Path(results.about["base_dir"]))
        found = {o.setting: o for o in results.outcomes}
        _check_kept(results, half, [found[s] for s in wanted])
        defined = {name: study.arms[name].model_dump() for name in names}
        asked = ArmsQuestion(
            results.identities.evaluation, defined, study.equal_utility.margin, tuple(wanted)
        )
        look = begin(
            records,
            study.study,
            "arms",
            asked.key,
            asked,
            half.prompts,
            {},
            who(),
            command,
            judges=half.judges,
        )
        context = study_context(study, results.plan, Path(results.about["base_dir"]), lease, command)
        open_ = [s for s in wanted if not half.is_asked(found[s])]
        source = JobList([_job(results, found[s]) for s in open_], lease)
        done = len(wanted) - len(open_)
        with console.status("starting") as status:

            def heard(job: Job, event: Event) -> None:
                nonlocal done
                source.heard(job, event)
                done += event.kind == "outcome"
                if event.kind == "phase" and event.message:
                    status.update(shown(f"{done} of {len(wanted)} settings asked: {event.message}"))

            if open_:
                run_jobs(context, source, heard, results.folder, console, launcher)
        lacking = [s for s in wanted if not half.is_asked(found[s])]
        if lacking:
            why = {**source.lost, **source.faults}.get(lacking[0], "it was stopped")
            raise StudyError(
                f"study {study.study}: the confirmation isn't finished: {len(lacking)} of {len(wanted)} settings "
                f"aren't asked: {why}. What was asked is kept; to go on:\n  {command}"
            )
        keys = {
            s: {"trajectory": found[s].trajectory, "outcome": half.questions.outcome_key(s)} for s in wanted
        }
        return finish(records, look, {"asked": keys})


def _job(results: Results, found: Outcome) -> Job:
    trajectory, one = next(
        (t, s) for t in results.plan.trajectories for s in t.settings if s.key == found.setting
    )
    return Job(replace(trajectory, settings=(one,)), confirms=found.key)


def retrain_arms(results: Results, names: Sequence[str], command: str, console: Console) -> None:
    """Train those settings of the arms ``names`` again whose weights aren't kept any more."""
    signals = results.signals()
    wanted = set(asked_settings([candidates_of(results, name, signals) for name in names]))
    lost = {o.setting for o in results.outcomes if o.setting in wanted and _is_lost(results, o)}
    restore_settings(results, lost, command, console)


def _is_lost(results: Results, found: Outcome) -> bool:
    """Whether the weights of a setting aren't there, or aren't those that were measured; interpolation 0 is the start
    model."""
    return found.interpolation != 0 and not is_kept(results.records, found)


def _check_kept(results: Results, half: Half, outcomes: Sequence[Outcome]) -> None:
    """Refuse to begin with settings that can't be asked: the rest would use up the half for nothing.

    Raises:
        StudyError: weights aren't kept.
    """
    lost = [o for o in outcomes if _is_lost(results, o) and not half.is_asked(o)]
    if lost:
        raise StudyError(
            f"study {results.study.study}: the weights of {len(lost)} of {len(outcomes)} settings aren't kept "
            f"(keep_weights: {results.study.keep_weights}), and every setting of an arm must be asked; add --retrain "
            "to train them again, and give studies of arms `keep_weights: all`"
        )
