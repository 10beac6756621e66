"""Curves and the mean over seeds and prompts, against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ftstab.stats import crossed_margin, crossed_mean, left_out, mean_weights, reach, rising_blocks


@pytest.mark.parametrize(
    ("abscissae", "blocks"),
    [
        ([0.1, 0.2, 0.3], [[0], [1], [2]]),
        ([0.1, 0.1, 0.3], [[0, 1], [2]]),
        ([0.1, 0.4, 0.3, 0.5], [[0], [1, 2], [3]]),
        ([0.5, 0.4, 0.3], [[0, 1, 2]]),
        ([0.2, 0.3, 0.1, 0.3], [[0, 1, 2], [3]]),
    ],
)
def test_neighbours_are_pooled_until_the_abscissae_rise(
    abscissae: list[float], blocks: list[list[int]]
) -> None:
    assert rising_blocks(abscissae) == blocks


def test_the_weights_are_those_of_the_area_under_straight_lines() -> None:
    at, high = [0.0, 1.0, 2.0, 4.0], [0.0, 3.0, 1.0, 5.0]
    grid = np.linspace(0.5, 3.5, 300_001)
    wanted = np.interp(grid, at, high).mean()
    weights = mean_weights(at, 0.5, 3.5)
    assert float(weights @ high) == pytest.approx(wanted, abs=1e-5)
    assert weights.sum() == pytest.approx(1)
    assert float(mean_weights(at, 3.0, 3.0) @ high) == pytest.approx(3.0)


def test_several_ranges_at_once_are_each_of_them() -> None:
    at = [0.0, 1.0, 0.8, 4.0]
    low, high = [0.1, 0.5, 2.0], [0.1, 3.5, 2.0 + 1e-13]
    found = mean_weights(at, low, high)
    assert found.shape == (3, 4)
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    for row, a, b in zip(found, low, high, strict=True):
        assert row == pytest.approx(mean_weights(at, a, b))
    assert found[2] == pytest.approx(mean_weights(at, 2.0, 2.0))


def test_pooled_settings_share_their_weight() -> None:
    weights = mean_weights([0.0, 0.6, 0.4, 1.0], 0.0, 1.0)
    assert weights[1] == weights[2]
    assert reach([0.0, 0.6, 0.4, 1.0]) == (0.0, 1.0)
    assert mean_weights([0.3], 0.3, 0.3).tolist() == [1.0]


def test_a_curve_isnt_read_beyond_its_ends() -> None:
    with pytest.raises(ValueError, match="reaches from"):
        mean_weights([0.0, 1.0], 0.5, 1.5)


def test_seeds_alone_give_students_interval() -> None:
    """Where every prompt tells the same, but for the one prompt that is added."""
    by_seed = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
    found = crossed_mean(np.repeat(by_seed[:, None], 100_000, axis=1))
    low, high = stats.t.interval(0.95, 4, loc=by_seed.mean(), scale=stats.sem(by_seed))
    assert found == pytest.approx((0.2, low, high), abs=1e-4)


def test_prompts_that_tell_the_same_in_every_seed_widen_it() -> None:
    draw = np.random.default_rng(0)
    own = draw.normal(size=100)
    table = np.repeat(own[None], 5, axis=0) + 0.01 * draw.normal(size=(5, 100))
    found = crossed_mean(table)
    assert found.high - found.low == pytest.approx(2 * 1.96 * own.std(ddof=1) / 10, rel=0.1)


def test_nothing_differing_isnt_certainty() -> None:
    found = crossed_mean(np.zeros((5, 50)))
    assert found.low == pytest.approx(-1.96 / 50, rel=1e-3)
    assert found.high == -found.low


def test_a_table_of_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="two of each"):
        crossed_mean(np.zeros((1, 50)))


def test_leaving_groups_of_rows_out() -> None:
    totals, weights = np.array([[1.0, 4.0, 9.0], [0.0, 0.0, 3.0]]), np.array([1.0, 2.0, 3.0])
    found = left_out(totals, weights)
    assert found == pytest.approx(np.array([[13 / 5, 10 / 4, 5 / 3], [3 / 5, 3 / 4, 0]]))
    many = left_out(np.arange(50.0), np.ones(50))
    assert many.shape == (20,)
    assert many[3] == pytest.approx(np.delete(np.arange(50.0), [3, 23, 43]).mean())
    with pytest.raises(ValueError, match="two or more"):
        left_out([1.0], [1.0])
    with pytest.raises(ValueError, match="positive"):
        left_out([1.0, 2.0], [1.0, 0.0])


def test_what_units_leave_open_is_that_of_their_mean() -> None:
    """Of a plain mean pseudo-values are the groups' own means, so that the margin is Student's over groups."""
    values = np.random.default_rng(1).normal(size=(20,))
    without = left_out(values, np.ones(20))
    same = np.repeat(without[None], 3, axis=0)
    _, high = stats.t.interval(0.95, 19, scale=stats.sem(values))
    assert crossed_margin(np.full(3, values.mean()), same) == pytest.approx(high)
    assert crossed_margin(np.full(3, 1.0), np.ones((3, 20))) == 0.0
    with pytest.raises(ValueError, match="two of each"):
        crossed_margin([1.0], np.ones((1, 20)))


def test_what_differs_from_seed_to_seed_is_left_to_the_seeds() -> None:
    """Rows that every seed meets anew: their part shrinks with the seeds, and an interval over seeds has it."""
    draw, own, every = np.random.default_rng(2), [], []
    for _ in range(200):
        table = draw.normal(size=(5, 20))
        without = left_out(table, np.ones(20))
        own.append(crossed_margin(table.mean(axis=1), without))
        every.append(2.093 * table.mean(axis=0).std(ddof=1) / np.sqrt(20))
    assert np.mean(own) < 0.5 * np.mean(every)
