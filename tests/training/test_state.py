"""Saving and loading a run: everything that decides what comes next, in safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ftstab.training.run import Run
from tests.training.material import PROFILES, averaged, equal, make_run, masters, train, trajectory

METHODS: list[dict[str, Any]] = [{}, {"method": "lora", "lora_r": 2, "lora_dropout": 0.1}]


def _everything(run: Run) -> dict[str, Any]:
    moments = {
        f"{i}/{name}": value.tolist()
        for i, m in enumerate(run.weights.masters)
        for name, value in run.optimizer.state.get(m, {}).items()
    }
    return {
        "masters": [m.tolist() for m in run.weights.masters],
        "live": [p.tolist() for p in run.weights.live],
        "moments": moments,
        "bank": {k: v.tolist() for k, v in run.weights.bank_state().items()},
        "step": run.step,
        "spikes": run.spikes,
        "window": list(run._spike.window),
        "above": run._above,
    }


@pytest.mark.parametrize("method", METHODS, ids=["full", "lora"])
def test_a_fresh_run_takes_up_everything(tiny_model: Path, tmp_path: Path, method: dict[str, Any]) -> None:
    chosen = trajectory(8, batch_size=3, precision="bfloat16", **method)
    run = train(make_run(tiny_model, chosen, PROFILES), 5)
    run.spikes, run._above = 2, 1
    run.save(tmp_path)
    files = sorted(tmp_path.iterdir())
    fresh = make_run(tiny_model, chosen, PROFILES)
    assert _everything(fresh) != _everything(run)
    fresh.load(tmp_path)
    assert _everything(fresh) == _everything(run)
    assert {path.suffix for path in files} == {".safetensors"}
    for path in files:
        assert load_file(path).keys()
    losses = [[r.update()["loss"] for _ in range(3)] for r in (run, fresh)]
    assert losses[0] == losses[1]
    assert equal(masters(run), masters(fresh))
    for profile in PROFILES:
        assert equal(averaged(run, profile), averaged(fresh, profile))


@pytest.mark.parametrize("method", METHODS, ids=["full", "lora"])
def test_a_state_from_before_the_first_update_goes_back_to_the_start(
    tiny_model: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    run = make_run(tiny_model, trajectory(4, batch_size=2, **method), PROFILES)
    start = _everything(run)
    run.save(tmp_path)
    once = [run.update()["loss"] for _ in range(3)]
    run.load(tmp_path)
    assert _everything(run) == start
    assert [run.update()["loss"] for _ in range(3)] == once


def test_a_run_that_tracks_nothing_has_an_empty_bank(tiny_model: Path, tmp_path: Path) -> None:
    run = train(make_run(tiny_model, trajectory(4, batch_size=2)), 1)
    run.save(tmp_path)
    assert load_file(tmp_path / "bank.safetensors") == {}
    fresh = make_run(tiny_model, trajectory(4, batch_size=2))
    fresh.load(tmp_path)
    assert equal(masters(fresh), masters(run))


def test_a_state_doesnt_hold_on_to_the_live_tensors(tiny_model: Path, tmp_path: Path) -> None:
    """What was saved stays as it was while training goes on."""
    run = train(make_run(tiny_model, trajectory(4, batch_size=2), PROFILES), 1)
    run.save(tmp_path)
    before = {name: load_file(tmp_path / name) for name in ("masters.safetensors", "bank.safetensors")}
    train(run, 3)
    for name, tensors in before.items():
        again = load_file(tmp_path / name)
        assert all(torch.equal(again[k], t) for k, t in tensors.items())


def test_a_state_of_more_averages_serves_a_run_that_wants_fewer(tiny_model: Path, tmp_path: Path) -> None:
    run = train(make_run(tiny_model, trajectory(4, batch_size=2), PROFILES), 2)
    run.save(tmp_path)
    few = make_run(tiny_model, trajectory(4, batch_size=2), PROFILES[:2])
    few.load(tmp_path)
    assert equal(averaged(few, PROFILES[1]), averaged(run, PROFILES[1]))
