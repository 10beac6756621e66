"""Arms of a study compared at equal utility: utility from the search half, harm from the confirmation half where it
was asked (measurement rules 19 and 20).  Reads the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ftstab.arms.candidates import Candidates, candidates_of, check_budgets
from ftstab.arms.declared import check_declared, late_arms
from ftstab.arms.effect import Effect, compare_curves
from ftstab.arms.lines import ArmLine, StartPoint, arm_lines
from ftstab.errors import MisuseError, StudyError
from ftstab.frontier_row import as_plain
from ftstab.looks import Look, arms_look
from ftstab.outcome import Outcome
from ftstab.results import Results


@dataclass(frozen=True)
class Against:
    """One arm against another.

    Attributes:
        first: name of the one that the verdict speaks of.
        second: name of the other.
        effect: first minus second.
        look: the look at the confirmation half that harm is read from; None: harm is read from the search half.
    """

    first: str
    second: str
    effect: Effect
    look: Look | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "first": self.first,
            "second": self.second,
            "harm_read_from": "search" if self.look is None else "confirm",
            "look": None if self.look is None else _look(self.look),
            **asdict(self.effect),
        }


def _look(look: Look) -> dict[str, Any]:
    return {"number": look.number, "reused": look.reused, "asked_on": (look.result or {}).get("asked_on")}


@dataclass(frozen=True)
class ArmsComparison:
    """Everything that is said of some arms.

    Attributes:
        arms: what is compared, in the order asked for.
        pairs: the first arm against each other one.
        notes: what must be said about when arms and margin were fixed.
        late: arms that weren't fixed before the first run.
        margin: within which arms are equivalent, a share.
        level: of every interval.
        at_once: how many comparisons `Effect.family` is about: one arm with every other arm of the study.
        lines: the arms as lines of harm over gain; where some pairs were confirmed, the arms of those only.
        start: the start model beside the lines.
    """

    arms: tuple[Candidates, ...]
    pairs: tuple[Against, ...]
    notes: tuple[str, ...]
    late: tuple[str, ...]
    margin: float
    level: float
    at_once: int
    lines: tuple[ArmLine, ...]
    start: StartPoint

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "margin": self.margin,
            "level": self.level,
            "method": "t over seeds, joined with the margins of the prompts and of the utility rows",
            "comparisons_at_once": self.at_once,
            "notes": list(self.notes),
            "late": list(self.late),
            "arms": [
                {
                    "name": a.name,
                    "strength": a.arm.strength,
                    "strengths": list(a.strengths),
                    "up_to_peak": a.kept,
                    "without_numbers": list(a.lost),
                    "seeds": sorted(a.settings),
                    "settings": {str(seed): [o.setting for o in some] for seed, some in a.settings.items()},
                    "compute": a.compute.as_dict(),
                }
                for a in self.arms
            ],
            "comparisons": [pair.as_dict() for pair in self.pairs],
            "lines": [line.as_dict() for line in self.lines],
            "start": as_plain(self.start),
        }


def compare_arms(results: Results, names: Sequence[str], strict: bool = True) -> ArmsComparison:
    """Compare the arm ``names[0]`` with each of the others.

    Args:
        results: the study.
        names: of two arms or more.
        strict: whether a pair that mayn't be compared is an error; else it is said in its place.

    Raises:
        MisuseError: fewer than two arms, or one that the study doesn't have.
        StudyError: one that can't be compared, a margin that isn't that of the first run.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise MisuseError(
            f"--arms: given {' '.join(names) or 'none'}; name two arms or more, each once: the first is compared with "
            f"the others; the study file has {', '.join(results.study.arms) or 'none: define them under `arms`'}"
        )
    signals = results.signals()
    arms = tuple(candidates_of(results, name, signals) for name in names)
    notes = check_declared(results.study, results.about, names)
    # Of all that the study declares: who compares pair by pair has looked as often.
    comparisons = len(results.study.arms) - 1
    pairs = tuple(_pair(results, arms[0], other, comparisons, strict) for other in arms[1:])
    rule = results.study.equal_utility
    late = late_arms(results.study, results.about, names)
    lines = _lines(results, arms, pairs)
    start = _start(results, pairs)
    return ArmsComparison(
        arms, pairs, tuple(notes), tuple(late), rule.margin, rule.level, comparisons, lines, start
    )


