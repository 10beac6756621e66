"""What every setting of a study is asked: prompt sets, their halves, their batch plans, and the keys of the answers.

Built once per worker.  Knows the tokenizer (prompts are sorted by length in tokens), not the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ftstab.data.batchplan import BatchPlan, batch_plan
from ftstab.data.rows import Row, RowSet, read_rows
from ftstab.data.split import Split, split_sets
from ftstab.errors import DataError
from ftstab.evaluation import coherence
from ftstab.evaluation.choice import ENGINE as CHOICE_ENGINE
from ftstab.evaluation.choice import encode_choices
from ftstab.evaluation.exact import GSM8K_VERSION
from ftstab.evaluation.harness import HarnessRows, read_harness
from ftstab.evaluation.harness_asking import HarnessQuestions, make_harness_questions
from ftstab.evaluation.instruction import check_instructions, rules_label
from ftstab.evaluation.judges import Judge, judge_label
from ftstab.evaluation.judges.roles import role_judges
from ftstab.evaluation.marking import verdicts_key
from ftstab.evaluation.openings import Openings, make_openings
from ftstab.evaluation.win_rate import Comparer, ComparingEndpoint, comparer_label
from ftstab.identity import digest
from ftstab.models.chat import Chat, EncodedRow, refusal
from ftstab.plan import start_precision
from ftstab.sequential import AskedInBlocks
from ftstab.spec import Study, Utility
from ftstab.stopping import Rule, stopping_rule

ENGINE = "transformers-greedy@3"
"""How answers are made; part of their key."""

Half = Literal["search", "confirm"]
Role = Literal["harmful", "over_refusal", "utility"]


@dataclass(frozen=True)
class QuestionSet:
    """The prompts of one role.

    Attributes:
        role: harmful, over_refusal or utility.
        rows: the whole set.
        plan: which rows are asked, in which batches.
        prompts: tokens by row index.
        judges: judges of the answers; the first one counts.  Nobody judges which choice is the likeliest, or an answer
            that is compared.
        key: identity of what is asked and how, without the setting.
        comparer: compares answers with the start model's, where that is the metric.
        harness: asks and scores, where a task of lm-evaluation-harness is the metric.
    """

    role: Role
    rows: RowSet
    plan: BatchPlan
    prompts: Mapping[int, list[int]]
    judges: tuple[Judge, ...]
    key: str
    comparer: Comparer | None = None
    harness: HarnessQuestions | None = None

    @property
    def asked(self) -> list[Row]:
        """The rows in the order asked."""
        return [self.rows.rows[i] for i in self.plan.order]

    @property
    def in_blocks(self) -> AskedInBlocks:
        """The categories in the order asked, by block."""
        rows = self.rows.rows
        return AskedInBlocks(
            tuple(tuple(rows[i].category for batch in block for i in batch) for block in self.plan.blocks)
        )

    @property
    def reader(self) -> str | None:
        """Label of whose verdicts count, if anybody's."""
        if self.comparer is not None:
            return comparer_label(self.comparer)
        return judge_label(self.judges[0]) if self.judges else None

    def responses_key(self, setting: str) -> str:
        """Key of the answers of ``setting``."""
        return digest({"setting": setting, "questions": self.key})

    def verdicts_key(self, setting: str, judge: Judge) -> str:
        """Key of what ``judge`` says of them."""
        return verdicts_key(self.responses_key(setting), judge_label(judge))


@dataclass(frozen=True)
class Questions:
    """Everything a setting is asked.

    Attributes:
        sets: by role.
        held_out: encoded rows for the held-out loss.
        held_out_label: name@hash of these rows.
        key: identity of the whole evaluation, judges included.
        half: which half is asked.
        rule: when a set has been asked enough; None where everything is asked.
        openings: what is read of the margin between refusing and complying; None where the study doesn't ask for it.
        confirmable: prompts of the confirmation half by role, whichever half is asked.
        behind: the held-out rows by the index of the utility prompt that they begin with, in the order of ``held_out``;
            empty unless every row has such a prompt, which is answered.
    """

    sets: Mapping[Role, QuestionSet]
    held_out: tuple[EncodedRow, ...]
    held_out_label: str
    key: str
    half: Half
    rule: Rule | None = None
    openings: Openings | None = None
    confirmable: Mapping[str, int] = field(default_factory=dict)
    behind: Mapping[int, EncodedRow] = field(default_factory=dict)

    @property
    def prompts(self) -> int:
        """Prompts asked of every setting."""
        return sum(len(s.plan.order) for s in self.sets.values())

    def outcome_key(self, setting: str) -> str:
        """Key of the outcome of ``setting``."""
        return digest({"setting": setting, "evaluation": self.key})


