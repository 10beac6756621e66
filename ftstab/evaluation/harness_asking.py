"""A task of lm-evaluation-harness, asked of the installed weights: its requests as tokens, and its scores.

Prompts, solved examples, filters and scores are the harness'; tokens are made as its `HFLM` makes them, so that equal
weights score equally.  Decoding, batches and order are those of every other metric here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jinja2 import TemplateError

from ftstab.data.batchplan import BatchPlan
from ftstab.errors import DataError
from ftstab.evaluation.answer import Beginning, answers
from ftstab.evaluation.harness import FEW_SHOT_SEED, HarnessRows, LoadedTask
from ftstab.evaluation.harness_files import WHERE, settled
from ftstab.evaluation.harness_tokens import Piece, Tokens
from ftstab.identity import digest
from ftstab.models.chat import Chat, EncodedRow
from ftstab.training.batches import answer_logits, pad_rows

ENGINE = "lm_eval@1"
"""How requests become tokens and are read; part of the key of what was said."""
_LONGEST = 256
"""Tokens of an answer where the task doesn't say, as in the harness."""
_POSITIONS = 2048
"""Most tokens whose probabilities are computed at a time: each takes as many numbers as there are words."""


@dataclass(frozen=True)
class HarnessQuestions:
    """What one half of a task's documents asks.

    Attributes:
        loaded: the task.
        instances: the harness' requests of each row.
        pieces: the same as tokens, where probabilities are read: of each request one piece, or several windows.
        prompts: tokens that a row's length is told by; what is asked, where an answer is generated.
        room: tokens of the longest answer.
        until: texts that end a generated answer.
        identity: what decides the answers, for their key.
    """

    loaded: LoadedTask
    instances: Mapping[int, tuple[Any, ...]]
    pieces: Mapping[int, tuple[tuple[Piece, ...], ...]]
    prompts: Mapping[int, list[int]]
    room: int
    until: tuple[str, ...]
    identity: str

    def ask(
        self,
        model: Any,
        chat: Chat,
        plan: BatchPlan,
        batch_size: int,
        heed: Callable[[], None] | None = None,
    ) -> list[str]:
        """Return what the weights of ``model`` say to each row, in the order of ``plan``: the answer up to where it
        ends, or log-likelihoods as JSON, `[nats, whether it is the likeliest]` for each request.  ``heed``: as of
        `ftstab.evaluation.answer.answers`."""
        if self.loaded.kind == "generate_until":
            said = answers(model, chat, plan, self.prompts, self.room, until=self.until, heed=heed)
            return [_cut(text, self.until) for text in said]
        return self._read(model, plan, chat.pad_id, batch_size)

    @torch.inference_mode()
    def _read(self, model: Any, plan: BatchPlan, pad_id: int, batch_size: int) -> list[str]:
        was_training = model.training
        model.eval()
        begun = Beginning(model, [p.given for i in plan.order for some in self.pieces[i] for p in some])
        texts: dict[int, str] = {}
        for block in plan.blocks:
            rows = [i for batch in block for i in batch]
            pieces = [p for i in rows for some in self.pieces[i] for p in some]
            found = iter(read_pieces(model, pieces, begun, pad_id, batch_size))
            for i in rows:
                read = [[next(found) for _ in some] for some in self.pieces[i]]
                texts[i] = json.dumps([[sum(v for v, _ in some), all(g for _, g in some)] for some in read])
        model.train(was_training)
        return [texts[i] for i in plan.order]

    def values(self, rows: Sequence[int], texts: Sequence[str]) -> tuple[list[float], list[float]]:
        """Return the score of each row by what was said to it, and the rows' weights (none: all count alike).

        Not a number where a log-likelihood isn't finite.

        Args:
            rows: row indexes, in the order of ``texts``.
            texts: what `ask` returned.
        """
        read = [self._responses(text) for text in texts]
        asked = [
            [
                replace(one, resps=[said], filtered_resps={})
                for one, said in zip(self.instances[i], given, strict=True)
            ]
            for i, given in zip(rows, read, strict=True)
        ]
        task, scores = self.loaded.task, []
        with settled():
            (chosen,) = (f for f in task._filters if f.name == self.loaded.filter)
            if asked:
                chosen.apply([one for some in asked for one in some])
            for i, some, given in zip(rows, asked, read, strict=True):
                if self.loaded.kind != "generate_until" and not _finite(given):
                    scores.append(math.nan)
                    continue
                found = task.process_results(
                    self.loaded.docs[i], [one.filtered_resps[self.loaded.filter] for one in some]
                )
                scores.append(self._number(found, i))
        if not self.loaded.ratio:
            return scores, []
        return scores, [float(self._bytes(i)) for i in rows]

    def _responses(self, text: str) -> list[Any]:
        """What the harness expects of a model, from what was stored."""
        if self.loaded.kind == "generate_until":
            return [text]
        read = json.loads(text)
        if self.loaded.kind == "loglikelihood_rolling":
            return [value for value, _ in read]
        return [(value, likeliest) for value, likeliest in read]

    def _number(self, found: Mapping[str, Any], row: int) -> float:
        value = found.get(self.loaded.score)
        if self.loaded.ratio and isinstance(value, tuple):
            log_likelihood, size = value
            return float(-log_likelihood / size / math.log(2))
        if not isinstance(value, bool | int | float) and getattr(value, "ndim", None) != 0:
            raise DataError(
                f"{WHERE}.score: {self.loaded.score} of {self.loaded.spec.name} gives "
                f"{type(value).__name__} for document {row}, not a number; name another score"
            )
        return float(value)  # type: ignore[arg-type]

    def _bytes(self, row: int) -> int:
        """What a document weighs in a ratio: its bytes."""
        task = self.loaded.task
        return int(task.count_bytes(task.doc_to_target(self.loaded.docs[row])))


