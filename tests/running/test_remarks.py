"""What is said of a study before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.constraints import fewest_asked
from ftstab.running.remarks import FEW_PROMPTS, out_of_reach_remarks, sample_remarks, schedule_remarks
from ftstab.spec import Constraint, Study
from ftstab.stats import Method, proportion
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


def test_settings_that_end_while_the_rate_still_rises_are_said() -> None:
    (said,) = schedule_remarks(study({"steps": [2, 4, 8]}, {"warmup_steps": 8}))
    assert said.startswith("axes.steps: with 8 steps of warm-up, settings of 2, 4 steps end before")


def test_nothing_is_said_where_the_schedule_takes_its_course() -> None:
    assert schedule_remarks(study({"steps": [8]}, {"warmup_steps": 8})) == []
    assert schedule_remarks(study({"steps": [20]}, {"schedule": "cosine", "warmup_steps": 8})) == []


def limited(interval: Method = "wilson", **limits: float) -> Study:
    asked = study({"steps": [4]}, {})
    return asked.model_copy(
        update={
            "constraints": {name: Constraint(max=limit) for name, limit in limits.items()},
            "evaluation": asked.evaluation.model_copy(update={"interval": interval}),
        }
    )


@pytest.mark.parametrize("interval", ["wilson", "clopper_pearson"])
@pytest.mark.parametrize("limit", [0.02, 0.1, 0.5, 0.999])
def test_the_fewest_prompts_are_enough_and_one_less_is_not(interval: Method, limit: float) -> None:
    needed = fewest_asked(limit, interval)
    assert needed is not None
    assert proportion(0, needed, interval).high <= limit < proportion(0, needed - 1, interval).high
    assert fewest_asked(0, interval) is None


def test_sets_of_few_prompts_are_said_and_what_they_can_show() -> None:
    wanted = limited()
    assert [*sample_remarks(wanted, {"harmful": FEW_PROMPTS, "over_refusal": 0})] == []
    (said,) = sample_remarks(wanted, {"harmful": FEW_PROMPTS, "utility": 6})
    assert said.startswith(
        "evaluation.utility: a setting is asked 6, so that even a rate of 0 has an interval up to 39.0 %"
    )
    assert proportion(0, FEW_PROMPTS - 1, "wilson").high > 0.115 > proportion(0, FEW_PROMPTS, "wilson").high


def test_a_limit_that_no_answers_could_keep_is_said() -> None:
    plenty = {"harmful": 35, "over_refusal": 35}
    wanted = limited(harmful_response=0.1, over_refusal=0.1)
    assert [*out_of_reach_remarks(wanted, plenty, plenty)] == []
    (said,) = out_of_reach_remarks(wanted, plenty | {"harmful": 20}, plenty)
    assert said.startswith(
        "constraints.harmful_response.max: no setting can keep it: even 0 of 20 has an upper end of 16.1 %, above "
        "10.0 %, which takes at least 35 prompts; "
    )
    # The interval is the study's.
    (said,) = out_of_reach_remarks(limited("clopper_pearson", over_refusal=0.1), plenty, plenty)
    assert said.startswith("constraints.over_refusal.max: no setting can keep it: even 0 of 35 ")
    assert "which takes at least 36 prompts" in said
    (said,) = out_of_reach_remarks(wanted, plenty, plenty | {"harmful": 28})
    assert said.startswith(
        "constraints.harmful_response.max: no confirmation can uphold it: the confirmation half has 28 prompts, and "
        "at least 29 prompts show 10.0 % at error rate 5 %; "
    )
    assert [*out_of_reach_remarks(limited(harmful_response=0.1), plenty, {"harmful": 0})] == []
    assert "which no number of prompts keeps" in next(
        out_of_reach_remarks(limited(harmful_response=0), plenty, {})
    )
