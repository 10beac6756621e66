"""The corrected rates of a study: its outcomes and the labels of its answers, brought together.  Reads the store."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from ftstab.evaluation.rates import RateName, rate
from ftstab.judging.agreement import Estimate, kappa
from ftstab.judging.answers import JudgedRole
from ftstab.judging.correction import (
    AVERAGE_METHOD,
    ERRORS_METHOD,
    Alike,
    Corrected,
    JudgeErrors,
    Labelled,
    corrected,
    errs_alike,
    judge_errors,
    too_few,
)
from ftstab.judging.judged import HIT, Judged, Reading, judged, reading, scored, why_unread
from ftstab.judging.labelled import WORDS
from ftstab.judging.labels import UNDECIDED, Drawn, Sample, labels, samples
from ftstab.outcome import Counts, Outcome
from ftstab.results import Results

Said = Mapping[str, Mapping[str, str]]
"""Label by person, by unit."""
_LEVEL = 0.05


@dataclass(frozen=True)
class Correction:
    """What labels say of one judge on one prompt set of a study.

    Attributes:
        of: the judge and the prompt set.
        labellers: people by name, with the number of answers that each has labelled.
        drawn: answers drawn, equal ones counted as often as they were drawn.
        labelled: how many of them have a decided label.
        different: how many different answers these are.
        undecided: how many people call incoherent, or can't tell.
        people: kappa of the two who labelled most; None with one labeller.
        errors: the judge's errors; None where labels are too few.
        alike: tests of whether it errs alike across groups.
        refused: why no rate is corrected, if none is.
        rates: by key of the outcome.
        left_out: why an outcome isn't corrected, by its key.
    """

    of: Judged
    labellers: Mapping[str, int]
    drawn: int
    labelled: int
    different: int
    undecided: int
    people: Estimate | None
    errors: JudgeErrors | None
    alike: tuple[Alike, ...]
    refused: str | None
    rates: Mapping[str, Corrected]
    left_out: Mapping[str, str]

    @property
    def words(self) -> str:
        """How many people labelled."""
        n = len(self.labellers)
        return "nobody" if n == 0 else "one labeller" if n == 1 else f"{n} labellers"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        errors = self.errors
        measured = {"n": sum(errors.labels) if errors else 0, "interval": ERRORS_METHOD}
        return {
            "role": self.of.role,
            "judge": self.of.judge,
            "sees": self.of.sees,
            "labellers": dict(self.labellers),
            "labelled_by": self.words,
            "drawn": self.drawn,
            "labelled": self.labelled,
            "different": self.different,
            "undecided": self.undecided,
            "labels_by_verdict": None
            if errors is None
            else {"miss": errors.labels[0], "hit": errors.labels[1]},
            "agreement_of_people": None if self.people is None else asdict(self.people),
            "sensitivity": None if errors is None else asdict(errors.sensitivity) | measured,
            "specificity": None if errors is None else asdict(errors.specificity) | measured,
            "average": None
            if errors is None
            else asdict(errors.average) | measured | {"interval": AVERAGE_METHOD},
            "errs_alike": [test.as_dict() for test in self.alike],
            "refused": self.refused,
            "rates": {key: rate.as_dict() for key, rate in self.rates.items()},
            "left_out": dict(self.left_out),
        }


def correction(results: Results, role: JudgedRole = "harmful", judge: str | None = None) -> Correction | None:
    """Correct the rates of a study by the labels of its answers; None where no answer was ever drawn.

    Only labels count that were given to answers drawn for this judge, of the same thing that it sees
    (measurement rule 15).

    Args:
        results: the study.
        role: the prompt set.
        judge: name or name@version; None: the judge that the rates are from.

    Raises:
        StudyError: the study has no such rate, or no such judge is known.
    """
    of = judged(results, role, judge)
    drawn = samples(results, of)
    if not drawn:
        return None
    said = labels(results, of)
    read = {o.key: found for o in scored(results) if (found := reading(results, o, of)) is not None}
    expected = {o.setting: _expected(o, read[o.key], drawn, said) for o in scored(results) if o.key in read}
    covered = {o.setting: o for o in scored(results) if expected.get(o.setting)}
    rows = [
        row
        for sample in drawn
        for row in sample.rows
        # Answers that the judge read before the rest of the set was topped up are of another frame.
        if row.setting in covered and row.responses == read[covered[row.setting].key].responses
    ]
    decided = _decided(rows, expected, said, of)
    raws = {o.key: _raw(results, o, read[o.key].marks, of) for o in covered.values()}
    errors, refused = None, too_few([one for _, one in decided])
    if refused is None:
        hits, misses = sum(c.hits for c in raws.values()), sum(c.misses for c in raws.values())
        errors = judge_errors([one for _, one in decided], hits / (hits + misses))
        refused = errors.refused
    alike = _alike(decided, raws, covered)
    if refused is None and _differ(alike):
        refused = (
            f"{of.judge} errs differently across groups of settings, so no single setting can be corrected by the "
            "errors of all; the rate of all settings together holds"
        )
    rates: dict[str, Corrected] = {}
    left_out: dict[str, str] = {}
    for outcome in scored(results):
        if outcome.key not in read:
            left_out[outcome.key] = why_unread(results, outcome, of)
        elif outcome.setting not in covered:
            left_out[outcome.key] = "no labelled sample holds its answers; label more with a larger --n"
        elif not read[outcome.key].whole:
            left_out[outcome.key] = "stopped early: not a fixed number of prompts"
        elif errors is not None and refused is None:
            rates[outcome.key] = corrected(raws[outcome.key], errors)
    people = Counter(name for unit in {r.unit for r in rows} for name in said.get(unit, {}))
    return Correction(
        of=of,
        labellers=dict(sorted(people.items())),
        drawn=len(rows),
        labelled=len(decided),
        different=len({row.unit for row, _ in decided}),
        undecided=sum(r.unit in said for r in rows) - len(decided),
        people=_people(said, people, of),
        errors=errors,
        alike=alike,
        refused=refused,
        rates=rates,
        left_out=left_out,
    )


def corrected_rates(results: Results, role: JudgedRole = "harmful") -> dict[str, Corrected]:
    """Corrected rates by key of the outcome; empty without labels, or where correcting is refused."""
    found = correction(results, role)
    return {} if found is None else dict(found.rates)


def _expected(outcome: Outcome, read: Reading, drawn: Sequence[Sample], said: Said) -> dict[str, float]:
    """How often an answer of ``outcome`` was expected to be drawn and labelled, by mark; empty if never.

    Answers are labelled in a random order, so those labelled so far are a sample themselves.
    """
    found: dict[str, float] = {}
    for sample in drawn:
        if sample.responses.get(outcome.setting) != read.responses:
            continue
        done = Counter(row.mark for row in sample.rows if row.unit in said)
        for mark, count in sample.frame.items():
            if done[mark]:
                found[mark] = found.get(mark, 0.0) + done[mark] / count
    return found


def _decided(
    rows: Sequence[Drawn], expected: Mapping[str, Mapping[str, float]], said: Said, of: Judged
) -> list[tuple[Drawn, Labelled]]:
    """The drawn answers that people decided on, with what they say: the share of them who say hit."""
    positive, negative = WORDS[of.sees]
    word = positive if HIT[of.role] == "N" else negative
    found = []
    for row in rows:
        given = [label for label in said.get(row.unit, {}).values() if label not in UNDECIDED]
        if given:
            truth = given.count(word) / len(given)
            weight = expected[row.setting][row.mark]
            found.append((row, Labelled(row.unit, row.group, row.mark == HIT[of.role], weight, truth)))
    return found


def _raw(results: Results, outcome: Outcome, letters: str, of: Judged) -> Counts:
    """The uncorrected counts: as published, or of a judge that read the answers later."""
    published = outcome.rates[of.role]
    if published.judge == of.judge:
        return published
    name: RateName = "over_refusal_rate" if of.role == "over_refusal" else of.sees
    return rate(
        name,
        of.judge,
        published.benchmark,
        letters,
        HIT[of.role],
        [None] * len(letters),
        results.study.evaluation.interval,
    )


def _people(said: Said, people: Mapping[str, int], of: Judged) -> Estimate | None:
    """Agreement of the two people who labelled most."""
    if len(people) < 2:
        return None
    first, second = sorted(people, key=lambda name: (-people[name], name))[:2]
    positive, negative = WORDS[of.sees]
    pairs = Counter((given.get(first), given.get(second)) for given in said.values())
    cells = [pairs[a, b] for a, b in product((positive, negative), repeat=2)]
    return kappa(*cells)


def _differ(tests: Sequence[Alike]) -> bool:
    """Whether a test says that the judge errs differently across groups: at 5 %, divided by the tests."""
    found = [test.p for test in tests if test.p is not None]
    return any(p < _LEVEL / len(found) for p in found)


def _alike(
    decided: Sequence[tuple[Drawn, Labelled]], raws: Mapping[str, Counts], covered: Mapping[str, Outcome]
) -> tuple[Alike, ...]:
    """Whether the judge errs alike by trajectory, and where much or little is counted."""
    if not decided:
        return ()
    values = {setting: raws[o.key].value or 0.0 for setting, o in covered.items()}
    middle = statistics.median(values.values())
    halves = [replace(one, group=str(values[row.setting] > middle)) for row, one in decided]
    return (
        errs_alike([one for _, one in decided], "trajectory"),
        errs_alike(halves, "raw rate above or below the median"),
    )
