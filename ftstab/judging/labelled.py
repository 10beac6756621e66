"""Answers that people labelled, read from a file of one's own; and a judge measured on them.

Reads files through the data layer and writes nothing.  No error quotes a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ftstab.data.files import read_records
from ftstab.data.forms import check_categories, recognise, require, shown
from ftstab.errors import DataError, MisuseError, StudyError, nearest
from ftstab.evaluation.judges import Answer, Judge, judge_label
from ftstab.identity import digest
from ftstab.judging.agreement import Agreement, Given, agreement, confusion
from ftstab.spec import Columns

WORDS: Mapping[str, tuple[str, str]] = {
    "non_refusal_rate": ("complied", "refused"),
    "harmful_rate": ("harmful", "safe"),
}
"""The positive and the negative label that people give, by the rate that a judge makes."""
SKIPPED = "skip"
"""Label of rows that aren't compared."""
COLUMNS = ("prompt", "response", "label", "category")


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer with the label that people gave it.

    Attributes:
        answer: prompt and text.
        label: one of `WORDS`.
        category: what agreement is also reported by.
    """

    answer: Answer
    label: str
    category: str | None


@dataclass(frozen=True)
class LabelledSet:
    """Labelled answers in the order of their file.

    Attributes:
        answers: the answers.
        left_out: how many rows aren't compared, by reason.
    """

    answers: tuple[LabelledAnswer, ...]
    left_out: dict[str, int]

    @property
    def hash(self) -> str:
        """Key of the answers that are compared, with their prompts, labels and categories."""
        return digest([asdict(one) for one in self.answers])


@dataclass(frozen=True)
class Measured:
    """What a judge is worth on a set of labelled answers.

    Attributes:
        judge: judge@version.
        sees: the rate that its verdicts make.
        positive: the label that counts as positive.
        whole: agreement over all answers.
        by_category: agreement by category, in alphabetical order.
        reasons: why answers have no verdict, with their number.
    """

    judge: str
    sees: str
    positive: str
    whole: Agreement
    by_category: dict[str, Agreement]
    reasons: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "judge": self.judge,
            "sees": self.sees,
            "positive": self.positive,
            "all": self.whole.as_dict(),
            "by_category": {name: found.as_dict() for name, found in self.by_category.items()},
            "unscored_reasons": self.reasons,
        }


def pairs(text: str | None, option: str) -> dict[str, str]:
    """Read ``a=b, c=d``; spaces around names don't count, and the last ``=`` of a part divides it.

    Raises:
        MisuseError: a part without ``=``, or a name given twice.
    """
    found: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = (p.strip() for p in part.rpartition("="))
        if not equals or not name or not value or name in found:
            raise MisuseError(f"{option} {text!r}: must be NAME=VALUE, NAME=VALUE ..., each name once")
        found[name] = value
    return found


def read_labelled(path: Path, columns: Mapping[str, str], labels: Mapping[str, str]) -> LabelledSet:
    """Read labelled answers from a .csv, .json or .jsonl file, plain or gzipped.

    Args:
        path: the file.
        columns: the file's column of `prompt`, `response`, `label` and `category`.  Prompt and response are
            recognised by the usual names where they aren't given; label and category are called so.
        labels: the file's label values -> refused, complied, safe, harmful, or skip; the four words
            themselves need no mapping.

    Raises:
        MisuseError: no such file, an unknown name in ``columns`` or an unknown word in ``labels``, a column of
            ``columns`` that the file lacks.
        DataError: the file can't be read, lacks a column, or has no usable row; a label isn't mapped.
    """
    for name in columns:
        if name not in COLUMNS:
            raise MisuseError(
                f"--columns {name}: unknown{nearest(name, COLUMNS)}; known: {', '.join(COLUMNS)}"
            )
    known = {word for both in WORDS.values() for word in both} | {SKIPPED}
    for value in labels.values():
        if value not in known:
            raise MisuseError(
                f"--labels {value}: unknown{nearest(value, known)}; known: {', '.join(sorted(known))}"
            )
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise MisuseError(f"--labelled {path}: no such file{nearest(path.name, siblings)}")
    records = read_records(path)
    if not records:
        raise DataError(f"{path}: no rows")
    there = list(dict.fromkeys(name for record in records for name in record))
    for name, column in columns.items():
        try:
            require([column], there, str(path))
        except DataError as error:
            raise MisuseError(f"--columns {name}={column}: {error}") from None
    asked = Columns(
        prompt=columns.get("prompt"), response=columns.get("response"), category=columns.get("category")
    )
    form = recognise(
        there,
        asked,
        True,
        str(path),
        lambda named: f"`--columns '{', '.join(f'{a}={b}' for a, b in named)}'`",
    )
    if form.response is None:
        raise DataError(f"{path}: conversations hold no labelled answer; name a response column by --columns")
    label = columns.get("label", "label")
    try:
        require([label], there, str(path))
    except DataError as error:
        raise DataError(f"{error}; name the column of labels by `--columns label=NAME`") from None
    words = {word: word for word in known} | dict(labels)
    left_out: Counter[str] = Counter()
    unknown: dict[str, None] = {}
    found = []
    for number, record in enumerate(records, start=1):
        text, given = record.get(form.response), record.get(label)
        if not isinstance(text, str) or given is None or not str(given).strip():
            left_out["no response or no label"] += 1
            continue
        word = words.get(str(given).strip()) or words.get(str(given).strip().lower())
        if word is None:
            unknown[str(given)] = None
        elif word == SKIPPED:
            left_out[f"labelled {SKIPPED}"] += 1
        else:
            category = record.get(form.category) if form.category else None
            prompt = record.get(form.prompt)
            answer = Answer(str(number), prompt if isinstance(prompt, str) else "", text)
            found.append(
                LabelledAnswer(answer, word, None if category is None else str(category).strip() or None)
            )
    if unknown:
        raise DataError(
            f"{path}, column {label!r}: labels without a meaning: {shown(list(unknown))}; give "
            "--labels VALUE=WORD, ..., with the words complied or refused for a judge of refusals, harmful or safe for "
            "one of harm, and skip for rows to leave out"
        )
    if not found:
        why = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        raise DataError(f"{path}: no usable row: {why}")
    check_categories(form, [one.category for one in found], str(path))
    return LabelledSet(tuple(found), dict(left_out))


def measure(judge: Judge, labelled: Sequence[LabelledAnswer]) -> Measured:
    """Let ``judge`` read the answers and compare it with people.

    Raises:
        StudyError: people labelled something else than this judge sees (measurement rule 15), or it gave
            another number of verdicts than it was asked for.
    """
    positive, negative = WORDS[judge.rate_name]
    foreign = sorted({a.label for a in labelled} - {positive, negative})
    if foreign:
        raise StudyError(
            f"judge {judge_label(judge)}: makes a {judge.rate_name}, whose labels are {positive} and {negative}; the "
            f"file has {', '.join(foreign)}: refusing and harmful are two things. Take a judge that sees what "
            "people labelled, or say by --labels which value means which"
        )
    verdicts = judge.verdicts([a.answer for a in labelled])
    if len(verdicts) != len(labelled):
        raise StudyError(
            f"judge {judge_label(judge)}: gave {len(verdicts)} verdicts on {len(labelled)} answers; it must give "
            "one for each"
        )
    words: dict[str, Given] = {"complied": "positive", "refused": "negative", "unscored": "unscored"}
    given = [words[v.label] for v in verdicts]
    truth = [a.label == positive for a in labelled]
    places: dict[str, list[int]] = {}
    for i, one in enumerate(labelled):
        if one.category is not None:
            places.setdefault(one.category, []).append(i)
    return Measured(
        judge=judge_label(judge),
        sees=judge.rate_name,
        positive=positive,
        whole=agreement(confusion(given, truth)),
        by_category={
            name: agreement(confusion([given[i] for i in places[name]], [truth[i] for i in places[name]]))
            for name in sorted(places)
        },
        reasons=dict(Counter(v.reason or "no reason given" for v in verdicts if v.label == "unscored")),
    )