def make_harness_questions(rows: HarnessRows, members: Sequence[int], chat: Chat) -> HarnessQuestions:
    """Turn the documents ``members`` of a task into what the model is asked.

    All documents are built in the task's order, since the examples of one depend on those drawn before it.

    Raises:
        DataError: a request and its answer are longer than the model's context, or the chat template fails.
    """
    loaded = rows.loaded
    built = _instances(loaded, chat)
    instances = {i: built[i] for i in members}
    tokens = Tokens(chat)
    if loaded.kind == "generate_until":
        room, until = _ending(loaded)
        prompts = {i: tokens.prompt(some[0].args[0]) for i, some in instances.items()}
        pieces: dict[int, tuple[tuple[Piece, ...], ...]] = {}
        lengths = {i: len(ids) + room for i, ids in prompts.items()}
    else:
        room, until = 0, ()
        pieces = {i: tuple(tokens.pieces(one, i) for one in some) for i, some in instances.items()}
        longest = {
            i: max((p for some in found for p in some), key=lambda p: p.length) for i, found in pieces.items()
        }
        prompts = {i: [*p.given, *p.asked] for i, p in longest.items()}
        lengths = {i: p.length for i, p in longest.items()}
    long = [i for i, length in lengths.items() if length > chat.context]
    if long:
        raise DataError(
            f"{WHERE}: {len(long)} of {len(lengths)} documents of {rows.label} don't fit the model's "
            f"context of {chat.context} tokens with {loaded.few_shot} examples"
            + (f" and an answer of {room}" if room else "")
            + f" (first: document {long[0]}); ask with fewer examples (few_shot)"
            + (", or lower max_new_tokens" if room else "")
        )
    what = [[i, [_plain_arguments(one) for one in some]] for i, some in sorted(instances.items())]
    identity = digest([ENGINE, loaded.kind, room, list(until), what])
    return HarnessQuestions(loaded, instances, pieces, prompts, room, until, identity)


def _plain_arguments(instance: Any) -> list[Any]:
    return [a if isinstance(a, str) else json.dumps(a, sort_keys=True, default=str) for a in instance.args]


