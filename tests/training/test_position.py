"""Where an average lies on the way of training: sketches against snapshots that are kept whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ftstab.outcome import Profile
from ftstab.training.position import SIZE, Snapshots, sketch
from tests.training.material import LAST, averaged, ema, make_run, train, trajectory

STOPS = (2, 4, 7, 10)
METHODS: list[dict[str, Any]] = [{}, {"method": "lora", "lora_r": 2}]
AVERAGES = [ema(0.5), ema(0.9), Profile(kind="bias_corrected", value=0.9), Profile(kind="power", value=2.0)]


def _norm(tensors: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


@pytest.mark.parametrize("method", METHODS, ids=["full", "lora"])
def test_positions_are_those_by_whole_snapshots(tiny_model: Path, method: dict[str, Any]) -> None:
    chosen = trajectory(10, batch_size=2, **method)
    run = make_run(tiny_model, chosen, AVERAGES, signals_at=frozenset(STOPS))
    whole: dict[int, list[torch.Tensor]] = {}
    for stop in STOPS:
        train(run, stop)
        whole[stop] = averaged(run, LAST)
    whole[0] = [torch.zeros_like(t) for t in whole[10]]
    last = whole[10]
    for profile in AVERAGES:
        for scale in (1.0, 0.4):
            d = [scale * t for t in averaged(run, profile)]
            found = run.position(profile, scale)
            inner = sum(float((a.double() * b.double()).sum()) for a, b in zip(d, last, strict=True))
            assert found["rho"] == pytest.approx(inner / _norm(last) ** 2, rel=1e-4)
            assert found["distance_from_start"] == pytest.approx(_norm(d), rel=1e-4)
            exact = {s: _norm([a - b for a, b in zip(d, w, strict=True)]) for s, w in whole.items()}
            nearest = min(exact, key=lambda s: exact[s])
            assert found["nearest_snapshot"] == nearest
            assert found["nearest_snapshot_distance"] == pytest.approx(exact[nearest], rel=0.03)


def test_last_weights_have_no_position_and_interpolation_lies_on_the_line(tiny_model: Path) -> None:
    run = train(make_run(tiny_model, trajectory(4, batch_size=2), signals_at=frozenset({4})), 4)
    assert run.position(LAST, 1.0) == {}
    found = run.position(LAST, 0.25)
    assert found["rho"] == pytest.approx(0.25)
    assert found["nearest_snapshot"] == 0
    assert run.position(LAST, 0.75)["nearest_snapshot"] == 4


def test_distances_of_sketches_are_as_exact_as_said() -> None:
    """Over many pairs of tensors, among them one whose weights all lie in one column."""
    draw, errors = torch.Generator().manual_seed(0), []
    for number in range(40):
        tensor = torch.randn(300, 577, generator=draw)
        if number % 2:
            tensor[:, 1:] *= 1e-3
        whole = float(tensor.square().sum())
        errors.append(float(sketch(tensor, number).square().sum()) / whole - 1)
    spread = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert abs(sum(errors) / len(errors)) < 0.02
    assert spread < 0.09  # 300 weights alone: their signs meet seldom, and each meeting counts
    assert sketch(torch.ones(3), 0).shape == (SIZE,)


def test_positions_survive_a_resume(tiny_model: Path, tmp_path: Path) -> None:
    chosen, at = trajectory(10, batch_size=2), frozenset(STOPS)
    run = train(make_run(tiny_model, chosen, AVERAGES, signals_at=at), 7)
    run.save(tmp_path)
    fresh = make_run(tiny_model, chosen, AVERAGES, signals_at=at)
    fresh.load(tmp_path)
    assert train(fresh, 10).position(ema(0.9), 1.0) == train(run, 10).position(ema(0.9), 1.0)


def test_a_state_without_sketches_names_no_nearest_snapshot(tiny_model: Path) -> None:
    run = train(make_run(tiny_model, trajectory(4, batch_size=2), AVERAGES, signals_at=frozenset({2, 4})), 4)
    # Signs of a GPU are others.
    there = run._snapshots.state()
    assert run._snapshots.complete
    run._snapshots.load(there | {"snapshots_drawn_by": torch.tensor(270_336)}, "cpu")
    assert not run._snapshots.complete
    assert not run._snapshots._sketches
    run._snapshots.load({}, "cpu")
    found = run.position(ema(0.9), 1.0)
    assert set(found) == {"rho", "distance_from_start"}


def test_a_state_of_another_grid_names_no_nearest_snapshot(tiny_model: Path, tmp_path: Path) -> None:
    chosen = trajectory(10, batch_size=2)
    train(make_run(tiny_model, chosen, AVERAGES, signals_at=frozenset({5, 10})), 7).save(tmp_path)
    for steps, complete in (({5, 9}, True), ({0, 5, 9}, True), ({3, 5, 9}, False)):
        run = make_run(tiny_model, chosen, AVERAGES, signals_at=frozenset(steps))
        run.load(tmp_path)
        assert ("nearest_snapshot" in train(run, 9).position(ema(0.9), 1.0)) is complete


def test_taking_a_snapshot_draws_nothing_from_the_global_generator(tiny_model: Path) -> None:
    run = make_run(tiny_model, trajectory(1))
    before = torch.get_rng_state()
    Snapshots().take(run.weights, 0)
    assert torch.equal(before, torch.get_rng_state())
