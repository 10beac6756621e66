"""The rows of an update (measurement rule 17)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.order import Mixed, update_rows


@given(st.integers(1, 30), st.integers(0, 3), st.integers(1, 80), st.integers(0, 20))
def test_updates_cut_one_stream_of_whole_epochs(n_rows: int, seed: int, batch_size: int, update: int) -> None:
    stream = [i for t in range(update + 1) for i in update_rows(n_rows, "data", seed, batch_size, t)]
    assert len(stream) == batch_size * (update + 1)
    assert stream[-batch_size:] == update_rows(n_rows, "data", seed, batch_size, update)
    for start in range(0, len(stream) - n_rows + 1, n_rows):
        assert sorted(stream[start : start + n_rows]) == list(range(n_rows))


@given(st.integers(1, 6), st.integers(1, 6))
def test_the_stream_does_not_depend_on_the_batch(small: int, factor: int) -> None:
    large = update_rows(17, "data", 0, small * factor, 2)
    assert large == [i for t in range(2 * factor, 3 * factor) for i in update_rows(17, "data", 0, small, t)]


def test_epochs_seeds_and_data_differ() -> None:
    orders = {
        tuple(update_rows(50, data, seed, 50, epoch))
        for data in "ab"
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 18


def test_first_rows_are_uniform() -> None:
    firsts = Counter(update_rows(5, "data", seed, 1, 0)[0] for seed in range(1000))
    assert all(150 < firsts[i] < 250 for i in range(5))


def test_the_order_never_changes() -> None:
    """Stored trajectories depend on it: a change of this order makes them wrong, not old."""
    assert update_rows(10, "data", 0, 15, 0) == [7, 2, 9, 0, 4, 8, 1, 3, 6, 5, 2, 7, 8, 6, 0]


# Rows that are mixed in


@given(st.integers(1, 30), st.integers(1, 9), st.floats(0.01, 0.5), st.integers(0, 3), st.integers(1, 200))
def test_any_piece_of_the_stream_has_the_share_to_a_row(
    n_rows: int, n_mixed: int, share: float, seed: int, length: int
) -> None:
    stream = update_rows(n_rows, "data", seed, 300, 0, Mixed(n_mixed, share))
    for begin in (0, 57, 300 - length):
        piece = stream[begin : begin + length]
        assert abs(sum(i >= n_rows for i in piece) - share * len(piece)) < 1 + 1e-9


@given(st.integers(1, 12), st.integers(1, 5), st.floats(0.01, 0.5), st.integers(0, 3))
def test_both_kinds_of_rows_come_in_whole_epochs(n_rows: int, n_mixed: int, share: float, seed: int) -> None:
    stream = update_rows(n_rows, "data", seed, 200, 0, Mixed(n_mixed, share))
    for own, first, count in (
        ([i for i in stream if i < n_rows], 0, n_rows),
        ([i for i in stream if i >= n_rows], n_rows, n_mixed),
    ):
        for start in range(0, len(own) - count + 1, count):
            assert sorted(own[start : start + count]) == list(range(first, first + count))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5))
def test_a_mixed_stream_does_not_depend_on_the_batch(small: int, factor: int, update: int) -> None:
    mixed = Mixed(4, 0.3)
    large = update_rows(17, "data", 0, small * factor, update, mixed)
    begin = factor * update
    pieces = [update_rows(17, "data", 0, small, t, mixed) for t in range(begin, begin + factor)]
    assert large == [i for piece in pieces for i in piece]


@pytest.mark.parametrize("share", [0.03, 0.2, 0.5])
def test_rows_keep_their_order_whatever_is_mixed_in(share: float) -> None:
    mixed = update_rows(40, "data", 1, 100, 0, Mixed(7, share))
    own = [i for i in mixed if i < 40]
    assert own == update_rows(40, "data", 1, len(own), 0)
    assert update_rows(40, "data", 1, 100, 0, Mixed(7, 0.0)) == update_rows(40, "data", 1, 100, 0)


def test_where_a_mix_begins_is_up_to_seed_and_data() -> None:
    firsts = {
        next(p for p, i in enumerate(update_rows(50, data, seed, 40, 0, Mixed(9, 0.03))) if i >= 50)
        for data in "ab"
        for seed in range(20)
    }
    assert len(firsts) > 15
    assert min(firsts) < 8
    assert max(firsts) > 25


def test_the_order_of_a_mix_never_changes() -> None:
    """As above: stored trajectories depend on it."""
    found = update_rows(10, "data", 0, 15, 0, Mixed(3, 0.25))
    assert found == [12, 7, 2, 9, 10, 0, 4, 8, 11, 1, 3, 6, 12, 5, 2]
