"""Identity: what makes two trajectories or two settings the same, and what doesn't."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.plan import recipe_key, setting_recipe, study_plan
from ftstab.spec import Training
from ftstab.spec.training import ADDED, Axes
from tests.plan.material import only, plan, study

AXES: dict[str, Any] = {"steps": [5]}

# For every field of `training`: a value that isn't the default, and what must be chosen for it to matter.
FIELDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "method": ("lora", {}),
    "learning_rate": (1e-3, {}),
    "batch_size": (16, {}),
    "micro_batch_size": (2, {}),
    "schedule": ("cosine", {}),
    "warmup_steps": (3, {}),
    "decay_fraction": (0.5, {"schedule": "warmup_stable_decay"}),
    "weight_decay": (0.1, {}),
    "adam_beta1": (0.8, {}),
    "adam_beta2": (0.95, {}),
    "beta2_half_life": (1e4, {}),
    "adam_epsilon": (1e-6, {}),
    "loss": ("constrained_first_tokens", {}),
    "constrained_beta": (0.2, {"loss": "constrained_first_tokens"}),
    "constrained_first": (2.0, {"loss": "constrained_first_tokens"}),
    "constrained_next": (2.0, {"loss": "constrained_first_tokens"}),
    "max_grad_norm": (1.0, {}),
    "precision": ("float32", {}),
    "max_length": (64, {}),
    "lora_r": (4, {"method": "lora"}),
    "lora_alpha": (32.0, {"method": "lora"}),
    "lora_dropout": (0.1, {"method": "lora"}),
    "lora_target_modules": ("q_proj", {"method": "lora"}),
}
FEEDBACK = {"ema_mode": "feedback"}


def _keys(training: dict[str, Any], **sections: Any) -> set[str]:
    return {s.key for s in plan(AXES, training, **sections).settings}


def test_every_field_of_training_is_looked_at() -> None:
    fixed = {"optimizer"}  # one value
    assert set(FIELDS) | fixed | {"ema_mode", "ema_every", "mix_share"} == set(Training.model_fields)
    assert set(Axes.model_fields) >= set(Training.model_fields) - fixed


@pytest.mark.parametrize("name", FIELDS)
def test_a_trained_choice_changes_every_key(name: str) -> None:
    value, needs = FIELDS[name]
    assert not _keys(needs) & _keys(needs | {name: value})
    # Given as an axis it is the same choice.
    assert {s.key for s in plan(AXES | {name: [value]}, needs).settings} == _keys(needs | {name: value})


@pytest.mark.parametrize(
    "sections",
    [
        {"seeds": {"search": [1]}},
        {"template": {"training_system_prompt": "Be brief."}},
        {"template": {"chat_template": "{{ messages }}"}},
    ],
    ids=["seed", "training_system_prompt", "chat_template"],
)
def test_seed_and_template_change_the_trajectory(sections: dict[str, Any]) -> None:
    assert only(AXES).key != only(AXES, **sections).key


def test_base_and_data_change_the_trajectory() -> None:
    keys = {
        study_plan(study(AXES), base, data).trajectories[0].key
        for base in ("base", "other")
        for data in ("data", "other")
    }
    assert len(keys) == 4


def test_more_steps_and_averages_extend_a_trajectory() -> None:
    few = only({"steps": [5]})
    many = only({"steps": [5, 80], "ema_decay": [0, 0.9], "interpolation": [0.5, 1.0]})
    assert many.key == few.key
    assert {s.key for s in few.settings} < {s.key for s in many.settings}


@pytest.mark.parametrize(
    "sections",
    [
        {"template": {"system_prompt": "Be brief."}},
        {"seeds": {"search": [0], "frontier": 7}},
        {"evaluation": {"decoding": {"max_new_tokens": 5}}},
        {"evaluation": {"harmful": {"benchmark": "builtin:harmful", "limit": 3}}},
        {"resources": {"cpus_per_trajectory": 4, "workers": 2}},
        {"tracking": {"mlflow": "http://localhost:5000"}},
        {"constraints": {"over_refusal": {"max": 0.5}}},
        {"keep_weights": "all", "signals_every": 3, "store": "elsewhere"},
        {"study": "another-name"},
    ],
    ids=lambda s: "+".join(s),
)
def test_what_is_asked_and_where_it_runs_changes_no_key(sections: dict[str, Any]) -> None:
    assert plan(AXES, **sections).settings == plan(AXES).settings


@pytest.mark.parametrize(
    "training",
    [
        {"lora_r": 4},
        {"lora_dropout": 0.5},
        {"decay_fraction": 0.5},
        {"ema_every": 3},
        {"constrained_beta": 0.5},
        {"constrained_first": 2.0},
        {"constrained_next": 2.0},
    ],
    ids=lambda t: next(iter(t)),
)
def test_fields_that_arent_read_change_no_key(training: dict[str, Any]) -> None:
    assert _keys(training) == _keys({})


def test_a_half_life_takes_the_place_of_beta2() -> None:
    fixed, by_tokens = (
        plan(AXES | {"beta2_half_life": [None, 1e4]}, training).trajectories
        for training in ({}, {"adam_beta2": 0.95})
    )
    assert fixed[0].key == only(AXES).key
    assert by_tokens[0].key == only(AXES, {"adam_beta2": 0.95}).key
    assert fixed[1].key == by_tokens[1].key == only(AXES, {"beta2_half_life": 1e4}).key


def test_what_is_mixed_in_and_how_much_of_it_changes_the_key() -> None:
    data = {"data": {"train": "none.jsonl", "mix": "builtin:refusals"}}
    keys = [only(AXES, {"mix_share": share}, **data).key for share in (0.03, 0.1)]
    found = plan(AXES | {"mix_share": [0, 0.03, 0.1]}, **data).trajectories
    # The rows themselves are part of the data's key.
    assert [t.key for t in found] == [only(AXES).key, *keys]
    assert len(set(keys)) == 2


def test_recipes_of_earlier_records_are_found_again() -> None:
    """Outcomes of an earlier version lack the fields that came later."""
    (trajectory,) = plan(AXES).trajectories
    told = trajectory.training.model_dump()
    earlier = {name: value for name, value in told.items() if name not in ADDED}
    last = trajectory.settings[0].profile
    assert recipe_key(earlier, None, 5, last, 1.0) == setting_recipe(trajectory, trajectory.settings[0])
    assert set(earlier) < set(told)


def test_numbers_are_numbers_however_they_are_written() -> None:
    assert _keys({"weight_decay": 1}) == _keys({"weight_decay": 1.0})
    assert _keys({"learning_rate": 0.0001}) == _keys({"learning_rate": 1e-4})


def test_feedback_is_part_of_the_trajectory() -> None:
    def keys(decay: float, every: int = 1) -> str:
        axes = {"steps": [5], "ema_decay": [decay]}
        return only(axes, FEEDBACK | {"ema_every": every}).key

    shadow = only({"steps": [5], "ema_decay": [0.5]}).key
    assert len({shadow, keys(0.5), keys(0.9), keys(0.5, 2)}) == 4


def test_the_horizon_is_part_of_the_trajectory_only_where_it_is_read() -> None:
    for schedule, count in (("constant", 1), ("cosine", 2), ("linear", 2), ("warmup_stable_decay", 3)):
        found = plan({"steps": [5, 10]}, {"schedule": schedule}).trajectories
        assert len({t.key for t in found}) == len(found) == count


def test_a_setting_is_trajectory_step_profile_and_interpolation() -> None:
    axes = {
        "learning_rate": [1e-5, 1e-4],
        "steps": [5, 10],
        "ema_decay": [0, 0.5, 0.9],
        "averaging": [{"kind": "bias_corrected", "decay": 0.9}, {"kind": "power", "gamma": 0.9}],
        "interpolation": [0.5, 1.0],
    }
    found = plan(axes).settings
    assert len(found) == len({s.key for s in found}) == 2 * 2 * 5 * 2


def test_keys_are_the_recorded_ones() -> None:
    """A store made by an earlier version must be found again: a change here needs a new format version."""
    found = plan({"steps": [5], "ema_decay": [0.9]}, {"learning_rate": 1e-4})
    assert found.start.key == "821c3af01759fa14171e"
    (trajectory,) = found.trajectories
    assert trajectory.key == "50c9e56e9ccf125a3888"
    assert [s.key for s in trajectory.settings] == ["55b0d1df44470bc5e694"]
