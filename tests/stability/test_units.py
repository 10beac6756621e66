"""One row per trajectory, and diagnostics against harm."""

from __future__ import annotations

import numpy as np
import pytest

from ftstab.outcome import Outcome, Profile
from ftstab.report.draw_harm import association_text
from ftstab.stability import associations, noise_scale, spike_rate, trajectory_units
from tests.plan import material
from tests.stability.material import grid, outcome, signals


def test_trajectories_are_read_at_the_last_step_they_share() -> None:
    outcomes = grid(lambda r, b, s, t: t / 100)
    outcomes = [o for o in outcomes if o.trajectory != "1e-05-4-0" or o.step < 32]
    found = trajectory_units(outcomes, signals(outcomes))
    assert (len(found.units), found.step) == (12, 16)
    assert {u.step for u in found.units} == {16}
    assert {u.harm["rate"] for u in found.units} == {0.16}


def test_batch_sizes_are_compared_at_equal_examples_too() -> None:
    outcomes = grid(lambda r, b, s, t: t / 100)
    found = trajectory_units(outcomes, signals(outcomes), equal="examples")
    assert (found.step, found.examples) == (None, 128)
    assert {(u.batch_size, u.step) for u in found.units} == {(4, 32), (16, 8)}


def _of_plan(schedules: list[str], **harm: float) -> list[Outcome]:
    """Last weights of a study of 4 trunks at most, whose schedules are given; harm by schedule."""
    axes = {"learning_rate": [1e-5, 1e-4], "schedule": schedules, "steps": [5, 10, 20, 40]}
    found = material.plan(axes, seeds={"search": [0, 1]})
    return [
        outcome(t.training.learning_rate, 8, t.seed, s.step, harm.get(t.training.schedule, 0.1)).model_copy(
            update={"trajectory": t.key, "training": t.training.model_dump()}
        )
        for t in found.trajectories
        for s in t.settings
    ]


def test_branches_of_a_trunk_are_one_unit() -> None:
    outcomes = _of_plan(["warmup_stable_decay"])
    assert len({o.trajectory for o in outcomes}) == 16
    found = trajectory_units(outcomes, {})
    assert (len(found.units), found.step, found.branches) == (4, 40, 12)
    assert {u.step for u in found.units} == {40}
    assert associations(found).none_because == (
        "4 trajectories that can be compared: with fewer than 5 no correlation is printed"
    )
    # A branch that diverged takes its trunk with it, as a later step does that of a constant learning rate.
    lost = next(o.trajectory for o in outcomes if o.step == 40)
    outcomes = [
        o.model_copy(update={"status": "diverged", "rates": {}}) if o.trajectory == lost else o
        for o in outcomes
    ]
    found = trajectory_units(outcomes, {})
    assert (len(found.units), found.diverged, found.unmeasured) == (3, 1, 0)


def test_a_trunk_that_is_read_itself_stands_for_its_branches() -> None:
    schedules = ["constant", "warmup_stable_decay"]
    found = trajectory_units(_of_plan(schedules, constant=0.2, warmup_stable_decay=0.4), {})
    assert (len(found.units), found.step, found.branches) == (4, 40, 16)
    assert {u.harm["rate"] for u in found.units} == {0.2}


def test_averages_interpolations_and_diverged_trajectories_are_no_units() -> None:
    ema = Profile(kind="exponential", value=0.9)
    outcomes = [
        outcome(1e-4, 4, 0, 8, 0.5),
        outcome(1e-4, 4, 0, 16, 0.1, profile=ema),
        outcome(1e-4, 4, 1, 16, 0.1, interpolation=0.5),
        outcome(1e-4, 4, 2, 8, 0.1),
        outcome(1e-4, 4, 2, 16, 0.0, status="diverged"),
    ]
    found = trajectory_units(outcomes, {})
    assert [(u.trajectory, u.step) for u in found.units] == [("0.0001-4-0", 8)]
    assert (found.diverged, found.unmeasured) == (1, 1)


def test_diagnostics_may_be_read_earlier_than_harm() -> None:
    outcomes = grid(lambda r, b, s, t: t / 100, loss=lambda r, b, s, t: float(t))
    unit = trajectory_units(outcomes, signals(outcomes), early=4).units[0]
    assert (unit.harm["rate"], unit.diagnostics["safety_loss"]) == (0.32, 4.0)


