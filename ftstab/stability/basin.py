"""Slices of the safety basin: what becomes of safety when weights are moved along a line.

Safety holds within a neighbourhood of the weights and then falls (Peng et al. 2024, arXiv 2405.17374); random
directions are normalised filter by filter, so that slices of different weights compare (Li et al. 2018, arXiv
1712.09913).  Torch is loaded by what needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Centre = Literal["start", "setting"]
Direction = Literal["random", "towards the start"]


@dataclass(frozen=True)
class BasinPoint:
    """One point of a slice.

    Attributes:
        centre: the weights that the slice goes through.
        direction: along what.
        seed: of a random direction; None of the other.
        alpha: how far: in norms of every filter at random; towards the start 0 is the centre and 1 the start.
        distance: Euclidean distance from the centre.
        measured: numbers by name, as they were read there.
    """

    centre: Centre
    direction: Direction
    seed: int | None
    alpha: float
    distance: float
    measured: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def random_direction(weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return a random direction whose every filter has the norm of the weights' own.

    Gaussian; a filter is a row of a matrix (an output's weights, a token's embedding).  Vectors (norms, biases) stay as
    they are, as in the source's own code, because their scale says nothing of the others'.

    Args:
        weights: float32 tensors by name.
        seed: the same seed is the same draw for weights of the same shapes.
    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name in sorted(weights):
        tensor = weights[name]
        if tensor.dim() < 2:
            found[name] = torch.zeros_like(tensor)
            continue
        noise = torch.randn(tensor.shape, generator=draw).to(tensor)
        rows, own = noise.flatten(1), tensor.flatten(1)
        scale = own.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True)
        found[name] = (rows * scale).view_as(tensor)
    return found


def towards(weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the direction whose end at alpha 1 is ``target``."""
    return {name: target[name] - tensor for name, tensor in weights.items()}


def walk(
    model: Any,
    weights: Mapping[str, Tensor],
    direction: Mapping[str, Tensor],
    alphas: Sequence[float],
    read: Callable[[], dict[str, float | None]],
) -> list[tuple[float, float, dict[str, float | None]]]:
    """Put weights + alpha * direction into ``model`` for every alpha, and return (alpha, distance, what was read).

    The sum is formed in float32 and rounded to the compute type once.  ``model`` holds ``weights`` afterwards.

    Args:
        model: the compute model.
        weights: float32 tensors by name.
        direction: the same.
        alphas: points, in the order they are read.
        read: measures the weights that the model holds.
    """
    import torch

    live = dict(model.named_parameters())
    length = math.sqrt(sum(float(d.double().square().sum()) for d in direction.values()))
    found = []
    try:
        for alpha in alphas:
            with torch.no_grad():
                for name, parameter in live.items():
                    parameter.copy_(weights[name] + alpha * direction[name])
            found.append((alpha, abs(alpha) * length, read()))
    finally:
        with torch.no_grad():
            for name, parameter in live.items():
                parameter.copy_(weights[name])
    return found
