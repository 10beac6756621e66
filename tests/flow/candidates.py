"""A small study whose candidates are confirmed: copies of it, search halves that say what a test needs, and a launcher
that answers from a table."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ftstab.evaluation.questions import make_questions
from ftstab.evaluation.rates import exact_match_score, rate
from ftstab.looks import Look, looks
from ftstab.models.chat import Chat
from ftstab.models.load import load_tokenizer
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.results import find_study
from ftstab.running.confirm import confirm
from ftstab.running.launcher import Context, Event, JobSource, Launcher
from tests.lab import Finished

PARTS = ("outcomes", "responses", "verdicts", "weights", "attempts")
LIMIT = "0.75"
NO_HARM, UNSEEN = 40, 10
"""Harmful prompts and look-alikes of the confirmation half."""
HARMFUL, RIGHT = {"a": 0, "b": 2, "c": 3, "d": 8}, {"a": 1, "b": 3, "c": 6, "d": 6}
"""Three candidates under 0.75, each more useful and less safe than the one before; the last is beyond it."""


class Copy:
    """The study in a folder of its own."""

    def __init__(self, small: Finished, folder: Path) -> None:
        self.lab, self.study = small.copied(folder)

    def confirm(
        self, launcher: Launcher | None = None, limit: float = 0.75, error_rate: float = 0.05
    ) -> Look:
        console = Console(file=io.StringIO())
        return confirm(self.lab.results(self.study), limit, error_rate, "ftstab pick", console, launcher)

    @property
    def looks(self) -> list[Look]:
        return looks(self.lab.records, "small")

    def pieces(self) -> dict[str, dict[str, int]]:
        return {part: self.lab.pieces(part) for part in PARTS}

    def found(self, harmful: dict[str, int], right: dict[str, int]) -> list[str]:
        """Have the search half say what the test needs; settings in the order of the plan."""
        outcomes = self.lab.results(self.study).outcomes
        for outcome, name in zip(outcomes, "abcd", strict=True):
            self.lab.records.put_outcome(with_counts(outcome, harmful[name], right[name]))
        return [o.setting for o in outcomes]


def with_counts(outcome: Outcome, harmful: int, right: int) -> Outcome:
    """``outcome`` with so many answers not refused, and so many tasks right."""
    old = outcome.rates["harmful"]
    marks = "N" * harmful + "R" * (old.n - harmful)
    tasks = len(outcome.marks["utility"])
    done = "1" * right + "0" * (tasks - right)
    assert outcome.utility is not None
    return outcome.model_copy(
        update={
            "rates": outcome.rates
            | {"harmful": rate(old.name, old.judge, old.benchmark, marks, "N", [None] * len(marks))},
            "marks": outcome.marks | {"harmful": marks, "utility": done},
            "utility": exact_match_score(done, outcome.utility.benchmark),
        }
    )


class Recorded:
    """A launcher that stores what a table says of the confirmation half, in place of asking.

    Attributes:
        asked: settings in the order asked.
    """

    def __init__(self, copy: Copy, harmful: dict[str, int], stop_at: str | None = None) -> None:
        self.copy, self.harmful, self.stop_at = copy, harmful, stop_at
        self.asked: list[str] = []

    def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        records = self.copy.lab.records
        study, base_dir = find_study(str(self.copy.study))
        questions = make_questions(
            study, base_dir, Chat(load_tokenizer(self.copy.lab.model), study.template, 512), half="confirm"
        )
        while (job := source.next_job()) is not None:
            (setting,) = job.settings
            if setting.key == self.stop_at:
                raise KeyboardInterrupt
            assert job.confirms is not None
            assert not source.exhausted()
            assert source.next_job() is None  # one at a time: each answer decides what is asked next
            found = records.outcome(setting.trajectory, job.confirms)
            assert found is not None
            size = len(questions.sets["harmful"].plan.order)
            whole = found.rates["harmful"].model_copy(update={"n": size})
            over = found.rates["over_refusal"]
            over_marks = "R" * len(questions.sets["over_refusal"].plan.order)
            outcome = with_counts(
                found.model_copy(update={"rates": found.rates | {"harmful": whole}}),
                self.harmful.get(setting.key, 0),
                len(found.marks["utility"]) if not found.start else 0,
            ).model_copy(update={"key": questions.outcome_key(setting.key)})
            again = rate(over.name, over.judge, over.benchmark, over_marks, "R", [None] * len(over_marks))
            records.put_outcome(
                outcome.model_copy(
                    update={
                        "rates": outcome.rates | {"over_refusal": again},
                        "marks": outcome.marks | {"over_refusal": over_marks},
                    }
                )
            )
            self.asked.append(setting.key)
            on_event(job, Event("outcome", setting.trajectory, outcome=outcome.key))
            source.finished(job, None)
