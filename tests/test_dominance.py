"""Dominance against a naive twin, and areas against a count of unit squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.dominance import hypervolume, non_dominated

# Few distinct values, so that ties and equal rows are common.
tables = st.integers(1, 3).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 3), min_size=m, max_size=m), min_size=1, max_size=12)
)


def naive(values: list[list[int]]) -> list[bool]:
    def beats(a: list[int], b: list[int]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    return [not any(beats(other, mine) for other in values) for mine in values]


@given(tables)
def test_non_dominated_agrees_with_its_definition(values: list[list[int]]):
    assert non_dominated(np.array(values, dtype=float)).tolist() == naive(values)


@given(tables)
def test_some_row_is_never_beaten_and_order_does_not_matter(values: list[list[int]]):
    table = np.array(values, dtype=float)
    found = non_dominated(table)
    assert found.any()
    assert non_dominated(table[::-1])[::-1].tolist() == found.tolist()


def test_non_dominated_of_nothing_is_nothing():
    assert non_dominated(np.empty((0, 2))).tolist() == []


@pytest.mark.parametrize("bad", [np.array([[0.0, np.nan]]), np.array([[np.inf, 0.0]]), np.array([1.0, 2.0])])
def test_non_dominated_refuses_what_it_cannot_rank(bad):
    with pytest.raises(ValueError, match="finite"):
        non_dominated(bad)


def test_hypervolume_of_a_staircase():
    points = np.array([[0.2, 0.6], [0.5, 0.1], [0.6, 0.7]])  # the third is beaten by both
    assert hypervolume(points, (1.0, 1.0)) == pytest.approx(0.8 * 0.4 + 0.5 * 0.5)


@given(st.lists(st.tuples(st.integers(-2, 6), st.integers(-2, 6)), max_size=8))
def test_hypervolume_counts_the_unit_squares_that_are_covered(points: list[tuple[int, int]]):
    reference = (4, 4)
    squares = {
        (x, y) for x in range(-2, 4) for y in range(-2, 4) if any(px <= x and py <= y for px, py in points)
    }
    assert hypervolume(np.array(points, dtype=float).reshape(-1, 2), reference) == len(squares)
