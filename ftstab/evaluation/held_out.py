"""The held-out loss: how likely the installed weights find the right answers of given rows.

Where the rows are the tasks that are asked anyway, what the model read of a prompt before it answered serves the right
answer too (`Behind`): a task's prompt is mostly longer than its answer, and is read once instead of twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ftstab.data.batchplan import BatchPlan
from ftstab.evaluation.answer import Beginning, after_last
from ftstab.models.chat import Chat, EncodedRow
from ftstab.training.batches import MicroBatch, answer_logits, pad_rows


@torch.inference_mode()
def held_out_losses(model: Any, rows: Sequence[EncodedRow], pad_id: int, batch_size: int) -> list[float]:
    """Mean cross-entropy per answer token of each row, in the order given; every row is read whole."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    # The token before an answer is read with it.
    begun = Beginning(model, [row.ids[: row.answer_start] for row in rows])
    losses = [0.0] * len(rows)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        shared = begun.length
        rest = [EncodedRow(rows[i].ids[shared:], rows[i].answer_start - shared) for i in chosen]
        batch = pad_rows(rest, pad_id, device)
        logits = answer_logits(model, batch, begun.cache(len(chosen)))
        for i, loss in zip(chosen, _means(logits, batch, rest), strict=True):
            losses[i] = loss
    model.train(was_training)
    return losses


@torch.inference_mode()
def losses_behind(
    model: Any,
    chat: Chat,
    plan: BatchPlan,
    prompts: Mapping[int, Sequence[int]],
    rows: Mapping[int, EncodedRow],
    batch_size: int,
) -> list[float]:
    """The losses that `Behind` notes while the prompts of ``plan`` are asked, bit for bit, without any answers.

    Args:
        model: the compute model.
        chat: its tokenizer.
        plan: what is asked, in which batches.
        prompts: tokens by row index.
        rows: the held-out rows by the index of their prompt.
        batch_size: rows read at a time where the model's memory of a prompt can't be read on from.
    """
    was_training = model.training
    model.eval()
    behind = Behind(rows)
    begun = Beginning(model, [prompts[i] for i in plan.order])
    if begun.length:
        for batch in (batch for block in plan.blocks for batch in block):
            ids, mask, cache = begun.read([prompts[i] for i in batch], plan.parts.get(batch, ()), chat.pad_id)
            after_last(model, ids[:, cache.get_seq_length() :], mask, cache)
            behind.read(model, chat, batch, ids, mask, cache)
    model.train(was_training)
    return behind.all(model, chat, batch_size)


@dataclass
class Behind:
    """Reads held-out rows behind their prompts, batch by batch, as `ftstab.evaluation.answer.answers` tells of them.

    Attributes:
        rows: the held-out rows by the index of their prompt, whose tokens they begin with.
        losses: mean cross-entropy per answer token, by the same index, of those read so far.
    """

    rows: Mapping[int, EncodedRow]
    losses: dict[int, float] = field(default_factory=dict)

    def read(
        self,
        model: Any,
        chat: Chat,
        batch: Sequence[int],
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: Any,
    ) -> None:
        """Read the rows of one batch.

        Args:
            model: the compute model.
            chat: its tokenizer.
            batch: row indexes.
            ids: tokens of the prompts, padded on the left [rows, length].
            mask: 1 for tokens, 0 for padding [rows, length].
            cache: keys and values of these tokens, and of whatever was written behind them, which is dropped.
        """
        # The token before an answer is read with it.
        before = ids.shape[1] - 1
        cache.crop(before - cache.get_seq_length())
        rest = []
        for i, last in zip(batch, ids[:, -1].tolist(), strict=True):
            answer = self.rows[i].ids[self.rows[i].answer_start :] if i in self.rows else ()
            rest.append(EncodedRow((last, *answer), 1))
        made = pad_rows(rest, chat.pad_id, ids.device)
        logits = answer_logits(model, made, cache, mask[:, :before])
        for i, loss in zip(batch, _means(logits, made, rest), strict=True):
            if i in self.rows:
                self.losses[i] = loss

    def all(self, model: Any, chat: Chat, batch_size: int) -> list[float]:
        """The losses in the order of ``rows``; those that nobody has told of are read whole."""
        left = [i for i in self.rows if i not in self.losses]
        whole = held_out_losses(model, [self.rows[i] for i in left], chat.pad_id, batch_size)
        found = self.losses | dict(zip(left, whole, strict=True))
        return [found[i] for i in self.rows]


def _means(logits: torch.Tensor, batch: MicroBatch, rows: Sequence[EncodedRow]) -> list[float]:
    """Mean cross-entropy of each row's answer tokens; nan of a row without any."""
    each = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
    return [float(part.mean()) for part in each.split([row.answer_tokens for row in rows])]
