"""Labels that people give to answers of a study: which answers are drawn, with what probability, and their record.

The frame is every answer of the study that one judge gave a verdict on.  Samples are drawn from it with known
probability (measurement rule 15): stratified by verdict, and within a verdict spread over trajectories and
prompts.  Reads and writes the store through `Records`; texts of answers are read only where they are shown.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from ftstab.errors import MisuseError, StudyError
from ftstab.identity import digest
from ftstab.judging.answers import check_weights
from ftstab.judging.judged import Judged, group, reading, scored
from ftstab.results import Results

UNDECIDED = ("incoherent", "unsure")
"""Labels that say neither."""
_PERSON = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Drawn:
    """One answer of the frame.

    Attributes:
        unit: key of prompt and answer; equal answers to a prompt are one unit, labelled once.
        group: trajectory, or `start`.
        trajectory: where its responses lie.
        setting: the setting.
        responses: key of the setting's responses.
        place: its place among them.
        prompt_id: the prompt.
        mark: the judge's verdict, R or N.
    """

    unit: str
    group: str
    trajectory: str
    setting: str
    responses: str
    place: int
    prompt_id: str
    mark: str


@dataclass(frozen=True)
class Sample:
    """Answers drawn for labelling.

    Attributes:
        key: its key in the store.
        rows: the answers, in the order in which they are shown: random, whatever the stratum.
        frame: answers in the frame, by mark.
        responses: by setting, key of the responses that it was drawn from.
    """

    key: str
    rows: tuple[Drawn, ...]
    frame: Mapping[str, int]
    responses: Mapping[str, str]


def unit_key(of: Judged, prompt_id: str, text: str) -> str:
    """Key of an answer to a prompt under what people are asked of it."""
    return digest({"role": of.role, "sees": of.sees, "prompt": prompt_id, "answer": text})


def read_frame(results: Results, of: Judged) -> list[Drawn]:
    """Every answer of the study with a verdict of the judge.

    Raises:
        StudyError: the judge has read no answers of this study, or those of a setting were replaced since.
    """
    found = []
    for outcome in scored(results):
        read = reading(results, outcome, of)
        stored = results.records.responses(outcome.trajectory, read.responses) if read else None
        if read is None or stored is None:
            continue
        check_weights(stored[1], outcome, of.role)
        for place, (row, mark) in enumerate(zip(stored[0], read.marks, strict=True)):
            if mark in "RN":
                unit = unit_key(of, row["id"], row["response"])
                where = (outcome.trajectory, outcome.setting, read.responses, place)
                found.append(Drawn(unit, group(outcome), *where, prompt_id=row["id"], mark=mark))
    if not found:
        raise StudyError(
            f"study {results.study.study}: {of.judge} gave no verdict on stored answers of {of.role}; let it read "
            "them with `ftstab judge run`"
        )
    return found


def shares(frame: Mapping[str, int], n: int) -> dict[str, int]:
    """How many of ``n`` labels each verdict gets: a quarter of them at least, the other half by size.

    The rarer verdict needs labels of its own, and errors among the common one weigh more.
    """
    total = sum(frame.values())
    n = min(n, total)
    present = [mark for mark in sorted(frame) if frame[mark]]
    wanted = {m: n * (0.5 / len(present) + 0.5 * frame[m] / total) for m in present}
    given = {m: min(frame[m], max(1, math.floor(wanted[m]))) for m in present}
    for mark in sorted(present, key=lambda m: wanted[m] - given[m], reverse=True) * 2:
        given[mark] += max(0, min(n - sum(given.values()), frame[mark] - given[mark]))
    return given


def draw(rows: Iterable[Drawn], n: int, seed: str) -> list[Drawn]:
    """Draw ``n`` answers, each of a verdict with the same probability.

    Systematic sampling with a random start and a fractional interval, within each verdict: of N answers in a
    random order, those at u k, (u + 1) k, ... with k = N / n, so each is drawn with probability n / N.  The
    order keeps trajectories together, in them prompts, and equal answers to a prompt: so trajectories get
    their share, and no answer is drawn twice in a trajectory unless it fills an interval.

    Source: Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, section 3.4.

    Returns:
        The answers in a random order that says nothing of verdict or setting.
    """
    by_mark: dict[str, list[Drawn]] = {}
    for row in rows:
        by_mark.setdefault(row.mark, []).append(row)
    given = shares({mark: len(some) for mark, some in by_mark.items()}, n)
    picked: list[Drawn] = []
    for mark, some in sorted(by_mark.items()):
        key: dict[tuple[str, ...], float] = {}

        def at(*parts: str, mark: str = mark, key: dict[tuple[str, ...], float] = key) -> float:
            if parts not in key:
                key[parts] = uniform(seed, mark, *parts)
            return key[parts]

        some.sort(
            key=lambda r: (
                at(r.group),
                r.group,
                at(r.group, r.prompt_id),
                r.prompt_id,
                r.unit,
                r.setting,
                r.place,
            )
        )
        count = given[mark]
        start, step = uniform(seed, mark), len(some) / count
        picked += [some[min(int((start + i) * step), len(some) - 1)] for i in range(count)]
    return sorted(picked, key=lambda r: (uniform(seed, "order", r.unit), r.setting, r.place))


def uniform(*parts: str) -> float:
    """A number from 0 up to 1 that ``parts`` decide."""
    whole = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(whole[:7], "big") / 2**56


def samples(results: Results, of: Judged) -> list[Sample]:
    """The samples drawn so far for this judge, in the order drawn."""
    found = []
    for key, (rows, about) in results.records.samples(results.study.study).items():
        if (about["role"], about["judge"], about["sees"]) == (of.role, of.judge, of.sees):
            drawn = tuple(Drawn(**row) for row in rows)
            found.append((about["number"], Sample(key, drawn, about["frame"], about["responses"])))
    return [sample for _, sample in sorted(found, key=lambda one: one[0])]


def sample_up_to(results: Results, of: Judged, n: int) -> list[Sample]:
    """Return the samples of this judge, after drawing one more where they hold fewer than ``n`` answers.

    A sample is drawn from the answers that the study has by then; later ones are drawn independently.

    Raises:
        StudyError: as `read_frame`.
        MisuseError: n isn't positive.
    """
    if n < 1:
        raise MisuseError(f"--n {n}: must be at least 1")
    while True:
        there = samples(results, of)
        drawn = sum(len(sample.rows) for sample in there)
        if drawn >= n:
            return there
        rows = read_frame(results, of)
        if drawn >= len(rows):
            return there
        number = len(there)
        seed = digest([results.study.study, of.role, of.judge, of.sees, number])
        about = {
            "role": of.role,
            "judge": of.judge,
            "sees": of.sees,
            "number": number,
            "frame": dict(Counter(row.mark for row in rows)),
            "responses": {row.setting: row.responses for row in rows},
            "at": time.time(),
        }
        # Where somebody else draws at the same time, theirs counts.
        picked = [asdict(row) for row in draw(rows, n - drawn, seed)]
        results.records.put_sample(results.study.study, seed, picked, about)


def check_person(who: str) -> str:
    """Return ``who`` if it can name a person in the store.

    Raises:
        MisuseError: it can't.
    """
    if not _PERSON.fullmatch(who):
        raise MisuseError(f"--who {who!r}: must be 1 to 40 letters, digits, '.', '_' and '-', not '.' first")
    return who


def put_label(results: Results, of: Judged, unit: str, who: str, word: str) -> None:
    """Record what ``who`` says of an answer, at once."""
    about = {"label": word, "sees": of.sees, "role": of.role, "at": time.time()}
    results.records.put_label(results.study.study, unit, who, about)


def labels(results: Results, of: Judged) -> dict[str, dict[str, str]]:
    """What people say of the answers of this study: label by person, by unit."""
    found: dict[str, dict[str, str]] = {}
    for (unit, who), about in results.records.labels(results.study.study).items():
        if (about["role"], about["sees"]) == (of.role, of.sees):
            found.setdefault(unit, {})[who] = about["label"]
    return found
