"""Directions and walks of the safety basin against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from ftstab.stability.basin import random_direction, towards, walk


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "a.weight": torch.randn(4, 3) * torch.tensor([[1.0], [10.0], [0.1], [0.0]]),
        "a.bias": torch.randn(4),
    }


def test_every_filter_keeps_its_own_norm(weights) -> None:
    direction = random_direction(weights, 0)
    norms = [float(row.norm()) for row in direction["a.weight"]]
    assert norms == pytest.approx([float(row.norm()) for row in weights["a.weight"]], rel=1e-5)
    assert not direction["a.bias"].any()
    assert not torch.equal(direction["a.weight"], random_direction(weights, 1)["a.weight"])


def test_the_same_draw_points_the_same_way_around_other_weights(weights) -> None:
    other = {name: 3 * tensor for name, tensor in weights.items()}
    first, second = random_direction(weights, 5), random_direction(other, 5)
    assert torch.allclose(3 * first["a.weight"], second["a.weight"], rtol=1e-5)


def test_a_walk_reads_every_point_and_leaves_the_centre(weights) -> None:
    model = torch.nn.ParameterDict(
        {name.replace(".", "_"): torch.zeros_like(t) for name, t in weights.items()}
    )
    centre = {name.replace(".", "_"): tensor for name, tensor in weights.items()}
    target = {name: tensor + 1 for name, tensor in centre.items()}
    direction = towards(centre, target)
    found = walk(model, centre, direction, [-1, 0, 1], lambda: {"x": float(model["a_weight"].detach()[0, 0])})
    first = float(centre["a_weight"][0, 0])
    assert [(alpha, read["x"]) for alpha, _, read in found] == [
        (-1, pytest.approx(first - 1)),
        (0, pytest.approx(first)),
        (1, pytest.approx(first + 1)),
    ]
    assert [distance for _, distance, _ in found] == pytest.approx([4, 0, math.sqrt(16)])
    assert torch.equal(model["a_weight"].detach(), centre["a_weight"])


def test_the_centre_is_back_after_a_failure(weights) -> None:
    model = torch.nn.ParameterDict({"w": torch.zeros(2, 2)})
    centre = {"w": torch.ones(2, 2)}

    def fails() -> dict[str, float | None]:
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        walk(model, centre, {"w": torch.ones(2, 2)}, [0.5], fails)
    assert torch.equal(model["w"].detach(), centre["w"])
