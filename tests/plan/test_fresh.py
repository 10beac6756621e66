"""Fresh seeds: which recipes are trained again, on which seeds, and that they share trajectories."""

from __future__ import annotations

import pytest

from ftstab.plan import Trajectory, fresh_plan, fresh_seeds, part_of, setting_recipe, study_plan
from tests.plan.material import study

GRID = {"learning_rate": [1e-5, 1e-4], "steps": [10, 20, 40], "ema_decay": [0, 0.9]}


def recipes_of(a_study, *, step=None, rate=None) -> dict[str, list[int]]:
    """Recipes of a study, two fresh seeds each."""
    found = {}
    for t in study_plan(a_study, "base", "data").trajectories:
        for s in t.settings:
            if step in (None, s.step) and rate in (None, t.training.learning_rate):
                found[setting_recipe(t, s)] = [1, 2]
    return found


@pytest.mark.parametrize(
    ("search", "known", "count", "seeds"),
    [
        ([0], [], 3, [1, 2, 3]),
        ([4, 7], [], 2, [8, 9]),
        ([0], [1, 2, 3], 3, [1, 2, 3]),
        ([0], [1, 2, 3], 5, [1, 2, 3, 4, 5]),
        ([0], [1, 2, 3], 2, [1, 2]),
        ([0, 1], [1, 2, 3], 3, [2, 3, 4]),
        ([0], [], 0, []),
    ],
)
def test_fresh_seeds_come_after_the_search_seeds_and_stay(search, known, count, seeds):
    assert fresh_seeds(study(GRID, seeds={"search": search}), known, count) == seeds


def test_a_recipe_is_a_setting_without_its_seed():
    plan = study_plan(study(GRID, seeds={"search": [0, 1, 2]}), "base", "data")
    by_recipe: dict[str, set[int]] = {}
    for t in plan.trajectories:
        for s in t.settings:
            by_recipe.setdefault(setting_recipe(t, s), set()).add(t.seed)
    assert len(plan.settings) == 36
    assert len(by_recipe) == 12
    assert set(map(frozenset, by_recipe.values())) == {frozenset({0, 1, 2})}


def test_recipes_of_one_training_share_their_trajectories():
    a_study = study(GRID)
    plan = fresh_plan(a_study, "base", "data", recipes_of(a_study, rate=1e-4))
    assert len(plan.settings) == 6 * 2
    assert [t.seed for t in plan.trajectories] == [1, 2]
    assert {t.training.learning_rate for t in plan.trajectories} == {1e-4}
    searched = study_plan(a_study, "base", "data")
    assert not {s.key for s in plan.settings} & {s.key for s in searched.settings}
    # The very trajectories that a study with these search seeds has.
    wider = study_plan(study(GRID, seeds={"search": [0, 1, 2]}), "base", "data")
    assert {s.key for s in plan.settings} <= {s.key for s in wider.settings}


def test_nothing_is_trained_beyond_the_last_wanted_step():
    a_study = study(GRID)
    plan = fresh_plan(a_study, "base", "data", recipes_of(a_study, step=20))
    assert {t.last for t in plan.trajectories} == {20}
    assert {s.step for s in plan.settings} == {20}
    assert plan.train_steps == 2 * 2 * 20


def test_a_trunk_goes_as_far_as_its_wanted_branches():
    a_study = study(GRID, {"schedule": "warmup_stable_decay", "decay_fraction": 0.2})
    plan = fresh_plan(a_study, "base", "data", recipes_of(a_study, step=20))
    for job in plan.jobs:
        assert job.trunk.last == 16
        assert [(b.first, b.last) for b in job.branches] == [(16, 20)]


def test_what_became_a_search_seed_is_fresh_no_more():
    a_study = study(GRID, seeds={"search": [0, 1]})
    assert {t.seed for t in fresh_plan(a_study, "base", "data", recipes_of(a_study)).trajectories} == {2}


def test_recipes_that_left_the_grid_are_left_out_and_done_ones_are_not_open():
    a_study = study(GRID)
    wanted = recipes_of(a_study)
    smaller = study(GRID | {"learning_rate": [1e-5]})
    plan = fresh_plan(smaller, "base", "data", wanted)
    assert {t.training.learning_rate for t in plan.trajectories} == {1e-5}
    whole = fresh_plan(a_study, "base", "data", wanted, [s.key for s in plan.settings])
    assert len(whole.open_jobs) == len(whole.jobs) - len(plan.jobs) == 2
    assert fresh_plan(a_study, "base", "data", {}).jobs == ()


def test_feedback_decays_are_recipes_of_their_own():
    a_study = study({"steps": [10], "ema_decay": [0, 0.5, 0.9]}, {"ema_mode": "feedback"})
    assert len(recipes_of(a_study)) == 3


def test_a_part_of_a_job_is_trained_like_the_whole():
    (job,) = study_plan(study({"steps": [10, 20, 40]}), "base", "data").jobs

    def early(trajectory: Trajectory, setting) -> bool:
        return setting.step < 40

    part = part_of(job, early)
    assert part.key == job.key
    assert part.trunk.last == 20
    assert part.settings == job.settings[:2]
