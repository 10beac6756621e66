"""Search and confirmation halves: whole groups, shares per stratum, membership by content."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.duplicates import groups
from ftstab.data.rows import Message, Row, RowSet, read_rows
from ftstab.data.split import Split, split_sets
from ftstab.errors import DataError
from ftstab.spec import Source


def row_set(rows: list[tuple[str, str | None]], name: str = "set") -> RowSet:
    made = tuple(
        Row(str(i), (Message("user", text),), None, category) for i, (text, category) in enumerate(rows)
    )
    return RowSet(name, made, "hash")


def half_texts(rows: RowSet, split: Split) -> tuple[list[str], list[str]]:
    return tuple(sorted(rows.rows[i].prompt for i in half) for half in (split.search, split.confirm))  # type: ignore[return-value]


GROUP = st.tuples(st.integers(1, 4), st.sampled_from(["x", "y", None]))
SHARES = st.sampled_from([(0.5, 0.5), (0.3, 0.7), (0.25, 0.25), (1 / 3, 1 / 3), (0.2, 0.5), (1.0, 0.0)])


def grouped(sizes: list[tuple[int, str | None]]) -> list[tuple[str, str | None]]:
    """Groups of near-duplicates: rows of one group differ in a function word only."""
    frames = ["topic{i}x plan", "the topic{i}x plan", "a topic{i}x plan", "is topic{i}x plan"]
    return [
        (frames[k].format(i=i), category) for i, (size, category) in enumerate(sizes) for k in range(size)
    ]


@given(st.lists(GROUP, min_size=40, max_size=60), SHARES, st.integers(0, 5), st.randoms())
def test_shares_groups_and_order(sizes, shares, seed, rng: random.Random) -> None:
    rows = grouped(sizes)
    plain = row_set(rows)
    split = split_sets({"a": plain}, *shares, seed)["a"]
    assert not set(split.search) & set(split.confirm)
    assert list(split.search) == sorted(split.search)
    number = groups([text for text, _ in rows])
    assert len(set(number)) == len(sizes)
    side = {i: "search" for i in split.search} | {i: "confirm" for i in split.confirm}
    for i in range(len(rows)):
        assert side.get(i) == side.get(number.index(number[i]))
    for category in {c for _, c in sizes}:
        largest = max(size for size, c in sizes if c == category)
        total = sum(c == category for _, c in rows)
        for half, share in zip((split.search, split.confirm), shares, strict=True):
            assert abs(sum(rows[i][1] == category for i in half) - share * total) <= largest + 1e-6
    shuffled = rows.copy()
    rng.shuffle(shuffled)
    again = row_set(shuffled)
    assert half_texts(again, split_sets({"b": again}, *shares, seed)["b"]) == half_texts(plain, split)


def test_many_small_strata_keep_the_share_of_the_set() -> None:
    rows = row_set([(f"topic{i}x plan{i}y", f"category {i}") for i in range(100)])
    for search, confirm in ((0.5, 0.5), (0.3, 0.7), (0.2, 0.2)):
        split = split_sets({"a": rows}, search, confirm, 0)["a"]
        assert abs(len(split.search) - 100 * search) <= 1
        assert abs(len(split.confirm) - 100 * confirm) <= 1


@pytest.mark.parametrize("seed", range(10))
def test_no_side_of_three_is_left_behind(seed: int) -> None:
    rows = row_set([(f"topic{i}x plan{i}y", f"category {i % 9}") for i in range(36)])
    split = split_sets({"a": rows}, 1 / 3, 1 / 3, seed)["a"]
    for half in (split.search, split.confirm):
        found = Counter(i % 9 for i in half)
        assert all(1 <= found[c] <= 2 for c in range(9))


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_several_categories_leave_the_shares_alone(seed: int) -> None:
    names = ["the", "some", "an", "this"]
    rows = []
    for i, name in enumerate(names):
        rows += [
            (f"{c} topic{i}x{j}y plan{i}x{j}y", c)
            for j in range(3)
            for c in (name, names[(i + 1) % len(names)])
        ]
        rows += [(f"lonely{i}x{j}y matter{i}x{j}y", name) for j in range(3)]
    search = split_sets({"a": row_set(rows)}, 0.5, 0.5, seed)["a"].search
    found = Counter(rows[i][1] for i in search)
    assert all(4 <= found[name] <= 5 for name in names)  # of 9


def test_near_duplicates_stay_together_across_sets() -> None:
    texts = [f"topic{i}x plan{i}y" for i in range(40)]
    sets = {
        "harmful": row_set([(t, "c") for t in texts]),
        "lookalikes": row_set([(f"the {t}", None) for t in reversed(texts)]),
        "tasks": row_set([(f"other{i}x thing{i}y", None) for i in range(40)]),
    }
    halves = split_sets(sets, 0.5, 0.5, 0)
    first = {sets["harmful"].rows[i].prompt for i in halves["harmful"].search}
    second = {sets["lookalikes"].rows[i].prompt.removeprefix("the ") for i in halves["lookalikes"].search}
    assert first == second
    assert {len(h.search) for h in halves.values()} == {20}
    turned = dict(reversed(sets.items()))
    assert split_sets(turned, 0.5, 0.5, 0) == halves


def test_seed_changes_the_halves_and_nothing_else_does() -> None:
    rows = row_set([(f"topic{i}x plan{i}y", "c") for i in range(60)])
    first = split_sets({"a": rows}, 0.5, 0.5, 0)["a"]
    assert split_sets({"renamed": rows}, 0.5, 0.5, 0)["renamed"] == first
    others = [split_sets({"a": rows}, 0.5, 0.5, seed)["a"] for seed in range(1, 30)]
    assert len({o.search for o in others} | {first.search}) == 30
    appearances = Counter(i for o in others for i in o.search)
    assert len(appearances) == 60  # every row is in some search half: no row is stuck on one side
    assert max(appearances.values()) < 29


def test_a_half_without_rows_is_an_error() -> None:
    alike = row_set([("the same words", None), ("same words", None), ("words the same", None)], "alike")
    with pytest.raises(DataError) as caught:
        split_sets({"a": alike}, 0.5, 0.5, 0)
    assert re.fullmatch(
        r"alike@hash: its 3 rows are too few, or too alike, for a \w+ half of 0\.5: they form 1 group of "
        r"near-duplicates \(requests that share most of their words\), each of which stays in one half, and at least 2 "
        r"groups are needed; give more rows that differ, or change evaluation\.split",
        str(caught.value),
    )
    some = row_set([(f"topic{i}x plan{i}y", None) for i in range(2)], "some")
    with pytest.raises(DataError, match=r"its 2 rows .* 2 groups of .* at least 10 groups are needed"):
        split_sets({"a": some}, 0.9, 0.1, 0)
    assert split_sets({"a": alike}, 1.0, 0.0, 0)["a"] == Split((0, 1, 2), ())


def test_earlier_turns_count() -> None:
    rows = tuple(
        Row(
            str(i),
            (Message("user", f"topic{i}x plan{i}y"), Message("assistant", "ok"), Message("user", "go")),
            None,
            None,
        )
        for i in range(10)
    )
    split = split_sets({"a": RowSet("talk", rows, "h")}, 0.5, 0.5, 0)["a"]
    assert len(split.search) == len(split.confirm) == 5


def test_built_in_benchmarks_split_evenly() -> None:
    names = ("harmful", "safe_lookalikes", "tasks_test", "ordinary_heldout")
    sets = {n: read_rows(Source(location=f"builtin:{n}"), Path("."), False) for n in names}
    halves = split_sets(sets, 0.5, 0.5, 0)
    for name, split in halves.items():
        rows = sets[name].rows
        search = Counter(rows[i].category for i in split.search)
        assert search == Counter(rows[i].category for i in split.confirm)
