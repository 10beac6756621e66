"""The batch plan: in which order, blocks and batches a prompt set is asked (measurement rule 10).  Pure.

The order is random and its every beginning holds the categories in proportion; lengths sort inside a block
only, so that looking at block ends alone sees a random, stratified sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftstab.data.rows import RowSet
from ftstab.identity import digest

Batch = tuple[int, ...]
"""Row indexes of prompts that are answered together, by rising length."""

PART_COST = 1024
"""Padding in tokens that reading a batch in one part more must save: on a GPU each part takes the time of some hundred
tokens, on a CPU of a few.  The same everywhere, because in bfloat16 answers depend on what is read together."""


@dataclass(frozen=True)
class BatchPlan:
    """What is asked, in order.

    Attributes:
        blocks: row indexes by block and batch.  Looks happen at block ends; no batch reaches over one.
        hash: key of the prompt set, of this order and of the parts.
        parts: sizes of the parts that a batch's prompts are read in one after the other, of the batches that aren't
            read at once; the answers are written together all the same.
    """

    blocks: tuple[tuple[Batch, ...], ...]
    hash: str
    parts: Mapping[Batch, tuple[int, ...]] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, ...]:
        """Row indexes in the order asked."""
        return tuple(i for block in self.blocks for batch in block for i in batch)


def batch_plan(
    rows: RowSet,
    members: Sequence[int],
    lengths: Sequence[int],
    seed: int,
    block_size: int,
    batch_size: int,
    limit: int | None,
) -> BatchPlan:
    """Plan how the rows ``members`` of ``rows`` are asked.

    Args:
        rows: the prompt set.
        members: indexes of the rows to ask; their order doesn't matter.
        lengths: length in tokens of each member, in the order of ``members``.
        seed: seed of the order.
        block_size: prompts per block.
        batch_size: prompts per batch; the last batch of a block may be smaller.
        limit: ask only so many, the first of the random order.
    """
    length = dict(zip(members, lengths, strict=True))
    order = _stratified(rows, list(length), seed)[:limit]
    blocks = []
    for start in range(0, len(order), block_size):
        block = sorted(order[start : start + block_size], key=length.__getitem__)
        blocks.append(tuple(tuple(block[i : i + batch_size]) for i in range(0, len(block), batch_size)))
    cut = ((batch, _parts([length[i] for i in batch])) for block in blocks for batch in block)
    parts = {batch: sizes for batch, sizes in cut if len(sizes) > 1}
    told = [rows.hash, blocks]
    return BatchPlan(tuple(blocks), digest([*told, list(parts.items())] if parts else told), parts)


def _parts(lengths: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the parts with the least padding, `PART_COST` counted for each, of sorted ``lengths``."""
    best, first = [0], [0]
    for end in range(1, len(lengths) + 1):
        # All from `begin` on are padded to the last of them.
        costs = [best[begin] + PART_COST + (end - begin) * lengths[end - 1] for begin in range(end)]
        best.append(min(costs))
        first.append(costs.index(best[-1]))
    sizes, end = [], len(lengths)
    while end:
        sizes.append(end - first[end])
        end = first[end]
    return tuple(reversed(sizes))


def _stratified(rows: RowSet, members: list[int], seed: int) -> list[int]:
    """A random order in which every beginning is within one row of each category's proportion.

    The categories take turns as in Tijdeman, The chairman assignment problem (Discrete Mathematics 32, 1980):
    of those that may go, the one that must go first; within a category the order is random.
    """
    seen: Counter[str] = Counter()
    key = {}
    for i in sorted(members):
        content = digest([seed, rows.rows[i].messages, rows.rows[i].category])
        key[i] = (content, seen[content])
        seen[content] += 1
    waiting: dict[str | None, list[int]] = {}
    for i in sorted(members, key=key.__getitem__, reverse=True):
        waiting.setdefault(rows.rows[i].category, []).append(i)
    if len(waiting) < 2:
        return [i for queue in waiting.values() for i in reversed(queue)]
    share = {category: len(queue) for category, queue in waiting.items()}
    total, slack = len(members), 2 * len(waiting) - 2
    gone: Counter[str | None] = Counter()
    order: list[int] = []
    for m in range(1, total + 1):
        # Rows that a category is owed after m, times total: whole numbers, so that no rounding decides.
        owed = {c: share[c] * m - gone[c] * total for c in share if waiting[c]}
        category = min(
            (c for c, rows_owed in owed.items() if rows_owed * slack >= total),
            key=lambda c: (((slack - 1) * total - owed[c] * slack) / share[c], key[waiting[c][-1]]),
        )
        gone[category] += 1
        order.append(waiting[category].pop())
    return order
