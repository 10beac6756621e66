"""The same work on a GPU: what the CPU finds within rounding, and the same bits each time.

Skipped where torch sees no GPU; `ftstab run` with `resources: {gpus_per_trajectory: 1}` is what it stands for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ftstab.models.load import load_model
from ftstab.outcome import Profile
from ftstab.plan import Trajectory
from ftstab.training.run import Run
from tests.lab import Finished, Lab, measured
from tests.training.material import (
    PROFILES,
    apart,
    averaged,
    chat,
    encoded,
    equal,
    installed,
    make_run,
    masters,
    train,
    trajectory,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
METHODS: list[dict[str, Any]] = [{}, {"method": "lora", "lora_r": 2, "lora_dropout": 0.1}]
ON_GPU = {"launcher": "inprocess", "gpus_per_trajectory": 1}


def gpu_run(folder: Path, chosen: Trajectory, profiles: Sequence[Profile] = PROFILES) -> Run:
    model = copy.deepcopy(load_model(folder)).to("cuda")
    return Run(model, encoded(folder, 8), "data", chosen, profiles, chat(folder).pad_id, frozenset({3, 6}))


def test_a_gpu_trains_what_the_cpu_trains(tiny_model: Path) -> None:
    chosen = trajectory(6, batch_size=4)
    there = train(gpu_run(tiny_model, chosen), 6)
    here = train(make_run(tiny_model, chosen, PROFILES), 6)
    for profile in PROFILES:
        found = [t.cpu() for t in averaged(there, profile)]
        assert {t.device.type for t in averaged(there, profile)} == {"cuda"}
        assert apart(found, averaged(here, profile)) < 0.02


@pytest.mark.parametrize("method", METHODS, ids=["full", "lora"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_gives_the_same_bits_each_time(
    tiny_model: Path, method: dict[str, Any], precision: str
) -> None:
    chosen = trajectory(6, batch_size=4, precision=precision, **method)
    first, second = (train(gpu_run(tiny_model, chosen), 6) for _ in range(2))
    assert equal(masters(first), masters(second))
    for profile in PROFILES:
        assert equal(installed(first, profile), installed(second, profile))


@pytest.mark.parametrize("method", METHODS, ids=["full", "lora"])
def test_a_gpu_goes_on_from_a_saved_state(tiny_model: Path, tmp_path: Path, method: dict[str, Any]) -> None:
    chosen = trajectory(8, batch_size=3, precision="bfloat16", **method)
    whole = train(gpu_run(tiny_model, chosen), 5)
    whole.save(tmp_path)
    fresh = gpu_run(tiny_model, chosen)
    fresh.load(tmp_path)
    assert {m.device.type for m in fresh.weights.masters} == {"cuda"}
    losses = [[run.update()["loss"] for _ in range(3)] for run in (whole, fresh)]
    assert losses[0] == losses[1]
    assert equal(masters(whole), masters(fresh))


def test_a_whole_study_runs_on_a_gpu(finished: Finished, lab: Lab) -> None:
    study = lab.study("whole", constraints={"harmful_response": {"max": 0.4}}, resources=ON_GPU)
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "8 of 8 settings measured" in done.out
    found, expected = lab.outcomes(study), finished.lab.outcomes(finished.study)
    assert found.keys() == expected.keys()
    named = torch.cuda.get_device_name()
    assert {o.record["environment"]["device"] for o in found.values()} == {named}
    # A token that is as likely as the next best may fall otherwise, a trained answer not.
    for key, outcome in found.items():
        assert outcome.status == expected[key].status
        assert abs(outcome.rates["harmful"].hits - expected[key].rates["harmful"].hits) <= 1


def test_a_study_on_a_gpu_finds_the_same_again(lab: Lab, tmp_path: Path, empty_databases: Path) -> None:
    other = Lab(tmp_path / "other", lab.model, empty_databases)
    found = []
    for each in (lab, other):
        study = each.study("again", resources=ON_GPU)
        assert each.run(study).code == 0
        found.append(measured(each.outcomes(study)))
    assert found[0] == found[1]


def test_two_workers_of_ray_share_a_gpu(lab: Lab) -> None:
    study = lab.study("shared", resources={"launcher": "ray", "gpus_per_trajectory": 0.5})
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "8 of 8 settings measured" in done.out
