"""`ftstab report`: gathers what the page needs and writes it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ftstab import __version__
from ftstab.arms.comparison import ArmsComparison, compare_arms
from ftstab.cli.command_line import REPORT
from ftstab.constraints import pick_limit
from ftstab.demonstrations import undemonstrated
from ftstab.errors import StudyError
from ftstab.fresh_rows import fresh_recipes
from ftstab.frontier import frontier_rows, start_row
from ftstab.judging.study import correction
from ftstab.looks import look_words, looks
from ftstab.report.figures import Named
from ftstab.report.page import write_report
from ftstab.results import Results
from ftstab.running.remarks import sample_remarks
from ftstab.scorable import none_read_text
from ftstab.selection import Status, select
from ftstab.stability import stability_of
from ftstab.terminal import say
from ftstab.unfinished import unfinished
from ftstab.wording.caveats import start_text, unrefused_text
from ftstab.wording.limits import no_candidate_text
from ftstab.wording.numbers import percent

_CALLED: dict[Status, str] = {
    "picked": "picked",
    "candidate": "candidate, not yet confirmed",
    "not confirmed": "candidate, not upheld by the confirmation half",
}


def make_report(results: Results, path: Path, command: str) -> Path:
    """Write the report of ``results`` to ``path`` and return it.

    Raises:
        StudyError: there is no outcome yet, or ``path`` can't be written.
    """
    start, study = results.need_start(), results.study
    missing = unfinished(results)
    if not results.outcomes:
        why = "".join(f"\n  - {t.line}" for t in missing.failed)
        raise StudyError(
            f"study {study.study}: no setting is finished yet, so there is nothing to report{why}"
        )
    rows = frontier_rows(results.outcomes, start, study)
    # What is said of settings that stopped early stands beside the figures.
    first = start_row(start, study)
    told = (start_text(first, study), none_read_text(rows), unrefused_text(rows, first))
    statements = [text for text in told if text is not None]
    asked_of = {role: rate.n for role, rate in start.rates.items()}
    if start.utility is not None:
        asked_of["utility"] = start.utility.n
    statements += sample_remarks(study, asked_of)
    limit, looked = pick_limit(study), looks(results.records, study.study)
    able = any(row.has_numbers for row in rows)
    chosen = None
    if limit is not None and able:
        chosen = select(results, limit)
        statements += filter(None, (chosen.text, chosen.advice))
        errors = chosen.correction
    elif able and (asked := [look for look in looked if look.kind == "pick" and look.result]):
        # The study file sets no limit, but somebody has confirmed one.
        chosen = select(results, asked[-1].question.limit)
        statements.append(
            f"The study file sets no limit; {percent(asked[-1].question.limit)} is that of look {asked[-1].number}, "
            f"{asked[-1].about['when']}."
        )
        statements += filter(None, (chosen.text, chosen.advice))
        errors = chosen.correction
    else:
        errors = correction(results)
        if able:
            statements.append(no_candidate_text(start.rates["harmful"]))
    ran = results.about.get("command", "")
    commands = {"Study run with": ran, "Report written with": command}
    made_with = {"ftstab": __version__} | ({"Run with": command} if command == ran else commands)
    if looked:
        made_with["Looks at the confirmation half"] = "; ".join(map(look_words, looked))
    path = path.absolute()
    signals = results.signals()
    parts = (
        undemonstrated(study, Path(results.about["base_dir"]), start.rates["harmful"].by_category),
        errors,
        _arms(results),
        stability_of(study, results.plan, results.outcomes, start, signals),
        results.searched(rows),
        missing,
        fresh_recipes(rows, results.outcomes, results.fresh, start, study),
        None if chosen is None or chosen.row is None else Named(chosen.row.key, _CALLED[chosen.status]),
    )
    try:
        write_report(rows, results.outcomes, start, study, signals, path, statements, made_with, *parts)
    except OSError as error:
        raise StudyError(
            f"{path}: the report can't be written there: {error.strerror or error}. Make room or give the right to "
            "write there, or name another file with `ftstab report ... --out FILE`"
        ) from None
    return path


def renew_report(results: Results, command: str, console: Console) -> None:
    """Write the report in the study's folder again, where there is one: what was confirmed since would be missing in
    it."""
    path = results.folder / REPORT
    if path.exists():
        make_report(results, path, command)
        say(console, f"report written again: {path}")


def _arms(results: Results) -> ArmsComparison | str | None:
    """The study's arms, the first against the others, or why they aren't compared; None while there is nothing to
    compare."""
    arms = list(results.study.arms)
    if len(arms) < 2 or results.plan.open_jobs:
        return None
    try:
        return compare_arms(results, arms, strict=False)
    except StudyError as error:
        return str(error)
