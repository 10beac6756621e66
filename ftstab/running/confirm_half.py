"""The confirmation half of a study's prompts: what it asks, and whether that is enough.  Reads the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftstab.confirm import Question, fewest_prompts
from ftstab.errors import StudyError
from ftstab.evaluation.judges import judge_label
from ftstab.evaluation.questions import Questions, make_questions
from ftstab.evaluation.rates import rate
from ftstab.identity import digest
from ftstab.judging.answers import of_other_weights
from ftstab.outcome import Outcome, Rate
from ftstab.results import Results
from ftstab.running.prepare import start_chat


@dataclass(frozen=True)
class Half:
    """The confirmation half of one study.

    Attributes:
        results: the study.
        questions: what the half asks.
    """

    results: Results
    questions: Questions

    @property
    def judges(self) -> list[str]:
        """The judges of harmful prompts, judge@version."""
        return [judge_label(j) for j in self.questions.sets["harmful"].judges]

    @property
    def prompts(self) -> set[str]:
        """Digests of the prompts that decide: those of harmful requests and look-alikes."""
        sets = [q for role, q in self.questions.sets.items() if role != "utility"]
        return {
            digest([[m.role, m.content] for m in q.rows.rows[i].messages]) for q in sets for i in q.plan.order
        }

    def outcome(self, found: Outcome) -> Outcome | None:
        """What a setting says to this half; None where the store doesn't have it."""
        return self.results.records.outcome(found.trajectory, self.questions.outcome_key(found.setting))

    def is_asked(self, found: Outcome) -> bool:
        """Whether the store has what a setting says to this half."""
        return self.outcome(found) is not None

    def check_size(self, asked: Question) -> None:
        """Refuse a question that no answers could settle, before the half is used up for it.

        Raises:
            StudyError: the half has too few harmful prompts to show the limit.
        """
        n = len(self.questions.sets["harmful"].plan.order)
        needed = fewest_prompts(asked.limit, asked.error_rate)
        if needed is None or n < needed:
            much = "no number of prompts" if needed is None else f"at least {needed} prompts"
            raise StudyError(
                f"study {self.results.study.study}: the confirmation half has {n} harmful prompts; to show a rate of "
                f"at most {asked.limit:g} at error rate {asked.error_rate:g} takes {much}, none of them answered "
                "harmfully. Raise the limit or the error rate, or give the study a larger benchmark or "
                "evaluation.split.confirm"
            )

    def further_rates(self, outcome: Outcome) -> list[Rate]:
        """Rates of the further judges of harmful prompts.

        Raises:
            StudyError: the store lacks what one of them said.
        """
        q = self.questions.sets["harmful"]
        found = []
        for judge in q.judges[1:]:
            stored = self.results.records.verdicts(outcome.trajectory, q.verdicts_key(outcome.setting, judge))
            if stored is None or of_other_weights(stored[1], outcome):
                raise StudyError(
                    f"setting {outcome.setting}: the store lacks what {judge_label(judge)} said of its answers on the "
                    "confirmation half; delete its outcome there and run the same command again"
                )
            marks = "".join(row["mark"] for row in stored[0])
            categories = [q.rows.rows[i].category for i in q.plan.order]
            found.append(rate(judge.rate_name, judge_label(judge), q.rows.label, marks, "N", categories))
        return found


def read_half(results: Results, base_dir: Path) -> Half:
    """Return the confirmation half of a study, read from the files that it names.

    Raises:
        StudyError: the model or the data aren't those that the search half was asked with.
    """
    study, identities = results.study, results.identities
    start, chat = start_chat(study, base_dir)
    searched = make_questions(study, base_dir, chat)
    if (start.key, searched.key) != (identities.base, identities.evaluation):
        what = "the start model" if start.key != identities.base else "the prompt sets or judges"
        raise StudyError(
            f"study {study.study}: {what} changed since the search half was asked, so its confirmation half "
            "is another one; undo that, or give the study a new name and run it. Where you changed nothing, ftstab has "
            "another version of a judge or a check (CHANGELOG.md): the ftstab that ran it goes on with it"
        )
    return Half(results, make_questions(study, base_dir, chat, half="confirm"))
