"""Which axes are free, and the reason that is given."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.plan import AxisFreedom, axis_freedoms
from tests.plan.material import plan, study


def _freedoms(
    axes: dict[str, Any], training: dict[str, Any] | None = None, **more: Any
) -> dict[str, AxisFreedom]:
    return {a.name: a for a in axis_freedoms(study(axes, training, **more))}


def test_everything_but_the_updates_is_free_under_a_constant_schedule() -> None:
    found = _freedoms(
        {
            "learning_rate": [1e-5, 1e-4],
            "steps": [5, 10, 20],
            "ema_decay": [0, 0.9],
            "averaging": [{"kind": "power", "gamma": 1.0}],
            "interpolation": [0.5, 1.0],
        }
    )
    assert {name: (a.free, a.values) for name, a in found.items()} == {
        "learning_rate": (False, 2),
        "steps": (True, 3),
        "ema_decay": (True, 2),
        "averaging": (True, 1),
        "interpolation": (True, 2),
    }
    assert "doesn't depend on how many steps follow" in found["steps"].why
    assert "training never reads" in found["ema_decay"].why
    assert "changes the updates" in found["learning_rate"].why


@pytest.mark.parametrize(
    ("schedule", "free", "why"),
    [
        ("constant", True, "doesn't depend on"),
        ("warmup_stable_decay", None, "trunk is shared"),
        ("cosine", False, "depends on the last step"),
        ("linear", False, "depends on the last step"),
    ],
)
def test_steps_are_free_where_the_schedule_doesnt_read_the_horizon(
    schedule: str, free: bool | None, why: str
) -> None:
    steps = _freedoms({"steps": [5, 10]}, {"schedule": schedule})["steps"]
    assert steps.free is free
    assert why in steps.why
    assert steps.why.startswith(f"{schedule}: ")
    # As an axis of one value it is the same schedule.
    assert _freedoms({"steps": [5, 10], "schedule": [schedule]})["steps"] == steps


def test_mixed_schedules_depend() -> None:
    steps = _freedoms({"steps": [5, 10], "schedule": ["constant", "cosine"]})["steps"]
    assert steps.free is None
    assert "constant: " in steps.why
    assert "cosine: " in steps.why
    both = _freedoms({"steps": [5, 10], "schedule": ["constant", "warmup_stable_decay"]})["steps"]
    assert both.free is None


def test_decays_are_trained_under_feedback() -> None:
    axes = {"steps": [5], "ema_decay": [0.5, 0.9]}
    fed = _freedoms(axes, {"ema_mode": "feedback"})["ema_decay"]
    assert fed.free is False
    assert "each decay is trained" in fed.why
    assert _freedoms(axes | {"ema_mode": ["shadow", "feedback"]})["ema_decay"].free is None


def test_seeds_are_named_when_there_are_several() -> None:
    assert "seed" not in _freedoms({"steps": [5]})
    seed = _freedoms({"steps": [5]}, seeds={"search": [0, 1]})["seed"]
    assert (seed.free, seed.values) == (False, 2)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "warmup_stable_decay"])
def test_the_plan_keeps_what_the_axes_promise(schedule: str) -> None:
    """An axis is called free exactly when a second value adds no trajectory, trained when it adds a training of its
    own."""
    one = {"learning_rate": [1e-5], "steps": [10], "ema_decay": [0.5], "interpolation": [1.0]}
    more = {"learning_rate": 1e-4, "steps": 20, "ema_decay": 0.9, "interpolation": 0.5}
    for name, value in more.items():
        axes = one | {name: [*one[name], value]}
        fewer, found = plan(one, {"schedule": schedule}), plan(axes, {"schedule": schedule})
        free = True if len(found.trajectories) == len(fewer.trajectories) else None
        if len(found.jobs) > len(fewer.jobs):
            free = False
        assert _freedoms(axes, {"schedule": schedule})[name].free is free
