"""The log-likelihood of given answers: how likely the installed weights find each choice after its prompt.

A prompt is read once; its choices are then read one after the other, all prompts of a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from ftstab.data.batchplan import BatchPlan
from ftstab.data.rows import Row
from ftstab.evaluation.answer import Beginning, after_last
from ftstab.evaluation.choice import Normalise, Tokens, encode_choices, likeliest
from ftstab.evaluation.held_out import held_out_losses
from ftstab.models.chat import Chat, EncodedRow
from ftstab.training.batches import positions


def choose(
    model: Any,
    chat: Chat,
    plan: BatchPlan,
    prompts: Mapping[int, Sequence[int]],
    rows: Sequence[Row],
    normalise: Normalise,
) -> list[str]:
    """Return the likeliest choice of each row in the order of ``plan``; an empty text where the weights give numbers
    that aren't finite.

    Args:
        model: the compute model.
        chat: the template.
        plan: which rows, in which batches.
        prompts: tokens by row index.
        rows: the whole set, with its choices.
        normalise: see `ftstab.evaluation.choice.likeliest`.
    """
    tokens = {i: encode_choices(chat, rows[i]) for i in plan.order}
    found = log_likelihoods(model, chat, plan, prompts, tokens)
    return [
        likeliest(values, rows[i].choices, tokens[i], normalise)
        for i, values in zip(plan.order, found, strict=True)
    ]


@torch.inference_mode()
def log_likelihoods(
    model: Any,
    chat: Chat,
    plan: BatchPlan,
    prompts: Mapping[int, Sequence[int]],
    choices: Mapping[int, Sequence[Tokens]],
    first: Callable[[Sequence[int], torch.Tensor], None] | None = None,
) -> list[list[float]]:
    """Return the log-likelihood in nats of every choice, by row in the order of ``plan``.

    Batches are those of the plan; what else is in a batch changes a value by rounding only.  ``first`` is told, batch
    by batch, the rows and the log-probabilities of what follows their prompts [rows, vocabulary].
    """
    was_training = model.training
    model.eval()
    begun = Beginning(model, [prompts[i] for i in plan.order])
    values: dict[int, list[float]] = {}
    for block in plan.blocks:
        for batch in block:
            asked = [prompts[i] for i in batch]
            offered = [choices[i] for i in batch]
            some, after = _batch(model, chat, begun, asked, plan.parts.get(batch, ()), offered)
            if first is not None:
                first(batch, after)
            values |= dict(zip(batch, some, strict=True))
    model.train(was_training)
    return [values[i] for i in plan.order]


def _batch(
    model: Any,
    chat: Chat,
    begun: Beginning,
    prompts: Sequence[Sequence[int]],
    parts: Sequence[int],
    choices: Sequence[Sequence[Tokens]],
) -> tuple[list[list[float]], torch.Tensor]:
    """Log-likelihoods of the choices, and log-probabilities of what follows each prompt [rows, vocabulary]."""
    ids, mask, shared = begun.read(prompts, parts, chat.pad_id)
    device = ids.device
    cache = DynamicCache(config=model.config) if shared is None else shared
    first = after_last(model, ids[:, cache.get_seq_length() :], mask, cache)
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return _whole(model, chat, prompts, choices), first
    found = [[float(first[row, c[0]]) for c in offered] for row, offered in enumerate(choices)]
    for turn in range(max(map(len, choices))):
        # All but the first token of each row's choice of this turn; a row without one reads padding.
        rest = [list(offered[turn][1:]) if turn < len(offered) else [] for offered in choices]
        width = max(map(len, rest))
        if width == 0:
            continue
        before = [offered[turn][:-1] if turn < len(offered) else () for offered in choices]
        read = torch.tensor([[*b, *[chat.pad_id] * (width - len(b))] for b in before], device=device)
        there = torch.tensor([[1] * len(b) + [0] * (width - len(b)) for b in before], device=device)
        whole = torch.cat([mask, there], dim=1)
        logits = model(
            input_ids=read,
            attention_mask=whole,
            position_ids=positions(whole)[:, -width:],
            past_key_values=cache,
            use_cache=True,
        ).logits
        cache.crop(-width)
        logs = torch.log_softmax(logits.float(), dim=-1)
        for row, tokens in enumerate(rest):
            if tokens:
                wanted = torch.tensor(tokens, device=device)
                found[row][turn] += float(logs[row, torch.arange(len(tokens)), wanted].sum())
    return found, first


def _whole(
    model: Any, chat: Chat, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Tokens]]
) -> list[list[float]]:
    """The same where the model keeps something else than keys and values: every choice behind its own prompt."""
    rows = [
        EncodedRow((*prompt, *tokens), len(prompt))
        for prompt, offered in zip(prompts, choices, strict=True)
        for tokens in offered
    ]
    losses = iter(held_out_losses(model, rows, chat.pad_id, len(prompts)))
    return [[-next(losses) * len(tokens) for tokens in offered] for offered in choices]
