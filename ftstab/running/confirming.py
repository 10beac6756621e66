"""What a worker does with a job that confirms: ask one setting the confirmation half, with the weights that were kept.

Nothing is trained and nothing stops early.  Each set's answers are stored as soon as it is asked, so that a
confirmation that was killed asks nothing twice that it has the answers to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ftstab.errors import StoreError
from ftstab.evaluation.judges import Answer, judge_label
from ftstab.evaluation.marking import mark_answers
from ftstab.evaluation.questions import QuestionSet, make_questions
from ftstab.judging.answers import of_other_weights
from ftstab.looks import now
from ftstab.outcome import Outcome
from ftstab.running.answering import Answered, Answering
from ftstab.running.at_work import AtWork
from ftstab.running.environment import environment
from ftstab.running.kept import compute_model, put_in
from ftstab.running.launcher import Event


class Confirmer(AtWork):
    """Asks the one setting of a job that has `Job.confirms`."""

    def run(self) -> None:
        """Ask, judge and store.

        Raises:
            StopAskedError: a stop was asked for; sets that were answered whole are stored.
            StoreError: the search half's outcome or the weights are gone or damaged.
            FtstabError: something else is wrong that must be mended.
        """
        trajectory = self.job.trunk.key
        assert self.job.confirms is not None
        found = self.records.outcome(trajectory, self.job.confirms)
        if found is None:
            raise StoreError(f"outcome {self.job.confirms}: no longer in the store; run `ftstab run` again")
        self.phase("loading the model")
        with self.clock.named("loading"):
            self._load(found)
        key = self.questions.outcome_key(found.setting)
        if self.records.outcome(trajectory, key) is None:
            self.records.put_outcome(self._measure(found, key))
        self.emit(Event("outcome", trajectory, found.step, outcome=key))

    def _load(self, found: Outcome) -> None:
        base_dir = Path(self.context.base_dir)
        model, chat = compute_model(self.study, base_dir, self.job.trunk.training.precision)
        self.questions = make_questions(self.study, base_dir, chat, half="confirm")
        self.fingerprint = put_in(model, self.records, found)
        # It may be another machine, with other packages, than the one that the setting was trained on.
        self.here = environment(next(model.parameters()).device)
        self.asked_on: list[dict[str, Any] | None] = [self.here]
        origin = (self.context.start_trajectory, self.context.start_setting)
        made = {"environment": self.here}
        self.answering = Answering(
            self.study, model, chat, self.questions, self.records, origin, made, heed=self.heed_stop_often
        )

    def _measure(self, found: Outcome, key: str) -> Outcome:
        """The outcome on the confirmation half."""
        began = time.perf_counter()
        texts = {}
        for role, q in self.questions.sets.items():
            self.heed_stop()
            texts[role] = self._answers(found, q)
        self.phase("reading held-out rows")
        with self.clock.named("answering"):
            losses = self.answering.losses()
        self.phase("judging")
        with self.clock.named("judging"):
            answered = Answered(texts, losses)
            measured = self.answering.measure(found.trajectory, found.setting, answered, self.fingerprint)
            self._further_judges(found, self.questions.sets["harmful"], texts["harmful"])
        return found.model_copy(
            update={
                **measured,
                "key": key,
                "record": found.record
                | {
                    "half": self.questions.half,
                    "asked_on": self.asked_on,
                    "asked_at": now(),
                    "command": self.context.command,
                    "responses": {r: q.responses_key(found.setting) for r, q in self.questions.sets.items()},
                },
                "seconds": {"training": 0.0, "answering": time.perf_counter() - began},
            }
        )

    def _answers(self, found: Outcome, q: QuestionSet) -> list[str]:
        """Answers to one set: those that the store has of these very weights, or new ones.

        Stored ones may rest under outcomes of other studies, so they stay even where another environment wrote them:
        that is told (`asked_on`; None where it wasn't recorded).
        """
        key = q.responses_key(found.setting)
        stored = self.records.responses(found.trajectory, key)
        ids = [q.rows.rows[i].id for i in q.plan.order]
        if stored is not None:
            rows, about = stored
            same = about.get("weights_sha256") == self.fingerprint
            if same and [row["id"] for row in rows] == ids:
                if (there := about.get("environment")) not in self.asked_on:
                    self.asked_on.append(there)
                return [row["response"] for row in rows]
        self.phase(f"asking {len(ids)} prompts ({q.role.replace('_', '-')})")
        with self.clock.named("answering"):
            texts = self._ask(sets={q.role: q}, held_out=(), behind={}).texts[q.role]
        rows = [{"id": i, "response": text} for i, text in zip(ids, texts, strict=True)]
        self._put_responses(found, q, rows)
        return texts

    def _ask(self, **part: Any) -> Answered:
        """Ask a part of the questions, by the engine of the sweep."""
        return replace(self.answering, questions=replace(self.questions, **part), seen={}).ask(
            self.fingerprint
        )

    def _put_responses(self, found: Outcome, q: QuestionSet, rows: Sequence[Mapping[str, Any]]) -> None:
        about: dict[str, Any] = {"setting": found.setting, "role": q.role}
        about |= {"benchmark": q.rows.label, "questions": q.key}
        about |= {"weights_sha256": self.fingerprint, **self.answering.made}
        self.records.put_responses(found.trajectory, q.responses_key(found.setting), rows, about)

    def _further_judges(self, found: Outcome, q: QuestionSet, texts: Sequence[str]) -> None:
        """Let the judges read the harmful prompts' answers that haven't yet."""
        for judge in q.judges[1:]:
            key = q.verdicts_key(found.setting, judge)
            known = self.records.verdicts(found.trajectory, key)
            if known is None or of_other_weights(known[1], found):
                given = [
                    Answer(q.rows.rows[i].id, q.rows.rows[i].prompt, text)
                    for i, text in zip(q.plan.order, texts, strict=True)
                ]
                _, rows = mark_answers(given, judge, "harmful")
                about = {"setting": found.setting, "role": q.role, "judge": judge_label(judge)}
                about["weights_sha256"] = self.fingerprint
                self.records.put_verdicts(found.trajectory, key, [asdict(row) for row in rows], about)