def test_a_noise_scale_is_the_ratio_of_sums_up_to_its_step() -> None:
    updates = [
        {"step": 1, "gradient_square": 4.0, "gradient_noise": 10.0, "spike": 1.0},
        {"step": 2, "gradient_square": -1.0, "gradient_noise": 20.0, "spike": 0.0},
        {"step": 3, "spike": 0.0},
        {"step": 4, "gradient_square": 100.0, "gradient_noise": 0.0, "spike": 0.0},
    ]
    assert noise_scale(updates, 3) == pytest.approx(10.0)
    assert noise_scale(updates[1:], 3) is None
    assert noise_scale([{"step": 1, "spike": 0.0}], 1) is None
    assert spike_rate(updates, 4) == 0.25
    assert spike_rate([], 4) is None


def _study() -> list[Outcome]:
    """Twelve trajectories; distance rises with the learning rate and falls within each."""
    made = []
    for i, rate in enumerate((1e-5, 1e-4, 1e-3)):
        for seed in range(4):
            spread, harm = (seed * 7919) % 4, 0.1 + 0.2 * i + 0.04 * seed
            about = {"distance": 10.0 * i - seed, "distance/layer 00": float(spread), "changed_share": 1.0}
            made.append(outcome(rate, 4, seed, 8, harm, diagnostics=about, loss=harm * 3))
    return made


def test_only_what_goes_with_harm_within_learning_rates_is_claimed() -> None:
    outcomes = _study()
    found = associations(trajectory_units(outcomes, signals(outcomes)))
    assert found.none_because is None
    by_name = {(a.diagnostic, a.harm): a for a in found.found}
    distance = by_name["distance", "rate"]
    assert (distance.rho, distance.claim) == (pytest.approx(-1.0), "falls with harm")
    assert (distance.trajectories, distance.learning_rates) == (12, 3)
    assert by_name["safety_loss", "rate"].claim == "rises with harm"
    # The continuous loss is no news about itself, and a constant says nothing.
    assert ("safety_loss", "safety_loss") not in by_name
    assert {"changed_share", "spike_rate"} <= set(found.unmeasurable)
    assert all(a.adjusted >= a.p for a in found.found)


def test_few_trajectories_print_nothing() -> None:
    outcomes = _study()[:4]
    found = associations(trajectory_units(outcomes, signals(outcomes)))
    assert found.found == ()
    assert found.none_because == (
        "4 trajectories that can be compared: with fewer than 5 no correlation is printed"
    )


def test_one_trajectory_per_learning_rate_prints_nothing() -> None:
    outcomes = [outcome(10.0**-i, 4, 0, 8, 0.1 * i, diagnostics={"distance": float(i)}) for i in range(1, 8)]
    found = associations(trajectory_units(outcomes, {}))
    assert found.found == ()
    assert "one learning rate" in str(found.none_because)


def test_trajectories_of_other_lengths_are_not_ranked_against_each_other() -> None:
    """Cosine schedules: each length is a trajectory of its own.  Distance and harm both grow with the steps."""
    made = []
    for i, step in enumerate((4, 8, 16)):
        for seed in range(4):
            o = outcome(
                1e-4, 4, seed, step, 0.1 + 0.2 * i + 0.03 * seed, diagnostics={"distance": 10.0 * i - seed}
            )
            made.append(o.model_copy(update={"trajectory": f"{step}-{seed}"}))
    units = trajectory_units(made, {})
    assert (units.step, len(units.units)) == (None, 12)
    (found,) = associations(units).found
    assert (found.rho, found.learning_rates) == (pytest.approx(-1.0), 3)
    assert found.claim == "falls with harm"
    assert "within learning rate and step" in association_text(associations(units))


def test_one_association_among_many_diagnostics_can_be_claimed() -> None:
    """The distance of every layer of a large model beside it: noise, which costs the claim no more than its share."""
    draw = np.random.default_rng(5)
    made = [
        outcome(
            rate,
            4,
            seed,
            8,
            0.02 + seed / 20,
            diagnostics={"update_ratio": float(seed)}
            | {f"distance/layer {i:02d}": float(x) for i, x in enumerate(draw.normal(size=110))},
        )
        for rate in (1e-5, 1e-4)
        for seed in range(6)
    ]
    found = associations(trajectory_units(made, {})).found
    assert len(found) == 111
    assert [a.diagnostic for a in found if a.claim != "not shown"] == ["update_ratio"]
