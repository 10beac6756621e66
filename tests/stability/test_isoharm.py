"""Curves of equal harm where the harm is known."""

from __future__ import annotations

import pytest

from ftstab.outcome import Outcome
from ftstab.report.draw_rise import iso_harm_plot
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


def _ends(outcomes: list[Outcome], *ends: tuple[int, int]) -> list[Outcome]:
    """The same, where trainings of some seeds have no numbers after a step."""
    after = dict(ends)
    return [
        o.model_copy(update={"status": "diverged", "rates": {}}) if o.step > after.get(o.seed or 0, 99) else o
        for o in outcomes
    ]


def _five(*at: int) -> list[Outcome]:
    """Five seeds that reach a rate of a half, and every lower one, at the steps ``at``; 99: never."""
    return grid(lambda r, b, s, t: float(t >= at[s]), rates=(1e-4,), batches=(4,), seeds=range(5))


def test_a_training_that_ended_before_is_not_one_that_never_reached_the_level() -> None:
    outcomes = _ends(_five(8, 99, 99, 16, 16), (2, 4))
    ((crossing,),) = (c.crossings for c in iso_harm(outcomes, start(), [1.0]))
    assert crossing.steps == {"0": 8.0, "1": None, "3": 16.0, "4": 16.0}
    assert (crossing.ended, crossing.last) == ({"2": 4}, 32)
    # Soon or late, it has two seeds before the third and two after: 8, 16, 16 and one later.
    assert crossing.middle == 16.0
    plot = iso_harm_plot(iso_harm(outcomes, start(), [1.0]))
    assert "Levels not reached by the last step, for which nothing is drawn: 1." in plot.text
    assert "isn't known whether they would be: 1;" in plot.text


def test_a_median_that_hangs_on_a_training_that_ended_is_unknown() -> None:
    def middle(*ends: tuple[int, int]) -> float | None:
        return iso_harm(_ends(_five(8, 8, 16, 99, 99), *ends), start(), [1.0])[0].crossings[0].middle

    assert middle() == 16.0
    assert middle((3, 16)) == 16.0
    # Ended before any level: it might have been reached at 9, and 9 would be the median.
    assert middle((3, 8)) is None
    # Nothing was measured of it at all.
    assert middle((4, 0)) is None


def test_what_reached_the_level_before_it_ended_counts() -> None:
    (crossing,) = iso_harm(_ends(_five(8, 8, 8, 8, 8), (0, 8), (1, 16)), start(), [1.0])[0].crossings
    assert (crossing.middle, crossing.ended) == (8.0, {})


def test_a_study_that_is_not_finished_says_so() -> None:
    outcomes = [o for o in _five(99, 99, 99, 99, 99) if o.seed == 0 or o.step < 32]
    (crossing,) = iso_harm(outcomes, start(), [0.5])[0].crossings
    assert (crossing.steps, crossing.ended) == ({"0": None}, {"1": 16, "2": 16, "3": 16, "4": 16})


def test_a_recipe_of_which_nothing_was_measured_has_no_crossing() -> None:
    outcomes = grid(lambda *_: 0.1, rates=(1e-4, 1.0), batches=(4,))
    lost = [
        o.model_copy(update={"status": "diverged", "rates": {}}) if o.training["learning_rate"] == 1 else o
        for o in outcomes
    ]
    assert [c.learning_rate for c in iso_harm(lost, start(), [0.5])[0].crossings] == [1e-4]


def test_a_start_above_the_level_reaches_it_at_once() -> None:
    outcomes = grid(lambda *_: 0.5, rates=(1e-4,), batches=(4,))
    assert iso_harm(outcomes, start(harm=0.3), [0.2])[0].crossings[0].middle == 0.0


def test_rates_are_made_to_rise_by_pooling() -> None:
    assert isotonic([0.1, 0.3, 0.2, 0.25, 0.9]) == pytest.approx([0.1, 0.25, 0.25, 0.25, 0.9])
    assert isotonic([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    assert reached([0, 10], [0.0, 1.0], 0.25) == pytest.approx(2.5)


def test_a_level_that_a_step_meets_exactly_is_reached_there() -> None:
    assert reached([0, 5, 10, 20], [0, 1 / 60, 4 / 60, 6 / 60], 0.1) == 20
    for hits in range(1, 12):
        for earlier in range(hits):
            rising = [0.0, earlier / 120, hits / 120, 1.0]
            found = reached([0, 5, 10, 20], rising, hits / 120)
            assert found == pytest.approx(10), rising
            assert reached([0, 5, 10], rising[:3], hits / 120) == pytest.approx(10)


def test_levels_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="level 0"):
        iso_harm([], start(), [0])
