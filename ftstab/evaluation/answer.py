"""The hot path: answers of the installed weights to the prompts of a batch plan.

What all prompts begin with (the template, a system prompt) is read once, not once for every prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from transformers import DynamicCache, StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer

from ftstab.data.batchplan import BatchPlan
from ftstab.evaluation.greedy import end_tokens, write
from ftstab.models.chat import Chat
from ftstab.training.batches import positions

Read = Callable[[Any, Chat, Sequence[int], torch.Tensor, torch.Tensor, Any], None]
"""Told of a batch: model, tokenizer, row indexes, the prompts' ids and mask [rows, length], and a transformers cache
that holds their keys and values, and those of what was written behind them."""


@torch.inference_mode()
def answers(
    model: Any,
    chat: Chat,
    plan: BatchPlan,
    prompts: Mapping[int, Sequence[int]],
    max_new_tokens: int,
    enough: Callable[[list[str]], bool] | None = None,
    answered: int = 0,
    until: Sequence[str] = (),
    then: Read | None = None,
    heed: Callable[[], None] | None = None,
) -> list[str]:
    """Return the answers in the order of ``plan``, greedily, one turn.

    Batches are those of the plan and stay whole: with greedy decoding in bfloat16, leaving out finished rows would
    change the answers of the others.

    Args:
        model: the compute model.
        chat: its tokenizer and template.
        plan: what is asked, in which batches.
        prompts: tokens by row index.
        max_new_tokens: longest answer.
        enough: told the answers of each block as it ends, in order; True ends the asking there.
        answered: prompts that aren't asked because their answers are known: the first blocks of the plan.
        until: texts that end an answer as its end token does; they stand in it.
        then: told of each batch once it is answered: what was read of its prompts may be read on from.  Nobody is told
            where the model keeps something else than keys and values, or the prompts begin with nothing in common.
        heed: called after every token of a batch; what it raises ends the asking.

    Raises:
        ValueError: ``answered`` isn't at the end of a block.
    """
    looks = [0, *accumulate(sum(map(len, block)) for block in plan.blocks)]
    if answered not in looks:
        raise ValueError(f"{answered} prompts answered: blocks end at {looks} only")
    ends = {*end_tokens(model, chat.eos_id), chat.end_id}
    was_training = model.training
    model.eval()
    # Of all prompts, those that aren't asked too: what they share decides how the others are read.
    begun = Beginning(model, [prompts[i] for i in plan.order])
    texts: list[str] = []
    for block in plan.blocks[looks.index(answered) :]:
        said: list[str] = []
        for batch in block:
            ids, mask, cache = begun.read([prompts[i] for i in batch], plan.parts.get(batch, ()), chat.pad_id)
            made = write(
                model,
                ids,
                mask,
                max_new_tokens,
                ends,
                chat.pad_id,
                cache,
                _criteria(chat, until, ids.shape[1], heed),
            )
            if then is not None and cache is not None:
                then(model, chat, batch, ids, mask, cache)
            said += [_decode(chat, tokens, ends) for tokens in made[:, ids.shape[1] :].tolist()]
        texts += said
        if enough is not None and enough(said):
            break
    model.train(was_training)
    return texts


def left_padded(
    sequences: Sequence[Sequence[int]], shared: int, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask [rows, longest] of sequences that end together.

    Padding stands between the ``shared`` first tokens and the rest; the mask keeps positions and attention right.
    """
    length = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), length), pad_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), length), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        rest = length - len(sequence) + shared
        ids[row, :shared] = torch.tensor(sequence[:shared])
        ids[row, rest:] = torch.tensor(sequence[shared:])
        mask[row, :shared] = mask[row, rest:] = 1
    return ids, mask


def after_last(model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
    """Log-probabilities of what follows the last token of each row [rows, vocabulary]; the cache grows."""

    def select(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0][:, -1:], *args[1:])

    # The output layer sees one position of each row only.
    hook = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        logits: torch.Tensor = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=True,
        ).logits
    finally:
        hook.remove()
    return torch.log_softmax(logits[:, -1].float(), dim=-1)


