"""Bringing back weights that aren't kept any more: the settings are trained again, and measured nothing anew.

Only weights that are bit by bit those that were measured are kept.  Holds the study's lease and writes weights,
attempts and signals by way of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ftstab.pick import Pick
from ftstab.plan import Job, Setting, Trajectory, part_of
from ftstab.recipes import by_recipe, recipe_of
from ftstab.results import OVER, Results
from ftstab.running.dispatch import run_jobs, study_context
from ftstab.running.joblist import JobList
from ftstab.running.kept import is_kept
from ftstab.running.launcher import Event, Launcher
from ftstab.selection import search_pick
from ftstab.store import Lease
from ftstab.terminal import say, shown
from ftstab.wording.settings import trained_words


def restore(
    results: Results, limit: float, command: str, console: Console, launcher: Launcher | None = None
) -> dict[str, str]:
    """Train again the candidates under ``limit``, and fresh seeds of their recipes, whose weights aren't kept.

    Args:
        results: the study.
        limit: largest rate allowed, a share.
        command: the command that the user gave.
        console: where progress goes.
        launcher: None takes the one that the study file names.

    Returns:
        Why a setting couldn't be trained again as it was, by its key; such settings stay without weights.
    """
    return restore_settings(results, _lost(results, search_pick(results, limit)), command, console, launcher)


def restore_settings(
    results: Results,
    lost: Collection[str],
    command: str,
    console: Console,
    launcher: Launcher | None = None,
) -> dict[str, str]:
    """Train the settings ``lost`` again and keep their weights; arguments and result as of `restore`."""
    study, records = results.study, results.records

    def is_lost(trajectory: Trajectory, setting: Setting) -> bool:
        return setting.key in lost

    every = (*results.plan.jobs, *results.fresh_plan.jobs)
    jobs = [again for j in every if (again := restoring(results, j, is_lost)).settings]
    if not jobs:
        return {}
    waiting = partial(say, console)
    with Lease(records.store, study.study, say=waiting) as lease, console.status("training again") as status:
        context = study_context(study, results.plan, Path(results.about["base_dir"]), lease, command)
        source = JobList(jobs, lease)

        def heard(job: Job, event: Event) -> None:
            source.heard(job, event)
            if event.kind == "update":
                name = trained_words(job.trunk, study)
                status.update(shown(f"training again: {name}: step {event.step}/{event.last}"))

        run_jobs(context, source, heard, results.folder, console, launcher)
    failures = source.lost | source.faults
    for why in dict.fromkeys(failures.values()):
        say(console, why)
    return failures


def restoring(results: Results, job: Job, keep: Callable[[Trajectory, Setting], bool]) -> Job:
    """Return a job that trains the settings of ``job`` again that ``keep`` says."""
    known = {outcome.setting for outcome in (*results.outcomes, *results.fresh)}
    searches = results.study.search.method != "grid" and results.about.get(OVER) is None
    unfinished = searches or any(setting.key not in known for setting in job.settings)
    return replace(part_of(job, keep), restores=True, unfinished=unfinished)


def _lost(results: Results, found: Pick) -> set[str]:
    """Settings that a confirmation would ask and whose weights aren't there, or aren't those that were measured;
    interpolation 0 is the start model."""
    order = {row.setting for row in found.order}
    candidates = [o for o in results.outcomes if o.setting in order]
    recipes = by_recipe(results.fresh, results.study.seeds.search)
    fresh = [o for key in {recipe_of(o) for o in candidates} & set(recipes) for o in recipes[key].scored]
    return {
        o.setting for o in [*candidates, *fresh] if o.interpolation != 0 and not is_kept(results.records, o)
    }
