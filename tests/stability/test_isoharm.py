"""Curves of equal harm where the harm is known."""

from __future__ import annotations

import pytest

from ftstab.stability import iso_harm
from ftstab.stability.isoharm import isotonic, reached
from tests.stability.material import grid, start


def test_harm_that_depends_on_rate_times_steps_has_a_hyperbola() -> None:
    """Half the prompts at learning rate x steps = 1e-3."""
    outcomes = grid(lambda r, b, s, t: min(1.0, 500 * r * t), rates=(5e-5, 1e-4, 2e-4), steps=range(2, 41, 2))
    (curve,) = iso_harm(outcomes, start(), [0.5])
    by_rate = {c.learning_rate: c for c in curve.crossings if c.batch_size == 4}
    assert {r: c.middle for r, c in by_rate.items()} == {
        5e-5: pytest.approx(20, abs=0.05),
        1e-4: pytest.approx(10, abs=0.05),
        2e-4: pytest.approx(5, abs=0.05),
    }
    assert all(set(c.steps) == {"0", "1", "2"} and c.bent == 0 for c in curve.crossings)


def test_nothing_is_said_beyond_the_last_step() -> None:
    outcomes = grid(lambda r, b, s, t: t / 100 if s else 0.0, rates=(1e-4,), batches=(4,))
    (curve,) = iso_harm(outcomes, start(), [0.3])
    (crossing,) = curve.crossings
    assert crossing.steps == {"0": None, "1": pytest.approx(30), "2": pytest.approx(30)}
    assert (crossing.middle, crossing.last) == (pytest.approx(30), 32)
    (none,) = iso_harm(outcomes, start(), [0.9])[0].crossings
    assert none.middle is None


def test_a_start_above_the_level_reaches_it_at_once() -> None:
    outcomes = grid(lambda *_: 0.5, rates=(1e-4,), batches=(4,))
    assert iso_harm(outcomes, start(harm=0.3), [0.2])[0].crossings[0].middle == 0.0


def test_rates_are_made_to_rise_by_pooling() -> None:
    assert isotonic([0.1, 0.3, 0.2, 0.25, 0.9]) == pytest.approx([0.1, 0.25, 0.25, 0.25, 0.9])
    assert isotonic([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    assert reached([0, 10], [0.0, 1.0], 0.25) == pytest.approx(2.5)


def test_levels_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="level 0"):
        iso_harm([], start(), [0])
