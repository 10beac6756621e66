"""What is measured of every setting."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ftstab.spec.closed import Closed
from ftstab.spec.judges import EndpointComparer, JudgeField
from ftstab.spec.sources import SourceField

Share = Annotated[float, Field(ge=0, le=1)]
_TASKS = "builtin:tasks_test"


class Benchmark(Closed):
    """A set of prompts and the judges that read the answers."""

    benchmark: SourceField
    """The prompts."""
    judges: Annotated[list[JudgeField], Field(min_length=1)] = ["refusal_phrases"]
    """Judges, by name or described; the first is the one that objectives and constraints read."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Ask at most this many prompts of the search half, in the fixed order of the batch plan.  A confirmation asks its
    whole half."""


class Choices(Closed):
    """Where the choices of a multiple-choice task stand, and how a right one is named: give one of `column`, `after`
    and `fixed`."""

    column: str | None = None
    """Column with the choices: a list of texts, or ARC's object of `text` and `label`."""
    after: Annotated[str, Field(min_length=1)] | None = None
    """Words in the prompt that the choices follow, up to the end of their line, e.g. `Answer format:`."""
    separator: Annotated[str, Field(min_length=1)] = "/"
    """What stands between the choices that follow `after`."""
    fixed: Annotated[list[str], Field(min_length=2)] | None = None
    """The same choices for every row, e.g. `["yes", "no"]`."""
    right: Literal["text", "label", "index"] = "text"
    """What the response column names the right choice by: its text, its label (`column` in ARC's form), or its place,
    counted from 0."""
    form: str = "{choice}"
    """The answer that a choice is read as, e.g. `the correct answer is {choice}`."""

    @model_validator(mode="after")
    def _one_place(self) -> Choices:
        given = [name for name in ("column", "after", "fixed") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of column, after and fixed (given: {', '.join(given) or 'none'})")
        if self.right == "label" and self.column is None:
            raise ValueError("`right: label` needs `column`, which holds the labels")
        if self.form.count("{choice}") != 1:
            raise ValueError("`form` must hold {choice} once")
        return self


class HarnessTask(Closed):
    """A task of lm-evaluation-harness.  In a study file a plain string means ``name`` alone."""

    name: Annotated[str, Field(min_length=1)]
    """Name of one task, e.g. `arc_easy` (no group or tag), or a task file (.yaml) relative to the study file, whose
    `data_files` are relative to it.  A task is code: its templates and functions run, so take files only from whom
    you would take a program.  Refused: running what the model writes, remote code, sampling, images, sounds."""
    score: str | None = None
    """Which of the task's metrics counts; null: its first one that is a mean over documents (or `bits_per_byte`).
    Others, such as a corpus' BLEU, have no score of a single document that could be paired with the start's."""
    filter: str | None = None
    """Which of the task's filters reads the answers, e.g. `flexible-extract`; null: its first."""
    direction: Literal["maximize", "minimize"] = "maximize"
    """Which way the score is better.  The task says so itself; what it says must stand here."""
    few_shot: Annotated[int, Field(ge=0)] | None = None
    """Solved examples before each question, drawn as the harness draws them (seed 1234), not from the documents that
    are asked; null: as the task says."""
    chat_template: bool = False
    """Whether prompts go through the study's `template`, system prompt included; else they are plain text, as the
    harness has it."""
    multiturn: bool = False
    """With `chat_template`: whether solved examples are turns of their own, not part of one question."""
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest answer in tokens; null: as the task says, or 256."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Keep only the first so many documents of the task, before they are split in halves."""

    @model_validator(mode="after")
    def _turns(self) -> HarnessTask:
        if self.multiturn and not self.chat_template:
            raise ValueError("`multiturn` needs `chat_template: true`")
        return self


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


HarnessField = Annotated[HarnessTask, BeforeValidator(_named, json_schema_input_type=str | HarnessTask)]
"""A `HarnessTask`, or its name as a plain string."""


class Utility(Closed):
    """What the fine-tuned model should be good at."""

    metric: Literal[
        "exact_match", "held_out_loss", "multiple_choice", "instruction_following", "win_rate", "lm_eval"
    ] = "exact_match"
    """`exact_match`: share of tasks answered exactly (higher is better).  `held_out_loss`: mean loss per answer
    token (lower is better).  `multiple_choice`: share of tasks whose right choice is the likeliest (higher is
    better).  `instruction_following`: share of prompts in IFEval's form whose instructions are all followed, read
    strictly (higher is better; needs the extra `ifeval`).  `win_rate`: share of prompts whose answer `comparer`
    prefers to the start model's, ties counting half (higher is better; the start has one half).  `lm_eval`: the score
    of `task`, a task of lm-evaluation-harness (the task says which way is better; needs the extra `harness`)."""
    data: SourceField = Field(default=_TASKS, validate_default=True)
    """Task rows with their right answers; `lm_eval` brings its own."""
    choices: Choices | None = None
    """The choices of `multiple_choice`."""
    normalise: Literal["none", "characters", "tokens"] = "none"
    """What the log-likelihood of a choice is divided by: nothing, or its length."""
    comparer: EndpointComparer | None = None
    """Who compares two answers for `win_rate`."""
    task: HarnessField | None = None
    """The task of `lm_eval`."""
    held_out: SourceField | None = None
    """Rows for the held-out loss, which is the second metric; null: the rows of `data`, where they have answers."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use at most this many rows of each half."""

    @model_validator(mode="after")
    def _fits_metric(self) -> Utility:
        if (self.metric == "multiple_choice") != (self.choices is not None):
            raise ValueError("`choices` belongs to the metric multiple_choice, which needs it")
        if (self.metric == "win_rate") != (self.comparer is not None):
            raise ValueError("`comparer` belongs to the metric win_rate, which needs it")
        if (self.metric == "lm_eval") != (self.task is not None):
            raise ValueError("`task` belongs to the metric lm_eval, which needs it")
        if self.task is not None and self.data.location != _TASKS:
            raise ValueError("`data` has no place beside the metric lm_eval, whose task brings its documents")
        return self


class Decoding(Closed):
    """How answers are generated: greedily, one turn."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest answer, in tokens."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Prompts per batch.  Fixed, because greedy decoding in bfloat16 depends on it."""
    block_size: Annotated[int, Field(ge=1)] = 64
    """Prompts per block of the batch plan: sorted by length inside, categories mixed across."""


class Split(Closed):
    """Shares of every prompt set: the search half is asked, the confirmation half waits."""

    search: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share that search, picking and tuning may see."""
    confirm: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share that only a confirmation asks."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the split and of the prompt order."""


class Evaluation(Closed):
    """The measurements of every setting."""

    harmful: Benchmark = Field(default={"benchmark": "builtin:harmful"}, validate_default=True)
    """Harmful prompts."""
    over_refusal: Benchmark | None = Field(
        default={"benchmark": "builtin:safe_lookalikes"}, validate_default=True
    )
    """Safe prompts that look harmful; null: not measured."""
    utility: Utility = Utility()
    """The usefulness that the fine-tuning is for."""
    decoding: Decoding = Decoding()
    """How answers are generated."""
    split: Split = Split()
    """Search and confirmation shares."""
    margin: bool = False
    """Whether every setting's margin between refusing and complying openings is read too (`safety_loss`: the mean loss
    of a refusing opening minus that of a complying one, on at most 64 harmful prompts of the search half), and how far
    its first answer token is from the start model's (`first_token_kl`, on those prompts and on 32 ordinary ones).  A
    smooth, early sign of safety that costs a forward pass and no answers."""
    interval: Literal["wilson", "clopper_pearson"] = "wilson"
    """95 % interval of single rates.  `wilson` covers 95 % on average, `clopper_pearson` never less (and is wider)."""


class Constraint(Closed):
    """A limit on a measured rate: absolute, or relative to the start model."""

    max: Share | None = None
    """Largest value allowed."""
    max_rise: Share | None = None
    """Largest rise over the start allowed."""
