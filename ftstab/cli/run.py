"""`ftstab run`: what is said of a study once its settings are measured, and the recipe of its candidate."""

from __future__ import annotations

import shlex

from rich.console import Console

from ftstab.card import write_recipe
from ftstab.cli.command_line import REPORT, say
from ftstab.cli.frontier import print_frontier
from ftstab.cli.report import make_report
from ftstab.errors import FtstabError
from ftstab.results import Results
from ftstab.running.driver import Finished
from ftstab.selection import select


def print_finished(console: Console, done: Finished, study: str, command: str) -> None:
    """Print the frontier, write the report, and name the candidate.

    Args:
        console: where it is said.
        done: how the run ended.
        study: the study as it was given.
        command: the command line, for the report.

    Raises:
        FtstabError: some trajectories couldn't finish.
    """
    if done.results.start is not None and done.results.outcomes:
        print_frontier(console, done.results, whole=False)
        path = make_report(done.results, done.results.folder / REPORT, command)
        say(console, f"report: {path}")
        _print_candidate(console, done.results)
    if done.tracking_lost:
        say(
            console,
            f"MLflow or Optuna lack a part; when they answer again: ftstab sync {shlex.quote(study)}",
        )
    if done.failures:
        raise FtstabError(
            f"{len(done.failures)} trajectories couldn't finish; the same command tries them again:\n"
            + "\n".join(f"  - {key[:6]}: {why}" for key, why in done.failures.items())
        )


def _print_candidate(console: Console, results: Results) -> None:
    """Where the study file sets a limit on harm, say what keeps it and write its recipe."""
    limit = results.study.constraints.get("harmful_response")
    if limit is None or limit.max is None or all(o.status != "scored" for o in results.outcomes):
        return
    chosen = select(results, limit.max)
    for text in filter(None, (chosen.text, chosen.advice)):
        say(console, text)
    if chosen.row is not None:
        # Named for what it is, so that nobody takes a candidate for what was picked.
        name = "recipe" if chosen.picked else "candidate"
        path = write_recipe(results, chosen, results.folder / f"{name}.yaml")
        say(console, f"recipe: {path}")
