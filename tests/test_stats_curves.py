"""Curves and the mean over seeds and prompts, against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ftstab.stats import crossed_mean, mean_weights, reach, rising_blocks


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
