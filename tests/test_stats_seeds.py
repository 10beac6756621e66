"""Intervals of a new run, and tests of several categories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as reference

from ftstab.stats import (
    MIN_SEEDS,
    benjamini_hochberg,
    clopper_pearson,
    method_label,
    new_run,
    new_run_difference,
    proportion,
    wilson,
)

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
HARDNESS = 1.5


def simulate(seeds: int, spread: float, prompts: int, middle: float, repeats: int) -> tuple[float, float]:
    """Share of intervals that hold a new run's rate, and their mean width; seeds move the logit of every prompt."""
    rng = np.random.default_rng(seeds)
    held, width = 0, 0.0
    for _ in range(repeats):
        logits = (
            middle + HARDNESS * rng.standard_normal(prompts) + spread * rng.standard_normal(seeds)[:, None]
        )
        found = new_run(rng.random((seeds, prompts)) < special.expit(logits))
        new = middle + spread * rng.standard_normal()
        truth = (special.expit(new + HARDNESS * NODES) * WEIGHTS).sum() / WEIGHTS.sum()
        held += found.low <= truth <= found.high
        width += found.high - found.low
    return held / repeats, width / repeats


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_a_new_run_lies_in_its_interval_as_often_as_said(seeds: int, spread: float) -> None:
    covered, _ = simulate(seeds, spread, 120, -1.2, 800)
    assert 0.90 <= covered <= 0.98


def test_a_percentile_bootstrap_of_three_seeds_would_not_do() -> None:
    """The simulation can fail: the same truths, with seeds resampled instead of Student's t."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        means = special.expit(-1.2 + rng.standard_normal(3))
        draws = means[rng.integers(0, 3, (400, 3))].mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        held += low <= special.expit(-1.2 + rng.standard_normal()) <= high
    assert held / 400 < 0.8


def test_the_interval_equals_its_written_definition() -> None:
    rng = np.random.default_rng(3)
    hits = rng.random((4, 50)) < rng.random(50)
    found = new_run(hits)
    by_seed, by_prompt, mean = hits.mean(axis=1), hits.mean(axis=0), hits.mean()
    rest = ((hits - by_seed[:, None] - by_prompt + mean) ** 2).sum() / (3 * 49)
    own = np.sqrt(max(1 / 4, (by_prompt.var(ddof=1) - rest / 4) / (mean * (1 - mean))))
    spread = reference.t.ppf(0.975, 3) * np.sqrt(by_seed.var(ddof=1) * (1 + 1 / 4))
    # Between two whole counts of hits Wilson's interval is read off a straight line.
    k = int(mean * 50)
    part = mean * 50 - k
    low = (1 - part) * wilson(k, 50).low + part * wilson(k + 1, 50).low
    assert found.value == pytest.approx(mean)
    assert found.low == pytest.approx(max(0, mean - np.hypot(spread, own * (mean - low))))
    assert (found.seeds, found.prompts) == (4, 50)


def test_fewer_than_three_seeds_have_no_interval() -> None:
    assert new_run(np.ones((MIN_SEEDS - 1, 100))) is None
    assert new_run_difference(np.zeros((2, 100))) is None
    assert new_run(np.ones((3, 1))) is None


def test_seeds_that_agree_still_leave_the_prompts() -> None:
    never = new_run(np.zeros((5, 60)))
    assert (never.value, never.low, never.high) == (0, 0, pytest.approx(wilson(0, 60).high))
    same = new_run_difference(np.zeros((3, 60)))
    assert same.low < 0 < same.high
    # Each seed hits other prompts, all equally many.
    assert new_run(np.eye(3, 60)).high > 1 / 60


def test_a_difference_holds_what_new_runs_differ_by() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(800):
        hard, luck = HARDNESS * rng.standard_normal(120), rng.standard_normal((2, 5))
        marks = [
            rng.random((5, 120)) < special.expit(hard + middle + 0.5 * own[:, None])
            for middle, own in zip((-1.0, -0.3), luck, strict=True)
        ]
        found = new_run_difference(marks[0].astype(float) - marks[1])
        new = [m + 0.5 * rng.standard_normal() for m in (-1.0, -0.3)]
        a, b = ((special.expit(x + HARDNESS * NODES) * WEIGHTS).sum() / WEIGHTS.sum() for x in new)
        held += found.low <= a - b <= found.high
    assert 0.90 <= held / 800 <= 0.98


def test_intervals_by_name() -> None:
    assert proportion(3, 50, "wilson") == wilson(3, 50)
    assert proportion(3, 50, "clopper_pearson") == clopper_pearson(3, 50)
    assert method_label("wilson") == "wilson-95"
    assert method_label("clopper_pearson") == "clopper-pearson-95"


@given(st.lists(st.floats(0, 1), max_size=20))
def test_benjamini_hochberg_equals_scipy(p_values: list[float]) -> None:
    expected = reference.false_discovery_control(p_values) if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(list(expected))


def test_benjamini_hochberg_of_the_published_example() -> None:
    # Benjamini and Hochberg 1995, section 3.2: four of fifteen at 5 %.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
    ]
    assert sum(q <= 0.05 for q in benjamini_hochberg([*p, 0.7590, 1.0])) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda: new_run(np.full((3, 4), 0.5)),
        lambda: new_run([1.0, 0.0]),
        lambda: new_run(np.zeros((3, 4)), 1.0),
        lambda: new_run_difference(np.full((3, 4), np.nan)),
        lambda: benjamini_hochberg([0.5, 1.2]),
    ],
)
def test_impossible_input_is_refused(call) -> None:
    with pytest.raises(ValueError, match="must"):
        call()