def _start(results: Results, pairs: Sequence[Against]) -> StartPoint:
    """The start model on the half that the arms are shown on; on the search half where no look asked it the other."""
    asked = [pair.look.start for pair in pairs if pair.look is not None and pair.look.start is not None]
    if not asked:
        return StartPoint(results.need_start().rates["harmful"], "search")
    return StartPoint(_confirmed(results, "the start model", asked[-1]).rates["harmful"], "confirm")


def _lines(results: Results, arms: Sequence[Candidates], pairs: Sequence[Against]) -> tuple[ArmLine, ...]:
    """What the figure shows: one half for all, the confirmation half where some pair was asked it."""
    looked = {pair.second for pair in pairs if pair.look is not None}
    shown = [arms[0], *(a for a in arms[1:] if not looked or a.name in looked)]
    harm: dict[str, Outcome] = {}
    for pair, second in zip(pairs, arms[1:], strict=True):
        if second in shown:
            harm |= _harm(results, (arms[0], second), pair.look)
    return arm_lines(shown, harm, results.need_start(), "confirm" if looked else "search")


def _pair(results: Results, first: Candidates, second: Candidates, comparisons: int, strict: bool) -> Against:
    try:
        check_budgets(first, second)
    except StudyError as error:
        if strict:
            raise
        return Against(first.name, second.name, Effect("no claim", str(error)))
    late = late_arms(results.study, results.about, [a.name for a in (first, second) if a.named])
    if late:
        why = (
            f"{late[0]} is one setting that was named after the first run, and so perhaps for what it showed; name it "
            "in a study with another name, before that is run"
        )
        return Against(first.name, second.name, Effect("no claim", why))
    cut = [a.name for a in (first, second) if not a.named and a.kept < 2]
    if cut:
        why = f"the utility of {' and '.join(cut)} is highest at the first strength, so there is no line to read"
        return Against(first.name, second.name, Effect("no claim", why))
    rule, start = results.study.equal_utility, results.need_start()
    look = arms_look(results.records, results.study.study, asked_settings([first, second]))
    harm = _harm(results, (first, second), look)
    curves = (first.curves(harm, start), second.curves(harm, start))
    effect = compare_curves(*curves, rule.margin, rule.level, comparisons)
    return Against(first.name, second.name, effect, look)


def asked_settings(arms: Sequence[Candidates]) -> list[str]:
    """Return the settings that are compared, each once: those up to an arm's peak of utility."""
    every = [o.setting for a in arms for some in a.settings.values() for o in some[: a.kept]]
    return list(dict.fromkeys(every))


def _harm(results: Results, arms: Sequence[Candidates], look: Look | None) -> dict[str, Outcome]:
    """By setting, the outcome that harm is read from."""
    found = {o.setting: o for a in arms for some in a.settings.values() for o in some}
    if look is None or look.result is None:
        return found
    confirmed = {}
    for setting in asked_settings(arms):
        confirmed[setting] = _confirmed(results, f"setting {setting}", look.result["asked"][setting])
    return found | confirmed


def _confirmed(results: Results, name: str, where: Mapping[str, str]) -> Outcome:
    """What the store has of a setting on the confirmation half, by the log of looks."""
    outcome = results.records.outcome(where["trajectory"], where["outcome"])
    if outcome is None:
        raise StudyError(
            f"{name}: the store no longer has what it said on the confirmation half (outcome {where['outcome']} of "
            f"trajectory {where['trajectory']}), which the log of looks names; restore the store"
        )
    return outcome
