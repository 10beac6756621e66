"""`ftstab validate`: everything that can be wrong with a study file and the files it names.  Loads no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftstab.data.rows import RowSet, read_rows
from ftstab.data.split import split_sets
from ftstab.data.training import check_mix
from ftstab.errors import FtstabError
from ftstab.evaluation.judges import get_judge
from ftstab.evaluation.judges.roles import role_judges
from ftstab.evaluation.questions import read_tasks
from ftstab.models.source import identify
from ftstab.spec import Source, Study
from ftstab.stopping import stopping_rule
from ftstab.training.posthoc import check_posthoc


def faults(study: Study, base_dir: Path) -> list[str]:
    """Return what is wrong, a line each, with the place in the study file."""
    found: list[str] = []

    def attempt(where: str, check: Callable[[], object]) -> None:
        try:
            check()
        except FtstabError as error:
            text = str(error)
            found.append(text if text.startswith(where) else f"{where}: {text}")

    evaluation = study.evaluation
    attempt("stopping", lambda: stopping_rule(study))
    attempt("posthoc", lambda: check_posthoc(study))
    attempt("base.model", lambda: identify(study.base, base_dir))
    judged = {"harmful": evaluation.harmful, "over_refusal": evaluation.over_refusal}
    for role, benchmark in judged.items():
        for spec in benchmark.judges if benchmark else []:
            attempt(f"evaluation.{role}.judges", lambda spec=spec: get_judge(spec, base_dir))  # type: ignore[misc]
    if not any(fault.startswith("evaluation.") for fault in found):
        attempt("evaluation", lambda: role_judges(evaluation, base_dir))
    sets: dict[str, RowSet] = {}
    asked = _asked(study, base_dir)
    for where, reader in asked.items():

        def read(where: str = where, reader: Callable[[], RowSet] = reader) -> None:
            sets[where] = reader()

        attempt(where, read)
    judged_sets = {where: sets[where] for where in sets if where.endswith(".benchmark")}
    if "data.mix" in sets:
        attempt("data.mix", lambda: check_mix(sets["data.mix"], judged_sets))
    split = evaluation.split
    split_up = {where: sets[where] for where in asked if where in sets and where.startswith("evaluation.")}
    if len(split_up) == sum(where.startswith("evaluation.") for where in asked):
        attempt("evaluation.split", lambda: split_sets(split_up, split.search, split.confirm, split.seed))
    return found


def _asked(study: Study, base_dir: Path) -> dict[str, Callable[[], RowSet]]:
    """What reads each source of rows, by the source's place in the file."""

    def reader(source: Source, needs_response: bool) -> Callable[[], RowSet]:
        return lambda: read_rows(source, base_dir, needs_response)

    evaluation, align = study.evaluation, study.base.align
    found = {
        "data.train": reader(study.data.train, True),
        **({} if study.data.mix is None else {"data.mix": reader(study.data.mix, True)}),
        "evaluation.harmful.benchmark": reader(evaluation.harmful.benchmark, False),
        f"evaluation.utility.{'data' if evaluation.utility.task is None else 'task'}": lambda: read_tasks(
            evaluation.utility, base_dir
        ),
    }
    if evaluation.over_refusal is not None:
        found["evaluation.over_refusal.benchmark"] = reader(evaluation.over_refusal.benchmark, False)
    if evaluation.utility.held_out is not None:
        found["evaluation.utility.held_out"] = reader(evaluation.utility.held_out, True)
    if align is not None:
        names = ("data", "ordinary", "lookalikes")
        found |= {f"base.align.{n}": reader(getattr(align, n), True) for n in names}
    return found
