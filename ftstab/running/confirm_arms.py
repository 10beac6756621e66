"""Asking the confirmation half of every setting that a comparison of arms reads, and of the start model (measurement
rules 11 and 20).

Nothing is chosen by it, so all settings are asked, side by side, once the start model is, whose answers those of a win
rate are compared with.  The look is logged before the first prompt; workers store what they are told
(`ftstab.running.confirming`).  Holds the study's lease and writes the log of looks.
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
from ftstab.errors import FtstabError, StudyError
from ftstab.looks import ArmsQuestion, Look, arms_look, asked_on, begin, finish
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
    """Ask the start model and the settings of the arms ``names`` the confirmation half, or go on with it, or find it in
    the log.  A look that left out the start model (stores of before it was asked) is followed by one of the same
    question that asks it, where it still can be.

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
        if known is not None and known.start is not None:
            return known
        try:
            with console.status("reading the confirmation half"):
                half = read_half(results, Path(results.about["base_dir"]))
        except FtstabError as error:
            if known is None:
                raise
            # What the arms said is in the log, whatever has become of the files since.
            say(console, f"the start model isn't asked, and stands on the search half: {error}")
            return known
        found, start = {o.setting: o for o in results.outcomes}, results.need_start()
        defined = {name: study.arms[name].model_dump() for name in names}
        asked = ArmsQuestion(
            results.identities.evaluation, defined, study.equal_utility.margin, tuple(wanted)
        )
        if known is not None and set(known.arms_question.order) <= set(found):
            # By its own question, which may be about more arms: another one would read reused.
            asked = known.arms_question
            wanted = list(asked.order)
        _check_kept(results, half, [found[s] for s in wanted])
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
        first = None if half.is_asked(start) else replace(results.plan.start_job, confirms=start.key)
        source = JobList([_job(results, found[s]) for s in open_], lease, first)
        done = len(wanted) - len(open_)
        with console.status("starting") as status:

            def heard(job: Job, event: Event) -> None:
                nonlocal done
                source.heard(job, event)
                done += event.kind == "outcome" and job != first
                if event.kind == "phase" and event.message:
                    status.update(shown(f"{done} of {len(wanted)} settings asked: {event.message}"))

            if open_ or first is not None:
                run_jobs(context, source, heard, results.folder, console, launcher)
        if not half.is_asked(start):
            raise _unfinished(results, source, start.setting, "the start model isn't asked", command)
        lacking = [s for s in wanted if not half.is_asked(found[s])]
        if lacking:
            what = f"{len(lacking)} of {len(wanted)} settings aren't asked"
            raise _unfinished(results, source, lacking[0], what, command)

        def where(one: Outcome) -> dict[str, str]:
            return {"trajectory": one.trajectory, "outcome": half.questions.outcome_key(one.setting)}

        asked_of = {s: where(found[s]) for s in wanted}
        told = [half.outcome(one) for one in (start, *(found[s] for s in wanted))]
        by = asked_on([o for o in told if o is not None])
        return finish(records, look, {"start": where(start), "asked": asked_of, "asked_on": by})


def _unfinished(results: Results, source: JobList, setting: str, what: str, command: str) -> StudyError:
    """The error of a confirmation that came to an end too soon; ``setting`` is one that it lacks."""
    why = {**source.lost, **source.faults}.get(setting, "it was stopped")
    return StudyError(
        f"study {results.study.study}: the confirmation isn't finished: {what}: {why}. What was asked is kept; to go "
        f"on:\n  {command}"
    )


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