class Beginning:
    """The tokens that all sequences begin with, and the keys and values that the model makes of them.

    Attributes:
        length: how many they are; 0 too where the model keeps something else than keys and values, or where padding
            behind them would count as distance.
    """

    def __init__(self, model: Any, sequences: Sequence[Sequence[int]]) -> None:
        self._model, self._device = model, next(model.parameters()).device
        first: Sequence[int] = min(sequences, key=tuple, default=())
        last: Sequence[int] = max(sequences, key=tuple, default=())
        # Something must be left to read: the answer begins after the last token read.
        most = max(0, min(map(len, sequences), default=0) - 1)
        if "local" in getattr(model.config, "attention_layers", ()):
            most = 0  # the windows of GPT-Neo, of which its cache says nothing
        self.length = next((n for n in range(most) if first[n] != last[n]), most)
        self._cache: Any = None
        if self.length:
            self._cache = DynamicCache(config=model.config)
            ids = torch.tensor([list(first[: self.length])], device=self._device)
            model(input_ids=ids, past_key_values=self._cache, use_cache=True)
            if any(type(layer) is not DynamicLayer for layer in self._cache.layers):
                self.length, self._cache = 0, None

    def read(
        self, sequences: Sequence[Sequence[int]], parts: Sequence[int], pad_id: int
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Ids and mask of a batch, as of `left_padded`, and a cache of its own that will grow; None where nothing is
        shared.

        It holds the tokens that all begin with.  Where the batch is read in several ``parts`` (their sizes, in order of
        the sequences), each padded by itself, it holds all tokens but the last, too.
        """
        ids, mask = (t.to(self._device) for t in left_padded(sequences, self.length, pad_id))
        if self._cache is None or len(parts) < 2:
            return ids, mask, self.cache(len(sequences))
        read, begin = [], 0
        for size in parts:
            rows = slice(begin, begin + size)
            gap = ids.shape[1] - max(map(len, sequences[rows]))
            read.append((gap, self._part(ids[rows, :-1], mask[rows, :-1], gap)))
            begin += size
        whole = read[0][1]
        for n, layer in enumerate(whole.layers):
            layer.keys = torch.cat([self._spread(part.layers[n].keys, gap) for gap, part in read])
            layer.values = torch.cat([self._spread(part.layers[n].values, gap) for gap, part in read])
        return ids, mask, whole

    def _part(self, ids: torch.Tensor, mask: torch.Tensor, gap: int) -> Any:
        """The cache of rows that are all padded by ``gap`` tokens or more, without these."""
        cache, rest = self.cache(len(ids)), ids[:, self.length + gap :]
        if rest.shape[1]:
            seen = torch.cat([mask[:, : self.length], mask[:, self.length + gap :]], dim=1)
            after_last(self._model, rest, seen, cache)
        return cache

    def _spread(self, states: torch.Tensor, gap: int) -> torch.Tensor:
        """Keys or values [rows, heads, length, size] with ``gap`` empty places, which are masked, behind what all begin
        with."""
        empty = states.new_zeros((*states.shape[:2], gap, states.shape[3]))
        return torch.cat([states[:, :, : self.length], empty, states[:, :, self.length :]], dim=2)

    def cache(self, rows: int) -> Any:
        """A copy for a batch of ``rows``, which will grow; None where nothing is shared."""
        if self._cache is None:
            return None
        copied = copy.deepcopy(self._cache)
        copied.batch_repeat_interleave(rows)
        return copied


def _criteria(
    chat: Chat, until: Sequence[str], start: int, heed: Callable[[], None] | None
) -> StoppingCriteriaList:
    said = [_Said(chat, until, start)] if until else []
    return StoppingCriteriaList(said + ([_Heeding(heed)] if heed is not None else []))


class _Heeding(StoppingCriteria):
    """Ends no row; calls somebody who may end everything."""

    def __init__(self, heed: Callable[[], None]) -> None:
        self._heed = heed

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor | None, **kwargs: Any) -> torch.Tensor:
        self._heed()
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)


class _Said(StoppingCriteria):
    """Ends each row where one of some texts has been said."""

    def __init__(self, chat: Chat, until: Sequence[str], start: int) -> None:
        self.chat, self.until, self.start = chat, until, start
        # A token is a byte at least.
        self.last = 1 + max(len(text.encode()) for text in until)

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor | None, **kwargs: Any) -> torch.Tensor:
        said = ids[:, max(self.start, ids.shape[1] - self.last) :].tolist()
        texts = self.chat.tokenizer.batch_decode(said)
        ended = [any(end in text for end in self.until) for text in texts]
        return torch.tensor(ended, device=ids.device)


def _decode(chat: Chat, tokens: list[int], ends: set[int]) -> str:
    """Text up to the first end token."""
    for n, token in enumerate(tokens):
        if token in ends:
            tokens = tokens[:n]
            break
    return str(chat.tokenizer.decode(tokens, skip_special_tokens=True))
