"""What a worker does with a job that tops up: answer the prompts of a set that an early stop left out.

Nothing is judged, and no outcome is touched: what becomes of the answers is said in `ftstab.judging.answers`.  They
are stored setting by setting, so that a top-up that was killed asks no setting twice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftstab.errors import StoreError, StudyError
from ftstab.evaluation.answer import answers
from ftstab.evaluation.questions import Questions, make_questions
from ftstab.judging.answers import JudgedRole, check_weights, is_whole, whole_key
from ftstab.models.chat import Chat
from ftstab.outcome import Outcome
from ftstab.running.at_work import AtWork
from ftstab.running.environment import environment
from ftstab.running.kept import compute_model, put_in
from ftstab.running.launcher import Context, Event
from ftstab.store import Records


class Rest:
    """Answers what an early stop left out of one set, with whatever weights a model holds.

    Attributes:
        role: the set.
    """

    def __init__(
        self,
        context: Context,
        chat: Chat,
        questions: Questions,
        records: Records,
        role: JudgedRole,
        heed: Callable[[], None],
    ) -> None:
        """``heed`` is called while answers are written; what it raises ends the asking."""
        self.context, self.chat, self.records, self.role, self._heed = context, chat, records, role, heed
        self.set = questions.sets[role]

    def is_open(self, found: Outcome | None) -> bool:
        """Whether prompts of the setting are still to be answered."""
        return found is not None and not is_whole(self.records, found, self.role)

    def answer(self, model: Any, found: Outcome) -> None:
        """Ask ``model``, which holds the weights of ``found``, the missing prompts, and store the whole set.

        Batches are those of the whole set, and so is what prompts are read behind: the answers are those that the
        setting would have given had it never been stopped.

        Raises:
            StudyError: what was asked before the stop isn't in the store, or other prompts are asked by now.
        """
        q, key = self.set, self.set.responses_key(found.setting)
        stored = self.records.responses(found.trajectory, key)
        rows, about = ([], {}) if stored is None else stored
        ids = [row.id for row in q.asked]
        same = key == found.record.get("responses", {}).get(self.role)
        if not rows or not same or [row["id"] for row in rows] != ids[: len(rows)]:
            raise StudyError(
                f"setting {found.setting}: its answers to {self.role} aren't in the store, or belong to other prompts; "
                "bring the store and the prompt files back as they were"
            )
        check_weights(about, found, self.role)
        decoding = self.context.study.evaluation.decoding
        texts = answers(
            model,
            self.chat,
            q.plan,
            q.prompts,
            decoding.max_new_tokens,
            answered=len(rows),
            heed=self._heed,
        )
        more = [{"id": i, "response": text} for i, text in zip(ids[len(rows) :], texts, strict=True)]
        self.records.put_responses(
            found.trajectory,
            whole_key(key),
            [*rows, *more],
            {
                "setting": found.setting,
                "role": self.role,
                "benchmark": q.rows.label,
                "questions": q.key,
                "weights_sha256": found.record.get("weights_sha256"),
                "stopped_at": len(rows),
                "environment": environment(next(model.parameters()).device),
                "command": self.context.command,
            },
        )


class ToppingUp(AtWork):
    """Tops up the settings of a job from their kept weights."""

    def run(self) -> None:
        """Ask setting by setting; a stop request is heeded between them.

        Raises:
            StopAskedError: a stop was asked for.
            StoreError: an outcome or weights are gone or damaged.
            FtstabError: something else is wrong that must be mended.
        """
        trajectory, role = self.job.trunk, self.job.tops_up
        assert role is not None
        self.phase("loading the model")
        with self.clock.named("loading"):
            base_dir = Path(self.context.base_dir)
            model, chat = compute_model(self.study, base_dir, trajectory.training.precision)
            questions = make_questions(self.study, base_dir, chat)
        rest = Rest(self.context, chat, questions, self.records, role, self.heed_stop_often)
        for setting in trajectory.settings:
            self.heed_stop()
            key = questions.outcome_key(setting.key)
            found = self.records.outcome(trajectory.key, key)
            if found is None:
                raise StoreError(f"outcome {key}: no longer in the store; run `ftstab run` again")
            if rest.is_open(found):
                self.answering_phase(setting)
                with self.clock.named("swapping weights"):
                    put_in(model, self.records, found)
                with self.clock.named("answering"):
                    rest.answer(model, found)
            self.emit(Event("outcome", trajectory.key, setting.step, outcome=key))
