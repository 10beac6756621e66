"""One setting, asked and judged: from installed weights to a stored outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ftstab.errors import StudyError
from ftstab.evaluation.answer import Read, answers
from ftstab.evaluation.choice import mark_choices
from ftstab.evaluation.coherence import incoherent
from ftstab.evaluation.held_out import Behind, held_out_losses, losses_behind
from ftstab.evaluation.judges import Answer, judge_label
from ftstab.evaluation.likelihood import choose
from ftstab.evaluation.marking import VerdictRow, mark_answers, verdicts_key
from ftstab.evaluation.questions import Questions, QuestionSet, Role
from ftstab.evaluation.rates import held_out_score, rate
from ftstab.evaluation.utility import harness_score, mark_utility, task_score
from ftstab.evaluation.values import VALUED
from ftstab.evaluation.win_rate import mark_wins
from ftstab.models.chat import Chat
from ftstab.outcome import Decision, Outcome, Rate, Score
from ftstab.spec import Study
from ftstab.stopping import Watch, make_watch
from ftstab.store import Records


@dataclass(frozen=True)
class Answered:
    """What the weights said.

    Attributes:
        texts: answers by role, in the order of the batch plan; of a set that stopped early its beginning.
        losses: held-out loss per row.
        read: what the first judge said, of the sets where it was asked block by block.
        stops: why the asking of a set stopped early.
    """

    texts: dict[Role, list[str]]
    losses: list[float]
    read: dict[Role, list[VerdictRow]] = field(default_factory=dict)
    stops: dict[Role, tuple[Watch, list[Decision]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Against:
    """What a setting is held against while it is asked.

    Attributes:
        start: the start model, asked in full.
        opponents: outcomes that may dominate it.
    """

    start: Outcome
    opponents: Sequence[Outcome]


@dataclass
class Answering:
    """Asks settings.  Equal weights are asked once.

    Attributes:
        model: the compute model, which holds the weights in question while `ask` runs.
        start: the start model's trajectory and setting, whose stored answers others are compared with.
        made: what stored answers say of how they were made, beside whose they are.
        seen: answers by hash of the weights, and whether everything was asked.
        heed: called again and again while answers are written; what it raises ends the asking.
    """

    study: Study
    model: Any
    chat: Chat
    questions: Questions
    records: Records
    start: tuple[str, str]
    made: Mapping[str, Any] = field(default_factory=dict)
    seen: dict[tuple[str, bool], Answered] = field(default_factory=dict)
    heed: Callable[[], None] | None = None

    def ask(self, weights_hash: str, against: Against | None = None) -> Answered:
        """Return the answers of the weights that the model holds now.

        With ``against``, harmful prompts and look-alikes are asked until the rule of the study has decided, else in
        full.  The utility rows are always asked in full: a limit on harm says where to pick on the frontier and
        doesn't narrow it, so a setting above it stays there with its gain.
        """
        key = (weights_hash, against is None)
        if key not in self.seen:
            asked = Answered({}, [] if self.questions.behind else self.losses())
            # Utility first: whether another setting dominates depends on it.
            for role in sorted(self.questions.sets, key=lambda r: r != "utility"):
                q = self.questions.sets[role]
                if role == "utility" and self.questions.behind:
                    self._ask_with_losses(q, asked)
                else:
                    self._ask_set(q, against, asked)
            self.seen[key] = asked
        return self.seen[key]

    def losses(self) -> list[float]:
        """Return the held-out losses that `ask` would, of the weights that the model holds now, without answers."""
        asked, size = self.questions, self.study.evaluation.decoding.batch_size
        if not asked.behind:
            return held_out_losses(self.model, asked.held_out, self.chat.pad_id, size)
        q = asked.sets["utility"]
        return losses_behind(self.model, self.chat, q.plan, q.prompts, asked.behind, size)

    def _ask_with_losses(self, q: QuestionSet, asked: Answered) -> None:
        """Ask the tasks, whose rows are held-out rows too, and read the loss of their right answers behind them."""
        behind = Behind(self.questions.behind)
        asked.texts[q.role] = self._texts(q, then=behind.read)
        size = self.study.evaluation.decoding.batch_size
        asked.losses.extend(behind.all(self.model, self.chat, size))

    def _ask_set(self, q: QuestionSet, against: Against | None, asked: Answered) -> None:
        """Ask one set, as far as needed, and note in ``asked`` what was said and why it ended."""
        rule, role = self.questions.rule, q.role
        watch: Watch | None = None
        if rule is not None and against is not None and role != "utility":
            utility = self._primary(asked) if rule.dominated and role == "harmful" else None
            watch = make_watch(rule, role, q.in_blocks, against.start, against.opponents, utility)
        if watch is None or role == "utility":
            asked.texts[role] = self._texts(q)
            return
        read: list[VerdictRow] = []
        decided: list[Decision] = []

        def enough(block: list[str]) -> bool:
            given = _given(q, block, len(read))
            read.extend(mark_answers(given, q.judges[0], role)[1])
            decided[:] = watch.decisions("".join(row.mark for row in read))
            return watch.enough(decided)

        asked.texts[role] = self._texts(q, enough)
        asked.read[role] = read
        if len(read) < len(q.plan.order):
            asked.stops[role] = watch, decided

    def _texts(
        self, q: QuestionSet, enough: Callable[[list[str]], bool] | None = None, then: Read | None = None
    ) -> list[str]:
        """What is said, or chosen, to each prompt of a set."""
        utility = self.study.evaluation.utility
        if q.harness is not None:
            size = self.study.evaluation.decoding.batch_size
            return q.harness.ask(self.model, self.chat, q.plan, size, self.heed)
        if q.role == "utility" and utility.metric == "multiple_choice":
            return choose(self.model, self.chat, q.plan, q.prompts, q.rows.rows, utility.normalise)
        longest = self.study.evaluation.decoding.max_new_tokens
        return answers(self.model, self.chat, q.plan, q.prompts, longest, enough, then=then, heed=self.heed)

    def measure(self, trajectory: str, setting: str, answered: Answered, weights_hash: str) -> dict[str, Any]:
        """Store answers and verdicts, and return the measured fields of the outcome.

        ``weights_hash`` stands beside both: another study may measure the setting with weights that came out otherwise.
        """
        weights = {"weights_sha256": weights_hash}
        rates: dict[str, Rate] = {}
        marks: dict[str, str] = {}
        for role, q in self.questions.sets.items():
            given = _given(q, answered.texts[role], 0)
            self.records.put_responses(
                trajectory,
                q.responses_key(setting),
                [{"id": a.prompt_id, "response": a.text} for a in given],
                {"setting": setting, "role": role, "benchmark": q.rows.label, "questions": q.key}
                | weights
                | dict(self.made),
            )
            about = {"setting": setting, "role": role} | weights
            marks[role] = self._judge(trajectory, about, q, given, answered.read.get(role))
            if role != "utility":
                judge = q.judges[0]
                found = rate(
                    judge.rate_name if role == "harmful" else "over_refusal_rate",
                    judge_label(judge),
                    q.rows.label,
                    marks[role],
                    "N" if role == "harmful" else "R",
                    [row.category for row in q.asked[: len(given)]],
                    self.study.evaluation.interval,
                )
                if role in answered.stops:
                    watch, decided = answered.stops[role]
                    found = watch.stopped(found, marks[role], decided)
                rates[role] = found
        primary, secondary = self._scores(answered, marks["utility"])
        values, value_weights = self._values(answered)
        return {
            "rates": rates,
            "utility": primary,
            "secondary": secondary,
            "coherence": self._incoherent(answered, marks),
            "marks": marks,
            "losses": answered.losses,
            "loss_tokens": [row.answer_tokens for row in self.questions.held_out],
            "values": values,
            "value_weights": value_weights,
        }

    def _incoherent(self, answered: Answered, marks: dict[str, str]) -> dict[str, float]:
        """Share of incoherent answers by role; of choices among given ones there is none."""
        found = {role: m.count("I") / len(m) for role, m in marks.items() if m}
        metric = self.study.evaluation.utility.metric
        if metric in ("multiple_choice", "lm_eval"):
            found.pop("utility", None)
        elif metric == "win_rate" and marks["utility"]:
            # Whoever compares two answers says nothing of their form.
            texts = answered.texts["utility"]
            found["utility"] = sum(incoherent(text, "utility") is not None for text in texts) / len(texts)
        return found

    def _scores(self, answered: Answered, marks: str) -> tuple[Score | None, Score | None]:
        """The primary score and the other one, from the marks of the utility rows."""
        q, evaluation = self.questions.sets["utility"], self.study.evaluation
        if q.harness is not None:
            task = harness_score(
                q.harness.loaded, q.plan.order, *self._values(answered), q.rows.label, evaluation.interval
            )
        else:
            task = task_score(evaluation.utility, q.asked, marks, q.rows.label, evaluation.interval, q.reader)
        tokens = [row.answer_tokens for row in self.questions.held_out]
        # Tasks without right answers to read have no loss.
        held = held_out_score(answered.losses, tokens, self.questions.held_out_label) if tokens else None
        return (held, task) if evaluation.utility.metric == "held_out_loss" else (task, held)

    def _values(self, answered: Answered) -> tuple[list[float], list[float]]:
        """What each utility row scores and weighs, where the metric gives numbers."""
        q = self.questions.sets["utility"]
        return ([], []) if q.harness is None else q.harness.values(q.plan.order, answered.texts["utility"])

    def _primary(self, answered: Answered) -> Score | None:
        """The primary score, before anything is stored; what the judge said of the rows is kept."""
        q = self.questions.sets["utility"]
        answered.read["utility"] = self._read_tasks(q, _given(q, answered.texts["utility"], 0), None)
        return self._scores(answered, _marks(answered.read["utility"]))[0]

    def _read_tasks(self, q: QuestionSet, given: list[Answer], setting: str | None) -> list[VerdictRow]:
        """What is said of each answer to a task; ``setting`` is whose answers they are, None if not the start's."""
        if q.comparer is not None:
            start = [a.text for a in given] if setting == self.start[1] else self._start_texts(q)
            return mark_wins(q.comparer, given, start)[1]
        if q.harness is not None:
            return [VerdictRow(answer.prompt_id, VALUED, None) for answer in given]
        if not q.judges:
            return mark_choices(given, q.asked)[1]
        return mark_utility(self.study.evaluation.utility, q.asked, given, q.judges[0])[1]

    def _start_texts(self, q: QuestionSet) -> list[str]:
        trajectory, setting = self.start
        stored = self.records.responses(trajectory, q.responses_key(setting))
        if stored is None:
            raise StudyError(
                "evaluation.utility: the start model's answers, which others are compared with, aren't in the store; "
                "run the same command again, which asks it first"
            )
        return [row["response"] for row in stored[0]]

    def _judge(
        self,
        trajectory: str,
        about: Mapping[str, str],
        q: QuestionSet,
        given: list[Answer],
        read: list[VerdictRow] | None,
    ) -> str:
        """Let every judge of the set read the answers; return the marks of the first, who may have ``read`` them.

        ``about`` says whose answers they are.
        """
        if q.role == "utility":
            rows = self._read_tasks(q, given, about["setting"]) if read is None else read
            if q.reader is not None:
                self._put_verdicts(trajectory, about, q, q.reader, rows)
            return _marks(rows)
        found = []
        for judge in q.judges:
            known = read if judge is q.judges[0] else None
            rows = mark_answers(given, judge, q.role)[1] if known is None else known
            self._put_verdicts(trajectory, about, q, judge_label(judge), rows)
            found.append(_marks(rows))
        return found[0]

    def _put_verdicts(
        self, trajectory: str, about: Mapping[str, str], q: QuestionSet, reader: str, rows: list[VerdictRow]
    ) -> None:
        self.records.put_verdicts(
            trajectory,
            verdicts_key(q.responses_key(about["setting"]), reader),
            [asdict(row) for row in rows],
            {**about, "judge": reader},
        )


def _marks(rows: Sequence[VerdictRow]) -> str:
    return "".join(row.mark for row in rows)


def _given(q: QuestionSet, texts: Sequence[str], first: int) -> list[Answer]:
    """The answers to the prompts of a set from the place ``first`` on."""
    rows = q.asked[first : first + len(texts)]
    return [Answer(row.id, row.prompt, text) for row, text in zip(rows, texts, strict=True)]


@torch.no_grad()
def weights_hash(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None = None) -> str:
    """SHA-256 over names and bytes, in the dtype they have or, parameters rounded one by one, in ``dtype``.

    Buffers keep theirs, as `ftstab.models.load.cast` leaves them.
    """
    whole = hashlib.sha256()
    for name in sorted(tensors):
        is_parameter = isinstance(tensors[name], torch.nn.Parameter)
        tensor = tensors[name].detach().to(dtype=dtype if is_parameter else None).cpu().contiguous()
        whole.update(name.encode())
        # Flat, because a number alone, as a buffer may be, can't be read as bytes.
        whole.update(tensor.flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()
