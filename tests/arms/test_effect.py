"""The effect of one arm against another at equal utility, by curves that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ftstab.arms.effect import Curve, compare_curves, up_to_peak
from ftstab.stats import left_out

PROMPTS = 200


def _curve(utility: Sequence[float], harm: Sequence[float], lost: int = 0) -> Curve:
    """Harm falls on the first prompts; the last ``lost`` of each setting are incoherent."""
    surely = np.array([[float(i < round(h * PROMPTS)) for i in range(PROMPTS)] for h in harm])
    worst = surely.copy()
    if lost:
        worst[:, -lost:] = 1
    # Every group of rows says the same of the utility.
    without = np.repeat(np.array(utility)[:, None], 20, axis=1)
    return Curve(tuple(utility), without, tuple(harm), surely, worst)


def _seeds(harm: float, shift: float = 0.0, lost: int = 0, seeds: int = 5) -> dict[int, Curve]:
    """Curves that rise from ``harm``; seeds differ by a point."""
    utility = [0.0, 0.1, 0.2, 0.3, 0.4]
    return {
        s: _curve([u + shift for u in utility], [harm + 0.01 * s + 0.5 * u for u in utility], lost)
        for s in range(seeds)
    }


def test_a_known_difference_is_found() -> None:
    found = compare_curves(_seeds(0.1), _seeds(0.3), 0.05)
    assert found.verdict == "better"
    assert found.value == pytest.approx(-0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.2 < found.high < 0
    turned = compare_curves(_seeds(0.3), _seeds(0.1), 0.05)
    assert (turned.verdict, turned.low, turned.high) == ("worse", -found.high, -found.low)


def test_it_is_at_equal_utility_and_not_at_equal_strength() -> None:
    """The same line, of which the second arm has a later part: equal settings by number are 10 points apart."""
    second = _seeds(0.1 + 0.5 * 0.2, shift=0.2)
    found = compare_curves(_seeds(0.1), second, 0.05)
    assert found.verdict == "equivalent"
    assert found.value == pytest.approx(0, abs=1e-9)
    assert {(round(s.low, 9), round(s.high, 9)) for s in found.seeds} == {(0.2, 0.4)}
    assert {round(s.share, 9) for s in found.seeds} == {0.5}


def test_no_overlap_is_no_claim() -> None:
    found = compare_curves(_seeds(0.1), _seeds(0.3, shift=0.5), 0.05)
    assert (found.verdict, found.value) == ("no claim", None)
    assert found.no_overlap == (0, 1, 2, 3, 4)
    assert "no overlap in utility in 5 of 5 seeds" in (found.reason or "")


def test_fewer_than_five_seeds_in_common_are_no_claim() -> None:
    found = compare_curves(_seeds(0.1, seeds=5), _seeds(0.3, seeds=4), 0.05)
    assert found.verdict == "no claim"
    assert "4 seeds in common" in (found.reason or "")


def test_doubtful_answers_count_against_every_claim() -> None:
    """A tenth of incoherent answers in the first arm: it isn't better by what it didn't say."""
    found = compare_curves(_seeds(0.1, lost=20), _seeds(0.15), 0.05)
    assert found.value is not None
    assert found.value < 0
    assert found.verdict == "undecided"
    found = compare_curves(_seeds(0.1), _seeds(0.15, lost=20), 0.05)
    assert found.verdict == "better"


def test_one_setting_is_read_at_its_own_utility() -> None:
    named = {s: _curve([0.25], [0.1 + 0.01 * s]) for s in range(5)}
    found = compare_curves(named, _seeds(0.1), 0.05)
    assert found.value == pytest.approx(-0.125)
    assert {(s.low, s.high, s.share) for s in found.seeds} == {(0.25, 0.25, 1.0)}
    beyond = {s: _curve([0.6], [0.1]) for s in range(5)}
    assert compare_curves(beyond, _seeds(0.1), 0.05).verdict == "no claim"


def test_an_arm_ends_at_its_peak_of_utility() -> None:
    assert up_to_peak([[0.1, 0.3, 0.2], [0.1, 0.2, 0.25]]) == 2
    assert up_to_peak([[0.1, 0.3, 0.4]]) == 3
    assert up_to_peak([[0.1, 0.1]]) == 1


def test_utility_is_what_strength_and_seed_add_up_to() -> None:
    """Seed 0 reads .11 and .29 for .1 and .3; seed 1 lies .05 above, and is as wrong the other way."""
    curves = {
        s: _curve([0.1 + 0.05 * (s % 2) + noise, 0.3 + 0.05 * (s % 2) - noise], [0.0, 0.4])
        for s, noise in enumerate((0.01, -0.01) * 3)
    }
    named = {s: _curve([0.2], [0.0]) for s in curves}
    found = compare_curves(named, curves, 0.05)
    # Halfway from .1 to .3 in even seeds, from .15 to .35 in odd ones, by straight lines from 0 to .4.
    assert [s.value for s in found.seeds] == pytest.approx([-0.2, -0.1] * 3)


def test_utility_rows_that_suit_one_arm_are_not_mistaken_for_less_harm() -> None:
    """Arms alike in harm at equal utility, but for the rows that each happens to get right, in every seed alike."""
    draw, rows = np.random.default_rng(4), 60
    wrong = {"matched": 0, "blind": 0}
    for _ in range(40):
        arms = []
        for _ in range(2):
            hard, found = 1.5 * draw.normal(size=rows), {}
            for seed in range(5):
                level = np.array([-1.5, -0.75, 0.0, 0.75, 1.5])
                right = draw.random((5, rows)) < 1 / (1 + np.exp(-level[:, None] - hard))
                harm = draw.random((5, 400)) < 1 / (1 + np.exp(1 - 1.5 * level[:, None]))
                one = _curve(list(right.mean(axis=1)), [0.0] * 5)
                found[seed] = Curve(
                    one.utility,
                    left_out(right, np.ones(rows)),
                    tuple(map(float, harm.mean(axis=1))),
                    harm.astype(np.float64),
                    harm.astype(np.float64),
                )
            arms.append(found)
        effect = compare_curves(*arms, 0.05)
        assert effect.matching is not None
        wrong["matched"] += effect.verdict in ("better", "worse", "equivalent")
        # What seeds and prompts alone would say.
        blind = [
            {
                s: Curve(c.utility, _curve(c.utility, c.harm).without, c.harm, c.surely, c.at_worst)
                for s, c in a.items()
            }
            for a in arms
        ]
        wrong["blind"] += compare_curves(*blind, 0.05).verdict in ("better", "worse")
    assert wrong["blind"] > 15
    assert wrong["matched"] <= 5


def test_rows_may_take_an_overlap_away() -> None:
    """Left out, a group of rows draws the lines apart: the effect is then read at the ends that lie nearest."""
    first, second = _seeds(0.1), _seeds(0.3, shift=0.39)
    shaken = {}
    for seed, c in second.items():
        without = c.without.copy()
        without[:, 0] += 0.02
        shaken[seed] = Curve(c.utility, without, c.harm, c.surely, c.at_worst)
    steady, found = compare_curves(first, second, 0.05), compare_curves(first, shaken, 0.05)
    assert steady.matching == pytest.approx(0, abs=1e-9)
    assert found.matching is not None
    # Of 20 groups one moves the effect, by at most half a point: 19 x .005 / 20 x t(19).
    assert 0 < found.matching < 0.012
    assert found.value == steady.value


def test_many_comparisons_at_once_ask_for_more() -> None:
    shifts = (0.01, 0.03, 0.05, 0.02, 0.04)
    first = {s: _seeds(0.3 - shift)[s] for s, shift in enumerate(shifts)}
    one = compare_curves(first, _seeds(0.3), 0.01)
    assert (one.verdict, one.family) == ("better", True)
    many = compare_curves(first, _seeds(0.3), 0.01, comparisons=20)
    assert (many.verdict, many.low, many.family) == ("better", one.low, False)
