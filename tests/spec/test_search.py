"""What a study file may say of its search, and what it is told otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ftstab.errors import SpecError
from ftstab.spec import Range, Study, parse_study, study_text

LOG = {"low": 1e-5, "high": 1e-3, "scale": "log"}
SEARCH = {"method": "optuna", "budget": {"trajectories": 8}}


def text(search: Any = None, training: dict[str, Any] | None = None, **axes: Any) -> str:
    whole: dict[str, Any] = {
        "study": "searched",
        "base": {"model": "none"},
        "data": {"train": "builtin:tasks"},
        "training": training or {},
        "axes": {"learning_rate": LOG, "steps": [5]} | axes,
    }
    return yaml.safe_dump(whole | ({"search": search} if search else {}))


def faults(search: Any = None, training: dict[str, Any] | None = None, **axes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse_study(text(search, training, **axes))
    return str(caught.value)


def test_a_range_is_read_and_written():
    study = parse_study(text(SEARCH))
    assert study.axes.range("learning_rate") == Range(low=1e-5, high=1e-3, scale="log")
    assert study.axes.of("learning_rate") is None
    assert study.axes.varied("learning_rate")
    again = parse_study(study_text(study))
    assert again == study
    assert isinstance(again, Study)


def test_a_list_is_still_a_list_and_its_faults_are_named():
    study = parse_study(text(SEARCH, learning_rate=[1e-5, 1e-4]))
    assert study.axes.of("learning_rate") == [1e-5, 1e-4]
    said = faults(SEARCH, learning_rate=["small"])
    assert "axes.learning_rate.0: given" in said


@pytest.mark.parametrize(
    ("search", "axes", "said"),
    [
        (None, {}, "axes.learning_rate: a range needs `search: {method: optuna"),
        ({"method": "optuna"}, {}, "`method: optuna` needs `budget`"),
        ({"method": "optuna", "budget": {}}, {}, "give `trajectories`, `hours`, or both"),
        ({"method": "grid", "seed": 3}, {"learning_rate": [1e-4]}, "seed: only with `method: optuna`"),
        (SEARCH, {"learning_rate": {"low": 1e-3, "high": 1e-5}}, "`low` 0.001 must be below `high` 1e-05"),
        (SEARCH, {"learning_rate": LOG | {"low": 0}}, "`low` 0 has no logarithm"),
        (
            SEARCH,
            {"learning_rate": {"low": -1e-3, "high": 1e-3}},
            "axes.learning_rate: given -0.001 as an end",
        ),
        (SEARCH, {"batch_size": {"low": 2.2, "high": 3.1}}, "fewer than two whole numbers lie between"),
        (SEARCH, {"adam_beta2": {"low": 0.9, "high": 1.5}}, "axes.adam_beta2: given 1.5 as an end"),
        (SEARCH, {"learning_rate": [1e-4]}, "no trained axis has several values"),
        (SEARCH, {"learning_rate": LOG | {"lowest": 1}}, "lowest: unknown key"),
        (SEARCH | {"presets": ["qi2024"]}, {}, "known: qi2023"),
        (SEARCH | {"presets": [{"batch_size": 8}]}, {}, "search.presets.0.batch_size: not searched"),
        (
            SEARCH | {"presets": [{"learning_rate": 1.0}]},
            {},
            "search.presets.0.learning_rate: 1.0 isn't between 1e-05 and 0.001",
        ),
        (SEARCH | {"presets": ["qi2023"]}, {"batch_size": [4, 8]}, "128 isn't among axes.batch_size [4, 8]"),
        (
            {
                "method": "optuna",
                "budget": {"trajectories": 1},
                "presets": ["qi2023", {"learning_rate": 1e-4}],
            },
            {},
            "search.budget.trajectories: given 1, but 2 presets come first",
        ),
        (SEARCH | {"batch_prior": "sqrt"}, {}, "search.batch_prior: `sqrt` ties learning_rate to batch_size"),
        (
            SEARCH | {"presets": [{"lora_r": 2.5}]},
            {"lora_r": {"low": 1, "high": 8}},
            "search.presets.0.lora_r: given 2.5; input should be a valid integer",
        ),
        (
            SEARCH | {"presets": [{"batch_size": 8.0}]},
            {"batch_size": [4, 8]},
            "search.presets.0.batch_size: given 8.0",
        ),
        (
            SEARCH | {"presets": [{"learning_rate": "small"}]},
            {},
            "search.presets.0.learning_rate: given 'small'; input should be a valid number",
        ),
        (
            SEARCH | {"presets": ["qi2023"]},
            {},
            "qi2023 has batch_size 128, but the study has 8; search batch_size",
        ),
        (
            SEARCH | {"presets": ["qi2023"]},
            {"schedule": ["cosine"]},
            "qi2023 has schedule 'constant', but the study",
        ),
        (
            SEARCH | {"batch_prior": "sqrt", "sampler": "random"},
            {"batch_size": [4, 8]},
            "search.batch_prior: not with `sampler: random`",
        ),
        (
            SEARCH | {"hopeless": {"gain_below": 0.0}},
            {"steps": [5]},
            "search.hopeless: nothing can be left early, for no step of axes.steps [5]",
        ),
        (
            SEARCH | {"hopeless": {"safety_loss_rise_above": 2.0}},
            {"steps": [5, 10]},
            "search.hopeless.safety_loss_rise_above: needs `evaluation.margin: true`",
        ),
        (
            SEARCH | {"hopeless": {"safety_loss_above": 0.0}},
            {"steps": [5, 10]},
            "search.hopeless.safety_loss_above: needs `evaluation.margin: true`",
        ),
        (
            SEARCH | {"hopeless": {"safety_loss_rise_above": 0}},
            {"steps": [5, 10]},
            "search.hopeless.safety_loss_rise_above: given 0; input should be greater than 0",
        ),
        (
            SEARCH | {"hopeless": {"safety_loss_rise_abov": 2.0}},
            {"steps": [5, 10]},
            "safety_loss_rise_abov: unknown key (did you mean 'safety_loss_rise_above'?)",
        ),
        (
            SEARCH | {"hopeless": {"from_step": 6}},
            {"steps": [5, 10]},
            "give one or more of `safety_loss_above`, `safety_loss_rise_above`, `gain_below`",
        ),
        (
            SEARCH | {"hopeless": {"gain_below": 0.0, "from_step": 6}},
            {"steps": [5, 10]},
            "comes after one that is judged (from_step 6)",
        ),
        (
            SEARCH | {"hopeless": {"gain_below": 0.0}},
            {"steps": [5, 10], "schedule": ["cosine", "linear"]},
            "search.hopeless: nothing can be left early with schedule cosine or linear",
        ),
        (
            SEARCH,
            {"batch_size": []},
            "axes.batch_size: given []; give at least one value",
        ),
        (SEARCH, {"learning_rate": LOG | {"high": float("inf")}}, "axes.learning_rate.high: given Infinity"),
        (SEARCH | {"sampler": "tpee"}, {}, 'search.sampler: given "tpee"'),
        (
            SEARCH,
            {"ema_mode": ["shadow", "feedback"], "ema_decay": [0.5]},
            "axes.ema_mode: not with a search",
        ),
    ],
)
def test_faults(search, axes, said):
    assert said in faults(search, **axes)


def test_a_point_takes_a_trajectory_for_each_seed():
    few = text(SEARCH | {"budget": {"trajectories": 3}, "presets": [{"learning_rate": 1e-4}] * 2})
    with pytest.raises(
        SpecError, match="given 3, but 2 presets come first, each with 2 seeds; give at least 4"
    ):
        parse_study(few + "seeds: {search: [0, 1]}\n")
    few = text(SEARCH | {"budget": {"trajectories": 1}})
    with pytest.raises(SpecError, match="given 1, but a point comes, each with 2 seeds; give at least 2"):
        parse_study(few + "seeds: {search: [0, 1]}\n")


def test_all_faults_at_once():
    said = faults(
        SEARCH | {"presets": ["qi2024"]}, learning_rate={"low": -1.0, "high": 1.0}, batch_size=[4, 4]
    )
    assert "qi2024" in said
    assert "axes.learning_rate: given -1" in said
    assert "axes.batch_size" in said
