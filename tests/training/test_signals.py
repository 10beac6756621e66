"""Stability signals against copies of the weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ftstab.training.signals import distances, layer_group
from tests.training.material import LAST, make_run, masters, train, trajectory

EVERY = {"signals_every": 1}


def _norm(tensors: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_decay": 0.3},
        {"max_grad_norm": 0.1, "warmup_steps": 3},
        {"method": "lora", "weight_decay": 0.1},
        {"precision": "bfloat16"},
    ],
    ids=lambda c: "+".join(c) or "plain",
)
def test_update_ratio_is_that_of_copies_of_the_weights(tiny_model: Path, changes: dict[str, Any]) -> None:
    run = make_run(tiny_model, trajectory(4, batch_size=2, **changes), **EVERY)
    for _ in range(4):
        before = masters(run)
        signals = run.update()
        after = masters(run)
        moved = _norm([a - b for a, b in zip(after, before, strict=True)])
        assert signals["update_ratio"] == pytest.approx(moved / _norm(after), rel=1e-3)


def test_distances_of_the_layer_groups_sum_up(tiny_model: Path) -> None:
    run = make_run(tiny_model, trajectory(3, batch_size=2), **EVERY)
    start = masters(run)
    for _ in range(3):
        signals = run.update()
    now = masters(run)
    whole = _norm([a - b for a, b in zip(now, start, strict=True)])
    assert signals["distance"] == pytest.approx(whole, rel=1e-5)
    assert signals["relative_distance"] == pytest.approx(whole / _norm(start), rel=1e-5)
    groups = {k.removeprefix("distance/"): v for k, v in signals.items() if k.startswith("distance/")}
    assert set(groups) == {"embedding", "layer 00", "layer 01", "other"}
    assert math.sqrt(sum(v * v for v in groups.values())) == pytest.approx(whole, rel=1e-5)
    first = [a - b for n, a, b in zip(run.weights.names, now, start, strict=True) if ".layers.0." in n]
    assert groups["layer 00"] == pytest.approx(_norm(first), rel=1e-5)


def test_with_adapters_distances_are_those_of_the_layers_they_change(tiny_model: Path) -> None:
    """Not of the factors: A begins at random, and the same change may be made by others."""
    run = make_run(tiny_model, trajectory(3, batch_size=2, method="lora", learning_rate=1e-2), **EVERY)
    names = [f"{name}.base_layer.weight" for name, _ in run.weights.layers]

    def held() -> dict[str, torch.Tensor]:
        with run.installed(LAST, 1.0):
            return {n: p.detach().clone() for n, p in run.model.named_parameters() if n in names}

    start = held()
    for _ in range(3):
        signals = run.update()
    now = held()
    assert len(now) == len(names)
    whole = _norm([now[n] - start[n] for n in names])
    assert signals["distance"] == pytest.approx(whole, rel=1e-3)
    assert signals["relative_distance"] == pytest.approx(whole / _norm(list(start.values())), rel=1e-3)
    first = _norm([now[n] - start[n] for n in names if ".layers.0." in n])
    assert signals["distance/layer 00"] == pytest.approx(first, rel=1e-3)
    factors = [m - s for m, s in zip(run.weights.masters, run.weights.start, strict=True)]
    assert signals["distance"] != pytest.approx(_norm(factors), rel=0.05)


def test_collecting_gradients_copies_none_of_them(tiny_model: Path) -> None:
    """Plan counts no float32 copy of all gradients, which would be a third of a model's memory."""

    class Widened(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            self.count += func is torch.ops.aten._to_copy.default
            return found

    run = make_run(tiny_model, trajectory(1, batch_size=2, precision="bfloat16"))
    space = run.weights
    draw = torch.Generator().manual_seed(0)
    gradients = [torch.randn(p.shape, generator=draw).bfloat16() for p in space.live]
    with Widened() as seen:
        for first in (True, False, False):
            for p, g in zip(space.live, gradients, strict=True):
                p.grad = g
            space.collect_gradients(first)
    assert seen.count == 0
    wanted = [g.float() + g.float() + g.float() for g in gradients]
    assert all(torch.equal(m.grad, w) for m, w in zip(space.masters, wanted, strict=True))


def test_before_the_first_update_nothing_has_moved(tiny_model: Path) -> None:
    found = distances(make_run(tiny_model, trajectory(1)).weights)
    assert found["distance"] == found["relative_distance"] == found["changed_share"] == 0.0


def test_small_updates_change_float32_weights_but_few_in_bfloat16(tiny_model: Path) -> None:
    """What bfloat16 would lose without float32 masters."""

    def share(precision: str) -> float:
        chosen = trajectory(2, batch_size=2, learning_rate=1e-5, precision=precision)
        return distances(train(make_run(tiny_model, chosen), 2).weights)["changed_share"]

    exact, rounded = share("float32"), share("bfloat16")
    assert exact > 0.9
    assert 0.0 < rounded < 0.4


def test_costly_signals_are_taken_where_asked(tiny_model: Path) -> None:
    run = make_run(tiny_model, trajectory(6, batch_size=2), signals_at=frozenset({3}), signals_every=2)
    taken = [step for step in range(1, 7) if "distance" in run.update()]
    assert taken == [2, 3, 4, 6]


def test_every_update_has_the_cheap_signals(tiny_model: Path) -> None:
    signals = make_run(tiny_model, trajectory(6, batch_size=2)).update()
    assert set(signals) == {
        "step",
        "loss",
        "grad_norm",
        "clipped",
        "spike",
        "learning_rate",
        "tokens",
        "seconds",
    }
    assert all(isinstance(v, int | float) and math.isfinite(v) for v in signals.values())
    assert signals["step"] == 1
    assert signals["seconds"] > 0


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("model.layers.7.mlp.up_proj.weight", "layer 07"),
        ("model.layers.11.self_attn.q_proj.A", "layer 11"),
        ("transformer.h.3.attn.c_attn.weight", "layer 03"),
        ("model.embed_tokens.weight", "embedding"),
        ("transformer.wte.weight", "embedding"),
        ("lm_head.weight", "head"),
        ("model.norm.weight", "other"),
    ],
)
def test_layer_groups(name: str, group: str) -> None:
    assert layer_group(name) == group
