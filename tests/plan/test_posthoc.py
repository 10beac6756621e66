"""Rebuilt averages in a plan: which decays they are, and what sets them apart."""

from __future__ import annotations

import json
from typing import Any

from ftstab.outcome import Profile, StoredShadows
from ftstab.plan import setting_recipe, strength_of, study_plan
from ftstab.plan.memory import shadows
from tests.plan.material import only, study

AXES: dict[str, Any] = {"steps": [20, 40], "ema_decay": [0, 0.8, 0.9]}
POSTHOC: dict[str, Any] = {"decays": [0.97, 0.8], "every": 10}
REBUILT = Profile(kind="posthoc_exponential", value=0.9, stored=StoredShadows(decays=(0.8, 0.97), every=10))


def test_decays_that_arent_stored_are_rebuilt() -> None:
    found = [s.profile for s in only(AXES, posthoc=POSTHOC).settings if s.step == 20]
    assert found == [Profile(kind="last"), Profile(kind="exponential", value=0.8), REBUILT]
    tracked = only(AXES | {"averaging": [{"kind": "exponential", "decay": 0.9}]}, posthoc=POSTHOC)
    assert Profile(kind="exponential", value=0.9) in {s.profile for s in tracked.settings}
    assert REBUILT in {s.profile for s in tracked.settings}


def test_memory_holds_the_stored_shadows_and_no_others() -> None:
    many = AXES | {"ema_decay": [0, 0.8, 0.85, 0.9, 0.93, 0.95]}
    assert shadows(only(many)) == 5
    assert shadows(only(many, posthoc=POSTHOC)) == 2


def test_it_changes_no_key_but_those_of_rebuilt_decays() -> None:
    plain, rebuilding = only(AXES), only(AXES, posthoc=POSTHOC)
    assert plain.key == rebuilding.key

    def keys(trajectory: Any) -> dict[tuple[int, str, float | None], str]:
        return {(s.step, s.profile.kind, s.profile.value): s.key for s in trajectory.settings}

    both = keys(plain).keys() & keys(rebuilding).keys()
    assert len(both) == 4
    assert all(keys(plain)[k] == keys(rebuilding)[k] for k in both)
    assert not {s.key for s in plain.settings if s.profile.value == 0.9} & set(keys(rebuilding).values())
    # The order in which decays are listed makes no other average, what is stored does.
    assert keys(only(AXES, posthoc=POSTHOC | {"decays": [0.8, 0.97]})) == keys(rebuilding)
    for other in ({"every": 5}, {"decays": [0.8, 0.98]}):
        moved = keys(only(AXES, posthoc=POSTHOC | other))
        assert {k for k in moved if moved[k] != keys(rebuilding).get(k)} == {
            (s, "posthoc_exponential", 0.9) for s in (20, 40)
        }
    # How well, and for how long, is no part of what it is.
    assert keys(only(AXES, posthoc=POSTHOC | {"max_residual": 0.2, "keep": True})) == keys(rebuilding)


def test_longer_trainings_leave_the_keys_of_shorter_ones() -> None:
    short, long = only(AXES, posthoc=POSTHOC), only(AXES | {"steps": [20, 40, 60]}, posthoc=POSTHOC)
    assert {s.key for s in short.settings} < {s.key for s in long.settings}


def test_a_recipe_with_a_rebuilt_average_is_another_recipe() -> None:
    trajectory = only(AXES | {"averaging": [{"kind": "exponential", "decay": 0.9}]}, posthoc=POSTHOC)
    recipes = {setting_recipe(trajectory, s) for s in trajectory.settings}
    assert len(recipes) == len(trajectory.settings) == 8


def test_profiles_are_written_as_before_and_read_back() -> None:
    assert Profile(kind="exponential", value=0.9).model_dump() == {"kind": "exponential", "value": 0.9}
    assert Profile(kind="last").model_dump() == {"kind": "last", "value": None}
    plain = json.loads(json.dumps(REBUILT.model_dump()))
    assert plain == {
        "kind": "posthoc_exponential",
        "value": 0.9,
        "stored": {"decays": [0.8, 0.97], "every": 10},
    }
    assert Profile.model_validate(plain) == REBUILT
    assert REBUILT.label == "post-hoc ema 0.9"


def test_an_arm_has_the_decays_that_are_rebuilt_and_each_once() -> None:
    arms = {"ema": {"strength": "ema_decay"}, "named": {"decay": 0.9, "averaging": "exponential"}}
    for more in ({}, {"averaging": [{"kind": "exponential", "decay": 0.9}]}):
        asked = study(AXES | more, posthoc=POSTHOC, arms=arms)
        (trajectory,) = study_plan(asked, "base", "data").trajectories
        training = trajectory.training.model_dump()
        found: dict[str, list[float]] = {name: [] for name in arms}
        for name, arm in asked.arms.items():
            for s in trajectory.settings:
                strength = strength_of(arm, asked, training, s.step, s.profile, s.interpolation)
                found[name] += [] if strength is None else [strength]
        assert sorted(found["ema"]) == [0.8, 0.9]
        assert len(found["named"]) == 1