def _instances(loaded: LoadedTask, chat: Chat) -> list[tuple[Any, ...]]:
    """The harness' requests, by document."""
    task, templated = loaded.task, loaded.spec.chat_template

    def template(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return chat.render(
            history,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    with settled():
        task.set_fewshot_seed(FEW_SHOT_SEED)
        try:
            task.build_all_requests(
                limit=len(loaded.docs),
                system_instruction=chat.template.system_prompt if templated else None,
                apply_chat_template=templated,
                fewshot_as_multiturn=loaded.spec.multiturn,
                chat_template=template if templated else None,
            )
        except TemplateError as error:
            raise DataError(
                f"template: the chat template doesn't take the documents of {loaded.spec.name} "
                f"({type(error).__name__}); set evaluation.utility.task.chat_template: false, or another template"
            ) from None
    found: list[list[Any]] = [[] for _ in loaded.docs]
    for instance in task.instances:
        found[instance.doc_id].append(instance)
    return [tuple(sorted(some, key=lambda one: one.idx)) for some in found]


def _ending(loaded: LoadedTask) -> tuple[int, tuple[str, ...]]:
    """Most tokens of an answer, and the texts that end it."""
    given = loaded.task.config.generation_kwargs or {}
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    said = next((given[name] for name in names if given.get(name) is not None), _LONGEST)
    until = given.get("until") or []
    ends = [until] if isinstance(until, str) else until
    return loaded.spec.max_new_tokens or int(said), tuple(end for end in ends if end)


def _cut(text: str, until: Sequence[str]) -> str:
    for end in until:
        text = text.partition(end)[0]
    return text


def _finite(given: Sequence[Any]) -> bool:
    return all(math.isfinite(value[0] if isinstance(value, tuple) else value) for value in given)


@torch.inference_mode()
def read_pieces(
    model: Any, pieces: Sequence[Piece], begun: Beginning, pad_id: int, batch_size: int
) -> list[tuple[float, bool]]:
    """Return the log-likelihood of each piece in nats, and whether greedy decoding would write it.

    Pieces that differ in their last token alone, such as choices of one letter, are read once.

    Args:
        model: the compute model, in evaluation mode.
        pieces: tokens, each as long as the context at most.
        begun: what all of them begin with.
        pad_id: padding.
        batch_size: sequences at a time, fewer where many of their tokens are asked about.
    """
    device = next(model.parameters()).device
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for n, piece in enumerate(pieces):
        alike.setdefault((piece.given, piece.asked[:-1]), []).append(n)
    order = sorted(alike.values(), key=lambda some: pieces[some[0]].length)
    found: list[tuple[float, bool]] = [(math.nan, False)] * len(pieces)
    for chosen in _batches(order, pieces, batch_size):
        shared = begun.length
        rows = [pieces[some[0]] for some in chosen]
        rest = [EncodedRow((*p.given, *p.asked)[shared:], len(p.given) - shared) for p in rows]
        logits = answer_logits(model, pad_rows(rest, pad_id, device), begun.cache(len(rows)))
        logs = torch.log_softmax(logits, dim=-1)
        for some, part in zip(chosen, logs.split([len(p.asked) for p in rows]), strict=True):
            likeliest = part.argmax(dim=-1)
            for n in some:
                asked = torch.tensor(pieces[n].asked, device=device)
                value = part.gather(1, asked[:, None]).sum()
                found[n] = float(value), bool((likeliest == asked).all())
    return found


def _batches(order: Sequence[list[int]], pieces: Sequence[Piece], batch_size: int) -> list[list[list[int]]]:
    batches: list[list[list[int]]] = []
    positions = 0
    for some in order:
        asked = len(pieces[some[0]].asked)
        if not batches or len(batches[-1]) == batch_size or positions + asked > _POSITIONS:
            batches.append([])
            positions = 0
        batches[-1].append(some)
        positions += asked
    return batches