def read_sets(study: Study, base_dir: Path) -> dict[Role, RowSet]:
    """Read the prompt sets of ``study``."""
    evaluation = study.evaluation
    sets: dict[Role, RowSet] = {
        "harmful": read_rows(evaluation.harmful.benchmark, base_dir, needs_response=False)
    }
    if evaluation.over_refusal is not None:
        sets["over_refusal"] = read_rows(evaluation.over_refusal.benchmark, base_dir, needs_response=False)
    sets["utility"] = read_tasks(evaluation.utility, base_dir)
    return sets


def read_held_out(study: Study, base_dir: Path) -> RowSet | None:
    """Read the rows for the held-out loss; None where they are the task rows."""
    source = study.evaluation.utility.held_out
    return None if source is None else read_rows(source, base_dir, needs_response=True)


def split_halves(study: Study, sets: Mapping[Role, RowSet], held_out: RowSet | None) -> dict[str, Split]:
    """Split everything that ``study`` asks, near-duplicates of all sets together, into its two halves."""
    named: dict[str, RowSet] = {str(role): rows for role, rows in sets.items()}
    if held_out is not None:
        named["held_out"] = held_out
    split = study.evaluation.split
    return split_sets(named, split.search, split.confirm, split.seed)


def read_tasks(utility: Utility, base_dir: Path) -> RowSet:
    """Read the task rows of ``utility``, with what its metric needs of them.

    Raises:
        DataError: the rows can't be read, or hold no instructions that IFEval's rules know.
        NotHereError: they can't be had on this machine, or the metric needs an extra that isn't installed.
    """
    if utility.task is not None:
        return read_harness(utility.task, base_dir)
    answered = utility.metric not in ("instruction_following", "win_rate")
    rows = read_rows(utility.data, base_dir, answered, utility.choices)
    if utility.metric == "instruction_following":
        check_instructions(rows)
    return rows


class _Asking(NamedTuple):
    """How one set is asked.

    Attributes:
        room: tokens that must fit behind a prompt.
        identity: what of it belongs to the key of the answers.
    """

    room: int
    identity: dict[str, Any]


def _asking(study: Study, role: Role, chat: Chat, rows: RowSet, members: Sequence[int]) -> _Asking:
    utility = study.evaluation.utility
    if role == "utility" and utility.metric == "multiple_choice":
        longest = max(len(tokens) for i in members for tokens in encode_choices(chat, rows.rows[i]))
        return _Asking(longest, {"normalise": utility.normalise, "engine": CHOICE_ENGINE})
    longest = study.evaluation.decoding.max_new_tokens
    return _Asking(longest, {"decoding": {"greedy": True, "max_new_tokens": longest}, "engine": ENGINE})


def _metric_label(utility: Utility, comparer: Comparer | None) -> str:
    """The metric with the version of what decides it, where that isn't ftstab's own."""
    if comparer is not None:
        return f"{utility.metric}, {comparer_label(comparer)}"
    if utility.task is not None:
        return f"lm_eval, {utility.task.score}, {utility.task.filter}"
    return rules_label() if utility.metric == "instruction_following" else utility.metric


