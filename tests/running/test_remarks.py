"""What is said of a study before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.running.remarks import schedule_remarks
from tests.plan.material import study


@pytest.mark.parametrize(
    ("axes", "training", "short"),
    [
        ({"steps": [10, 11, 20]}, {"schedule": "warmup_stable_decay", "warmup_steps": 10}, "10, 11"),
        ({"steps": [10, 12, 20]}, {"schedule": "warmup_stable_decay", "warmup_steps": 10}, "10"),
        ({"steps": [10, 11]}, {"schedule": "cosine", "warmup_steps": 10}, "10"),
        ({"steps": [4, 40], "warmup_steps": [0, 8]}, {"schedule": "linear"}, "4"),
    ],
)
def test_a_warm_up_that_leaves_no_room_for_the_decay_is_said(
    axes: dict[str, Any], training: dict[str, Any], short: str
) -> None:
    (said,) = schedule_remarks(study(axes, training))
    assert said.startswith(f"axes.steps: with `schedule: {training['schedule']}`")
    assert f"of warm-up, {short} steps are too few" in said


def test_nothing_is_said_where_the_schedule_takes_its_course() -> None:
    assert schedule_remarks(study({"steps": [4]}, {"warmup_steps": 8})) == []
    assert schedule_remarks(study({"steps": [20]}, {"schedule": "cosine", "warmup_steps": 8})) == []
