"""Outcomes by recipe: what was chosen by, what is fresh."""

from __future__ import annotations

from ftstab.outcome import Outcome
from ftstab.plan import setting_recipe, study_plan
from ftstab.recipes import by_recipe, recipe_of
from tests.plan.material import study
from tests.report.synthetic import make_outcomes, make_start

SETTINGS = make_outcomes()


def run_of(outcome: Outcome, seed: int) -> Outcome:
    return outcome.model_copy(
        update={
            "seed": seed,
            "key": f"{outcome.key}-{seed}",
            "training": outcome.training | {"seed": seed},
        }
    )


def test_the_seed_a_recipe_was_found_with_is_left_out():
    one, two = SETTINGS[:2]
    runs = [run_of(one, s) for s in (3, 1, 2)]
    found = by_recipe([make_start(), one, two, *runs], [0])
    assert list(found) == [recipe_of(one), recipe_of(two)]
    recipe = found[recipe_of(one)]
    assert recipe.found == (one,)
    assert [o.seed for o in recipe.fresh] == [1, 2, 3]
    assert found[recipe_of(two)].fresh == ()


def test_every_choice_but_the_seed_makes_another_recipe():
    one = SETTINGS[0]
    others = [
        one.model_copy(update=change)
        for change in (
            {"step": one.step + 1},
            {"interpolation": 0.5},
            {"profile": SETTINGS[1].profile},
            {"training": one.training | {"learning_rate": 1.0}},
            {"diagnostics": one.diagnostics | {"feedback_decay": 0.9}},
        )
    ]
    assert len({recipe_of(one), *map(recipe_of, others)}) == 6
    assert recipe_of(run_of(one, 7)) == recipe_of(one)


def test_plan_and_outcome_agree_on_the_recipe():
    (trajectory,) = study_plan(study({"steps": [10], "ema_decay": [0.9]}), "base", "data").trajectories
    (setting,) = trajectory.settings
    outcome = SETTINGS[0].model_copy(
        update={
            "training": trajectory.training.model_dump(),
            "step": setting.step,
            "profile": setting.profile,
            "interpolation": setting.interpolation,
            "diagnostics": {},
        }
    )
    stored = Outcome.model_validate_json(outcome.model_dump_json())
    assert recipe_of(stored) == setting_recipe(trajectory, setting)