def make_questions(study: Study, base_dir: Path, chat: Chat, half: Half = "search") -> Questions:
    """Read, split, order and encode everything that ``study`` asks.

    Raises:
        DataError: a set can't be read, a prompt doesn't fit the model or the template, or no row is left for the
            metric.
    """
    evaluation, decoding = study.evaluation, study.evaluation.decoding
    sets, held_set = read_sets(study, base_dir), read_held_out(study, base_dir)
    halves = split_halves(study, sets, held_set)
    # What a confirmation tests it asks in full; task rows, which nothing is tested on, keep their limit.
    limits = {"utility": evaluation.utility.limit}
    if half == "search":
        limits["harmful"] = evaluation.harmful.limit
        limits["over_refusal"] = evaluation.over_refusal.limit if evaluation.over_refusal else None
    rule = stopping_rule(study) if half == "search" else None
    judges = role_judges(evaluation, base_dir)
    comparer = None if evaluation.utility.comparer is None else ComparingEndpoint(evaluation.utility.comparer)
    if evaluation.utility.metric in ("multiple_choice", "win_rate", "lm_eval"):
        judges["utility"] = ()
    questions: dict[Role, QuestionSet] = {}
    for role, rows in sets.items():
        members = getattr(halves[role], half)
        harness = make_harness_questions(rows, members, chat) if isinstance(rows, HarnessRows) else None
        if harness is not None:
            how, prompts = _Asking(harness.room, {"requests": harness.identity}), dict(harness.prompts)
        else:
            how = _asking(study, role, chat, rows, members)
            prompts = chat.prompts(rows, members, how.room, f"evaluation.{role}")
        plan = batch_plan(
            rows,
            members,
            [len(prompts[i]) for i in members],
            evaluation.split.seed,
            decoding.block_size,
            decoding.batch_size,
            limits.get(role),
        )
        asked = {
            "rows": rows.hash,
            "plan": plan.hash,
            "half": half,
            "system": study.template.system_prompt,
            "chat": study.template.chat_template,
            **how.identity,
        }
        if chat.own_decoding:
            # Answers from before these were passed over are others; those of a model without any are the same.
            asked["generation_defaults"] = "passed over"
        # A task of the harness is tokenized as the harness does it.
        texts = () if harness is not None else chat.asked_texts(rows.rows[i] for i in members)
        if encoding := chat.encoding(texts):
            asked["encoding"] = encoding
        if rule is not None and role != "utility":
            # How much was asked depends on what the first judge said.
            asked["stopping"] = [rule.identity(), judge_label(judges[role][0])]
        kept = {i: prompts[i] for i in plan.order}
        compares = comparer if role == "utility" else None
        questions[role] = QuestionSet(role, rows, plan, kept, judges[role], digest(asked), compares, harness)
    if held_set is None:
        held_rows, members = sets["utility"], questions["utility"].plan.order
    else:
        held_rows, members = held_set, getattr(halves["held_out"], half)[: evaluation.utility.limit]
    answered = [held_rows.rows[i] for i in members if held_rows.rows[i].response is not None]
    encoded = chat.encode_rows(answered, study.training.max_length)
    if encoded.refused:
        where = "evaluation.utility" if held_set is None else "evaluation.utility.held_out"
        raise DataError(f"{where}: {refusal(encoded.refused, len(answered), held_rows.label)}")
    held_out = tuple(encoded.rows)
    if evaluation.utility.metric == "held_out_loss" and not held_out:
        raise DataError(
            f"evaluation.utility: the metric held_out_loss has no row to read: none of {held_rows.label} in this half "
            f"has an answer and leaves room for it within training.max_length {study.training.max_length} tokens; give "
            "other rows, or raise it"
        )
    form = evaluation.utility.data.answer
    identity: dict[str, Any] = {
        "sets": {role: [q.key, [judge_label(j) for j in q.judges]] for role, q in questions.items()},
        "coherence": coherence.VERSION,
        "answer": form if form == "text" else f"{form}@{GSM8K_VERSION}",
        "metric": _metric_label(evaluation.utility, comparer),
        "held_out": [held_rows.hash, list(members), study.training.max_length],
    }
    behind = _behind(questions["utility"], held_out)
    if behind:
        # Behind a prompt a row is read in another batch than by itself: a rounding, in bfloat16 of some 0.1 %.
        identity["held_out"].append("read behind the prompts")
    if held_out and study.template.training_system_prompt is not None:
        # Held-out rows are read behind it as training rows are; of a setting its trajectory says so, of the start
        # nothing else does.
        identity["held_out"].append(study.template.training_system_prompt)
    if held_out and (encoding := chat.encoding(chat.learned_texts(answered))):
        identity["held_out"].append(encoding)
    if (precision := start_precision(study)) is not None:
        identity["start"] = precision
    if evaluation.interval != "wilson":
        # Outcomes hold intervals, so another method makes other outcomes; the answers stay the same.
        identity["interval"] = evaluation.interval
    if study.search.hopeless is not None and half == "search":
        identity["hopeless"] = study.search.hopeless.identity()
    openings = None
    if evaluation.margin and half == "search":
        openings = make_openings(study, chat, sets["harmful"], halves["harmful"].search)
        identity["margin"] = list(openings.identity)
    return Questions(
        sets=questions,
        held_out=held_out,
        held_out_label=held_rows.label,
        key=digest(identity),
        half=half,
        rule=rule,
        openings=openings,
        confirmable={role: len(halves[role].confirm) for role in sets},
        behind=behind,
    )


def _behind(q: QuestionSet, held_out: Sequence[EncodedRow]) -> dict[int, EncodedRow]:
    """The held-out rows by the index of the prompt of ``q`` that they begin with; empty unless each has one of its own
    and it is answered.
    """
    if q.harness is not None or q.reader is None:
        return {}
    free: dict[tuple[int, ...], list[int]] = {}
    for i in reversed(q.plan.order):
        free.setdefault(tuple(q.prompts[i]), []).append(i)
    found: dict[int, EncodedRow] = {}
    for row in held_out:
        there = free.get(tuple(row.ids[: row.answer_start]))
        if not there:
            return {}
        found[there.pop()] = row
    return found
