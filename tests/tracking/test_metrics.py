"""Names that MLflow can hold, one for each thing; numbers that it can't are named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from ftstab.evaluation.rates import win_rate_score
from ftstab.outcome import Profile
from ftstab.plan import setting_recipe
from ftstab.tracking import metrics as m
from tests.tracking.material import HOSTILE, make_study, outcome, plan_of

NAMES = st.text(max_size=60) | st.sampled_from(HOSTILE)


@given(st.lists(NAMES, unique=True, max_size=6))
def test_every_name_becomes_a_legal_one_of_its_own(names: list[str]) -> None:
    legal = m.legal_names(names)
    assert list(legal) == names
    assert len({name.casefold() for name in legal.values()}) == len(names)
    for name in legal.values():
        _validate_metric_name(f"non_refusal_rate/{name}.low")
        assert len(name) < 120


def test_a_plain_name_stays() -> None:
    assert m.legal_names(["fraud", "self-harm", "adult content"])["adult content"] == "adult content"


@pytest.mark.parametrize("name", ["distance/layer 07", "loss", "a.b"])
def test_a_path_of_ours_stays(name: str) -> None:
    assert m.legal_path(name) == name


@given(NAMES)
def test_any_path_becomes_legal(name: str) -> None:
    _validate_metric_name(m.legal_path(name))
    _validate_metric_name("diagnostics/" + m.legal_path(name))


def test_numbers_that_are_none_are_left_out_and_named() -> None:
    figures = m.Figures({}, {})
    for name, value in (("a", 1), ("b", math.nan), ("c", -math.inf), ("d", None)):
        figures.put(name, value)
    assert figures.values == {"a": 1.0}
    assert figures.left_out_tag() == "b: nan, c: -inf, d: unscored"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e-4, "2e-4"),
        (3e-5, "3e-5"),
        (1.25e-5, "1.25e-5"),
        (0.5, "0.5"),
        (0.0, "0"),
        (16, "16"),
        (None, "null"),
        (1e4, "1e4"),
    ],
)
def test_numbers_are_written_as_people_do(value: float | None, text: str) -> None:
    assert m._plain(value) == text


def test_the_name_of_a_run_says_what_is_varied() -> None:
    study = make_study("seeds: {search: [0, 1]}")
    names = {m.run_name(study, t) for t in plan_of(study).trajectories}
    assert len(names) == 4
    assert "lr=2e-4 batch=16 seed=1" in names


def test_the_tag_of_a_recipe_is_what_seeds_share() -> None:
    trajectories = plan_of(make_study("seeds: {search: [0, 1]}")).trajectories
    told = [m.outcome_tags(outcome(t, s), t)["ftstab.recipe"] for t in trajectories for s in t.settings]
    assert len(told) == 16
    # The one key by which fresh seeds and frontier group runs.
    assert set(told) == {setting_recipe(t, s) for t in trajectories for s in t.settings}
    assert len(set(told)) == 8


def test_every_count_and_end_is_a_metric() -> None:
    plan = plan_of(make_study())
    trajectory = plan.trajectories[0]
    found = m.outcome_figures(outcome(trajectory, trajectory.settings[0]), None)
    parts = ["", ".low", ".high", ".n", ".hits", ".misses", ".incoherent", ".unscored"]
    assert {f"non_refusal_rate{p}" for p in parts} <= set(found.values)
    assert {f"over_refusal_rate{p}" for p in parts} <= set(found.values)
    assert {"exact_match", "exact_match.low", "exact_match.high", "exact_match.n"} <= set(found.values)
    one = outcome(trajectory, trajectory.settings[0])
    score = win_rate_score("1100TTTU", "u@1", "c@1")
    won = m.outcome_figures(one.model_copy(update={"utility": score}), None).values
    assert [won[f"win_rate.{part}"] for part in ("n", "right", "wrong", "ties", "unscored")] == [
        8,
        2,
        2,
        3,
        1,
    ]
    names = m.legal_names(HOSTILE)
    assert {found.values[f"non_refusal_rate/{name}.n"] for name in names.values()} == {4}
    assert (
        sum(v for k, v in found.values.items() if k.startswith("non_refusal_rate/") and k.endswith(".n"))
        == 52
    )
    assert found.left_out["diagnostics/half_life"] == "inf"


def test_the_label_of_an_average_is_legal() -> None:
    plan = plan_of(make_study())
    trajectory = plan.trajectories[0]
    profile = Profile(kind="power", value=1e20)
    label = m.averaging_label(outcome(trajectory, trajectory.settings[0], profile=profile, interpolation=0.5))
    assert label == "power 1e20 x0.5"
