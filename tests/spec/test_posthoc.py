"""The `posthoc` section of a study file: what it may stand beside."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.errors import SpecError
from tests.plan.material import study

AXES: dict[str, Any] = {"steps": [20, 40], "ema_decay": [0, 0.9, 0.95]}
POSTHOC: dict[str, Any] = {"decays": [0.8, 0.97], "every": 10}


def test_it_is_off_unless_asked_for() -> None:
    assert study(AXES).posthoc is None
    found = study(AXES, posthoc=POSTHOC).posthoc
    assert found is not None
    assert (found.max_residual, found.keep) == (0.05, False)


@pytest.mark.parametrize(
    ("posthoc", "said"),
    [
        (
            {"decays": [], "every": 10},
            "posthoc.decays: given []; give at least one value",
        ),
        ({"decays": [0.8, 0.8], "every": 10}, "posthoc.decays: given [0.8, 0.8]; each value may stand once"),
        ({"decays": [0.0], "every": 10}, "posthoc.decays.0: given 0.0; input should be greater than 0"),
        ({"decays": [1.0], "every": 10}, "posthoc.decays.0: given 1.0; input should be less than 1"),
        ({"decays": [0.8]}, "posthoc.every: missing"),
        ({"decays": [0.8], "every": 0}, "posthoc.every: given 0"),
        ({"decays": [0.8], "every": 10, "max_residual": 0.0}, "posthoc.max_residual: given 0.0"),
        ({"decay": [0.8], "every": 10}, "posthoc.decay: unknown key (did you mean 'decays'?)"),
        ({"decays": [0.9, 0.95], "every": 10}, "so nothing would be rebuilt"),
    ],
)
def test_faults_of_its_own(posthoc: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        study(AXES, posthoc=posthoc)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "training", "said"),
    [
        ({}, {"ema_mode": "feedback"}, "posthoc: not with `ema_mode: feedback`"),
        ({}, {"method": "lora"}, "posthoc: not with LoRA, whose bank keeps the factors of every step"),
        ({"method": ["full", "lora"]}, {}, "posthoc: not with LoRA"),
        ({}, {"schedule": "warmup_stable_decay"}, "posthoc: not with `schedule: warmup_stable_decay`"),
        (
            {"steps": [5000]},
            {},
            "stores 499 copies up to step 5000; at most 100 are allowed: give 50 or more",
        ),
    ],
)
def test_what_it_cant_stand_beside(axes: dict[str, Any], training: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        study(AXES | axes, training, posthoc=POSTHOC)
    assert said in str(caught.value)


def test_the_advice_on_copies_is_enough() -> None:
    study(AXES | {"steps": [5000]}, posthoc=POSTHOC | {"every": 50})


def test_not_with_a_search() -> None:
    search = {"method": "optuna", "budget": {"trajectories": 4}}
    axes = AXES | {"learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"}}
    with pytest.raises(SpecError, match=r"posthoc: not with `search\.method: optuna`"):
        study(axes, posthoc=POSTHOC, search=search)
