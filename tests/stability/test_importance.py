"""The axis that decides an objective is the important one."""

from __future__ import annotations

import math

import pytest

from ftstab.evaluation.rates import exact_match_score
from ftstab.outcome import Outcome
from ftstab.stability import Importance, importances
from tests.outcomes import bare_outcome
from tests.plan import material

AXES = {
    "learning_rate": [1e-5, 3e-5, 1e-4],
    "batch_size": [4, 16],
    "steps": [5, 10, 20],
    "ema_decay": [0, 0.9],
}


def made(
    seeds: list[int], training: dict[str, str] | None = None
) -> tuple[dict[str, Importance], list[Outcome]]:
    """Harm follows the learning rate alone, utility the steps alone."""
    study = material.study(AXES, training, seeds={"search": seeds})
    plan = material.plan(AXES, training, seeds={"search": seeds})
    outcomes = [
        bare_outcome(
            s.key,
            trajectory=t.key,
            setting=s.key,
            training=t.training.model_dump(),
            seed=t.seed,
            step=s.step,
            profile=s.profile,
            diagnostics={"safety_loss": t.training.learning_rate * 1e5 + t.seed / 100},
            utility=exact_match_score("1" * s.step + "0" * (30 - s.step), "tasks@1"),
        )
        for t in plan.trajectories
        for s in t.settings
    ]
    return {i.objective: i for i in importances(study, plan, outcomes, draws=20)}, outcomes


def test_each_objective_names_the_axis_that_decides_it() -> None:
    found, outcomes = made([0, 1, 2])
    assert set(found) == {"safety_loss", "exact_match"}
    harm, utility = found["safety_loss"], found["exact_match"]
    # Twelve settings share each value, so ties bring the best quarter of 27 to 36.
    assert (harm.best, utility.best) == (36, 36)
    assert (harm.settings, harm.trajectories, harm.trainings) == (len(outcomes), 18, 18)
    assert next(iter(harm.axes)) == "learning_rate"
    assert next(iter(utility.axes)) == "step"
    assert harm.axes["learning_rate"] > 0.8
    assert utility.axes["step"] > 0.8
    assert sum(harm.axes.values()) == pytest.approx(1.0)
    assert (harm.direction, utility.direction) == ("minimize", "maximize")
    assert all(harm.low[n] <= harm.high[n] for n in harm.axes)
    # Every trajectory has every step, so resampling them changes nothing of the utility.
    assert utility.low["step"] > 0.8


def test_branches_are_resampled_with_their_trunk() -> None:
    found, outcomes = made([0], {"schedule": "warmup_stable_decay"})
    assert len({o.trajectory for o in outcomes}) == 18
    utility = found["exact_match"]
    assert (utility.trajectories, utility.trainings) == (18, 6)
    # Every trunk has every step, so resampling them changes nothing of the utility; branches alone would (to .46).
    assert utility.low["step"] > 0.9


def test_null_is_a_level_like_any_other() -> None:
    # The best quarter has one norm and two of the steps, so the norm decides more.
    axes = {"learning_rate": [1e-5, 1e-4], "max_grad_norm": [None, 1.0], "steps": [5, 10, 20, 40]}
    training = {"batch_size": 4}
    study, plan = material.study(axes, training), material.plan(axes, training)
    outcomes = [
        bare_outcome(
            s.key,
            trajectory=t.key,
            setting=s.key,
            diagnostics={"safety_loss": float(t.training.max_grad_norm is None) + s.step / 1000},
        )
        for t in plan.trajectories
        for s in t.settings
    ]
    (found,) = importances(study, plan, outcomes, draws=5)
    assert next(iter(found.axes)) == "max_grad_norm"


def test_few_trajectories_have_no_spread() -> None:
    study, plan = material.study(AXES), material.plan(AXES)
    first = plan.trajectories[:2]
    outcomes = [
        bare_outcome(s.key, trajectory=t.key, diagnostics={"safety_loss": float(s.step)})
        for t in first
        for s in t.settings
    ]
    (found,) = importances(study, plan, outcomes, draws=5)
    assert found.low == found.high == {}
    assert set(found.axes) == {"batch_size", "step", "ema_decay"}


def test_an_objective_that_never_differs_among_the_best_has_no_importance() -> None:
    study, plan = material.study(AXES), material.plan(AXES)
    outcomes = [bare_outcome(s.key, diagnostics={"safety_loss": 1.0}) for s in plan.settings]
    assert importances(study, plan, outcomes) == []
    worse = outcomes[0].model_copy(update={"diagnostics": {"safety_loss": 0.5}})
    assert len(importances(study, plan, [worse, *outcomes[1:]], draws=0)) == 0


def _divergences(levels: dict[str, list[float]], losses: list[float]) -> dict[str, float]:
    """The Pearson divergence of the best quarter from all, axis by axis, counted level by level; they sum to 1."""
    last = sorted(losses)[-(-len(losses) // 4) - 1]
    raw = {}
    for name, values in levels.items():
        best = [v for v, loss in zip(values, losses, strict=True) if loss <= last]
        raw[name] = sum(
            (share := values.count(v) / len(values)) * (best.count(v) / len(best) / share - 1) ** 2
            for v in set(values)
        )
    return {name: value / sum(raw.values()) for name, value in raw.items()}


def test_importances_on_a_grid_are_those_counted_level_by_level() -> None:
    # Levels far from evenly spaced, as those of decays and steps are.
    axes = AXES | {"steps": [2, 4, 8, 16, 32], "ema_decay": [0, 0.5, 0.8, 0.9, 0.95]}
    study, plan = material.study(axes), material.plan(axes)
    outcomes, losses = [], []
    levels: dict[str, list[float]] = {"learning_rate": [], "batch_size": [], "step": [], "ema_decay": []}
    for t in plan.trajectories:
        for s in t.settings:
            decay = s.profile.value or 0.0
            loss = math.log10(t.training.learning_rate) + 0.6 * math.log10(s.step) - 0.15 * decay
            outcomes.append(
                bare_outcome(s.key, trajectory=t.key, setting=s.key, diagnostics={"safety_loss": loss})
            )
            losses.append(loss)
            for name, value in zip(
                levels, (t.training.learning_rate, t.training.batch_size, s.step, decay), strict=True
            ):
                levels[name].append(value)
    (found,) = importances(study, plan, outcomes, draws=0)
    assert found.axes == pytest.approx(_divergences(levels, losses), abs=0.03)
