"""Which judge read which answers of a study, and what it said.  Reads the store; texts are never read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ftstab.errors import MisuseError, StudyError, nearest
from ftstab.evaluation.judges import Judge, get_judge, judge_label, known_judges
from ftstab.evaluation.judges.roles import role_judges
from ftstab.evaluation.marking import verdicts_key
from ftstab.judging.answers import JudgedRole, answer_sets, of_other_weights
from ftstab.outcome import Outcome
from ftstab.results import Results
from ftstab.spec import load_judge

Sees = Literal["non_refusal_rate", "harmful_rate"]

HIT: Mapping[JudgedRole, Literal["R", "N"]] = {"harmful": "N", "over_refusal": "R"}
"""The mark that the rate of a role counts."""
START = "start"
"""Group of the start model's answers; those of settings are in the group of their trajectory."""
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Judged:
    """Which judge of which answers is corrected.

    Attributes:
        role: the prompt set.
        judge: judge@version.
        sees: the rate that its verdicts make: what people are asked, too.
    """

    role: JudgedRole
    judge: str
    sees: Sees


def open_judge(name: str) -> Judge:
    """Return the judge called ``name``, or described by the YAML file of that name.

    Raises:
        MisuseError: there is no such judge or file.
        SpecError: the file has faults.
        StudyError: the description can't be met.
    """
    return _open(name, ())


def _open(name: str, own: Sequence[str]) -> Judge:
    """`open_judge`; ``own``: names and labels that the study has for judges of its own."""
    path = Path(name)
    if path.suffix in _YAML:
        if not path.is_file():
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise MisuseError(f"--judge {name}: no such file{nearest(path.name, siblings)}")
        return get_judge(load_judge(name), path.absolute().parent)
    if name not in known_judges():
        known = list(dict.fromkeys([*own, *known_judges()]))
        raise MisuseError(
            f"--judge {name}: unknown{nearest(name, known)}; known: {', '.join(known)}, or a YAML file that "
            "describes one"
        )
    return get_judge(name)


def find_judge(results: Results, role: JudgedRole, name: str) -> Judge:
    """Return the judge ``name``: one of the study's by its name or label, else a known name or a YAML file.

    Raises:
        MisuseError: there is no such judge or file, none of this version, or it sees harm where refusals are counted.
        SpecError: the file has faults.
        StudyError: its description can't be met.
    """
    own = role_judges(results.study.evaluation, Path(results.about["base_dir"]))[role]
    judge = next((j for j in own if name in (j.name, judge_label(j))), None)
    if judge is None:
        known, _, version = (name, "", "") if Path(name).suffix in _YAML else name.partition("@")
        judge = _open(known, [judge_label(j) for j in own if j.name not in known_judges()])
        if version and judge_label(judge) != name:
            raise MisuseError(f"--judge {name}: of another version; known is {judge_label(judge)}")
    if role == "over_refusal" and judge.rate_name != "non_refusal_rate":
        raise MisuseError(
            f"--judge {judge_label(judge)}: judges harm; over-refusal needs a judge of refusals (`--set over_refusal`)"
        )
    return judge


def judged(results: Results, role: JudgedRole, judge: str | None) -> Judged:
    """Return which judge of which answers ``judge`` means.

    Args:
        results: the study.
        role: the prompt set.
        judge: as `find_judge` takes it; None: the judge that the rates are from.

    Raises:
        MisuseError: as `find_judge`.
        SpecError: as `find_judge`.
        StudyError: as `find_judge`, or the study has no such rate.
    """
    rate = results.need_start().rates.get(role)
    if rate is None:
        raise StudyError(f"study {results.study.study}: evaluation.{role} isn't measured")
    if judge is None or judge == rate.judge:
        return Judged(role, rate.judge, "harmful_rate" if rate.name == "harmful_rate" else "non_refusal_rate")
    found = find_judge(results, role, judge)
    return Judged(role, judge_label(found), found.rate_name)


def scored(results: Results) -> list[Outcome]:
    """The start and the settings that have numbers, those of fresh seeds too."""
    start = [results.start] if results.start is not None else []
    return [o for o in (*start, *results.outcomes, *results.fresh) if o.status == "scored"]


@dataclass(frozen=True)
class Reading:
    """What a judge said of the answers of one setting.

    Attributes:
        responses: key of the answers.
        marks: one of R, N, I, U for each, in the order asked.
        whole: whether they are those to every prompt of the set.
    """

    responses: str
    marks: str
    whole: bool


def reading(results: Results, outcome: Outcome, of: Judged) -> Reading | None:
    """Return what the judge said of the most answers of ``outcome`` that it has read; None where it hasn't read any.

    The judge that the rates are from has read what they are from, and no more.
    """
    sets = answer_sets(results.records, outcome, of.role)
    if sets and outcome.rates[of.role].judge == of.judge:
        return Reading(sets[0].key, outcome.marks[of.role], sets[0].whole)
    for given in reversed(sets):
        found = results.records.verdicts(outcome.trajectory, verdicts_key(given.key, of.judge))
        if found is not None and len(found[0]) == given.n and not of_other_weights(found[1], outcome):
            return Reading(given.key, "".join(row["mark"] for row in found[0]), given.whole)
    return None


def why_unread(results: Results, outcome: Outcome, of: Judged) -> str:
    """Say why there is no `reading` of ``outcome``."""
    for given in answer_sets(results.records, outcome, of.role):
        found = results.records.verdicts(outcome.trajectory, verdicts_key(given.key, of.judge))
        if found is not None and of_other_weights(found[1], outcome):
            return (
                f"what {of.judge} said is about answers of other weights: another study of the store has trained its "
                "trajectory again"
            )
    return f"{of.judge} hasn't read its answers"


def group(outcome: Outcome) -> str:
    """The group that an outcome belongs to."""
    return START if outcome.start else outcome.trajectory
