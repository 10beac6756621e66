"""The batch plan: a random stratified order, sorted inside blocks only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain, combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.batchplan import PART_COST, BatchPlan, batch_plan
from ftstab.data.rows import Message, Row, RowSet


def row_set(categories: list[str | None], hash_: str = "hash") -> RowSet:
    rows = tuple(Row(str(i), (Message("user", f"prompt {i}"),), None, c) for i, c in enumerate(categories))
    return RowSet("set", rows, hash_)


def plan(categories: list[str | None], lengths: list[int] | None = None, **change: object) -> BatchPlan:
    members = range(len(categories))
    values = {"seed": 0, "block_size": 24, "batch_size": 10, "limit": None} | change
    return batch_plan(row_set(categories), members, lengths or [1] * len(categories), **values)


CATEGORIES = st.lists(st.sampled_from(["a", "a", "a", "b", "c", None]), min_size=1, max_size=120)


@given(CATEGORIES, st.integers(0, 3), st.integers(1, 40), st.integers(1, 12), st.none() | st.integers(1, 150))
def test_shape_and_strata(categories, seed, block_size, batch_size, limit) -> None:
    lengths = [hash((i, seed)) % 50 for i in range(len(categories))]
    made = plan(categories, lengths, seed=seed, block_size=block_size, batch_size=batch_size, limit=limit)
    total = min(len(categories), limit or len(categories))
    assert len(made.order) == len(set(made.order)) == total
    sizes = [sum(len(batch) for batch in block) for block in made.blocks]
    assert sizes[:-1] == [block_size] * (len(sizes) - 1)
    for block in made.blocks:
        assert all(len(batch) == batch_size for batch in block[:-1])
        flat = [lengths[i] for batch in block for i in batch]
        assert flat == sorted(flat)
    counts = Counter(categories)
    seen: Counter[str | None] = Counter()
    asked = 0
    for block in made.blocks:
        seen.update(categories[i] for batch in block for i in batch)
        asked += sum(len(batch) for batch in block)
        for category, count in counts.items():
            assert abs(seen[category] - count * asked / len(categories)) < 1


def test_a_large_category_waits_for_no_small_ones() -> None:
    counts = [1, 2, 3, 1, 40, 1, 2, 5]
    categories = [f"c{k}" for k, count in enumerate(counts) for _ in range(count)]
    order = plan(categories, block_size=1).order
    for m in range(1, len(order) + 1):
        seen = Counter(categories[i] for i in order[:m])
        for k, count in enumerate(counts):
            assert abs(seen[f"c{k}"] - count * m / len(order)) < 1


def test_equal_categories_are_equal_in_every_block() -> None:
    made = plan([f"c{i % 12}" for i in range(240)])
    for block in made.blocks:
        found = Counter(i % 12 for batch in block for i in batch)
        assert set(found.values()) == {2}


def test_lengths_change_the_order_inside_blocks_only() -> None:
    categories = [f"c{i % 5}" for i in range(100)]
    plain = plan(categories)
    sorted_ = plan(categories, [(i * 37) % 101 for i in range(100)])
    assert plain.order != sorted_.order
    assert plain.hash != sorted_.hash
    for first, second in zip(plain.blocks, sorted_.blocks, strict=True):
        assert {i for b in first for i in b} == {i for b in second for i in b}


def cost(lengths: list[int], sizes: Iterable[int]) -> int:
    """Tokens with padding, and what the parts cost."""
    found, begin = 0, 0
    for size in sizes:
        found += PART_COST + size * max(lengths[begin : begin + size])
        begin += size
    assert begin == len(lengths)
    return found


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=9))
def test_no_other_parts_would_read_less(lengths) -> None:
    made = plan([None] * len(lengths), lengths, block_size=20, batch_size=20)
    ((batch,),) = made.blocks
    sizes = made.parts.get(batch, (len(batch),))
    found = [lengths[i] for i in batch]
    ends = range(1, len(found))
    cuts = chain.from_iterable(combinations(ends, n) for n in range(len(found)))
    every = ([b - a for a, b in pairwise((0, *cut, len(found)))] for cut in cuts)
    assert cost(found, sizes) == min(cost(found, others) for others in every)


def test_parts_are_made_where_they_save_much_and_are_part_of_the_key(monkeypatch) -> None:
    few, many = [40] * 12 + [50] * 12, [40] * 20 + [400] * 4
    categories: list[str | None] = [None] * 24
    assert plan(categories, few, batch_size=24).parts == {}
    made = plan(categories, many, batch_size=24)
    assert list(made.parts.values()) == [(20, 4)]
    # What is read at once keeps its key.
    before = plan(categories, few, batch_size=24).hash
    monkeypatch.setattr("ftstab.data.batchplan.PART_COST", 10**9)
    assert plan(categories, few, batch_size=24).hash == before
    whole = plan(categories, many, batch_size=24)
    assert (whole.blocks, whole.parts) == (made.blocks, {})
    assert whole.hash != made.hash


def test_limit_takes_the_beginning_of_the_random_order() -> None:
    categories = [f"c{i % 5}" for i in range(100)]
    lengths = [(i * 37) % 101 for i in range(100)]
    whole, part = plan(categories, lengths, block_size=20), plan(categories, lengths, block_size=20, limit=40)
    assert part.blocks == whole.blocks[:2]
    assert Counter(i % 5 for i in part.order) == dict.fromkeys(range(5), 8)


def test_the_plan_depends_on_content_members_and_seed() -> None:
    categories: list[str | None] = ["a", "b"] * 30
    base = plan(categories)
    assert plan(categories) == base
    assert base.order != tuple(range(60))
    assert plan(categories, seed=1).order != base.order
    assert plan(categories, batch_size=5).order == base.order
    assert plan(categories, batch_size=5).hash != base.hash
    members = list(range(0, 60, 2))
    rows = row_set(categories)
    forward = batch_plan(rows, members, members, 0, 24, 10, None)
    assert batch_plan(rows, members[::-1], members[::-1], 0, 24, 10, None) == forward
    assert set(forward.order) == set(members)
    other = batch_plan(row_set(categories, "other"), members, members, 0, 24, 10, None)
    assert (other.blocks, other.hash != forward.hash) == (forward.blocks, True)


def test_order_is_random_without_categories() -> None:
    positions = [plan([None] * 50, seed=seed).order.index(0) for seed in range(200)]
    assert abs(sum(positions) / 200 - 24.5) < 4
    steps = Counter(b - a for a, b in pairwise(plan([None] * 50).order))
    assert steps[1] < 10


def test_identical_rows_are_all_asked() -> None:
    rows = RowSet("same", tuple(Row(str(i), (Message("user", "p"),), None, None) for i in range(5)), "h")
    assert sorted(batch_plan(rows, range(5), [1] * 5, 0, 2, 2, None).order) == list(range(5))


def test_every_member_needs_a_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        batch_plan(row_set([None, None]), [0, 1], [1], 0, 2, 2, None)
