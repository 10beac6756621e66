"""Where an average lies on the way that training went: how far along, how far out, and which snapshot it is nearest to
(measurement rule 19).

Snapshots of a model don't fit in memory, so of each a sketch of its displacement from the start is kept: 65,521
numbers, a quarter of a megabyte.  A sketch is linear: every weight goes with a random sign into one of the places.
The squared distance of two sketches is right on average, with a relative standard deviation of sqrt(2 / 65,521) or
0.6 %, so that distances are known to 0.3 % (tug-of-war sketches: Alon, Matias and Szegedy 1999, JCSS 58:137-147;
many of them at once: Charikar, Chen and Farach-Colton 2002, ICALP).  Distances from the start and from the last
weights are exact.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from ftstab.outcome import Profile
from ftstab.training.weights import FullWeights, LoraWeights

SIZE = 65_521
"""Places of a sketch: a prime, so that no row or column of a matrix falls into a few of them."""
SEED = 20_265
"""Seed of the signs."""
_LAST = Profile(kind="last")


class Snapshots:
    """Sketches of the weights at the steps that are read.

    Attributes:
        complete: whether every step so far that is read has its sketch; not after a state without sketches.
    """

    def __init__(self) -> None:
        self.complete = True
        self._sketches: dict[int, Tensor] = {}

    @torch.no_grad()
    def take(self, weights: FullWeights | LoraWeights, step: int) -> None:
        """Keep the sketch of the weights after update ``step``."""
        total = torch.zeros(SIZE, device=weights.masters[0].device)
        for i in range(_tensors(weights)):
            total += sketch(weights.displacement(_LAST, step, i), i)
        self._sketches[step] = total

    @torch.no_grad()
    def position(
        self, weights: FullWeights | LoraWeights, profile: Profile, interpolation: float, step: int
    ) -> dict[str, float]:
        """Return where start + interpolation * (average - start) lies after update ``step``.

        ``rho`` is <d, d_T> / |d_T|^2, with d its displacement from the start and d_T that of the last weights: 1 at the
        last weights, 0 at the start.  ``distance_from_start`` is |d|.  ``nearest_snapshot`` is the step, among those
        read so far on this trajectory, with the start (0) and the last one, whose weights lie nearest to it by
        Euclidean distance, which is ``nearest_snapshot_distance``; neither is there unless `complete`.  Empty for the
        last weights themselves, and while nothing has moved.  With LoRA the displacement is that of the product BA.
        """
        if step == 0 or (profile.kind == "last" and interpolation == 1.0):
            return {}
        along = out = whole = 0.0
        mine = torch.zeros(SIZE, device=weights.masters[0].device)
        between = {s: k for s, k in self._sketches.items() if s < step} if self.complete else {}
        for i in range(_tensors(weights)):
            last = weights.displacement(_LAST, step, i)
            d = last if profile.kind == "last" else weights.displacement(profile, step, i)
            along += interpolation * float((d * last).sum(dtype=torch.float64))
            out += interpolation**2 * float(d.square().sum(dtype=torch.float64))
            whole += float(last.square().sum(dtype=torch.float64))
            if between:
                mine += interpolation * sketch(d, i)
        if whole == 0.0:
            return {}
        found = {"rho": along / whole, "distance_from_start": math.sqrt(out)}
        if not self.complete:
            return found
        squares = {0: out, step: max(0.0, out - 2 * along + whole)}
        squares |= {s: float((mine - k).square().sum(dtype=torch.float64)) for s, k in between.items()}
        nearest = min(squares, key=lambda s: (squares[s], s))
        return found | {
            "nearest_snapshot": float(nearest),
            "nearest_snapshot_distance": math.sqrt(squares[nearest]),
        }

    def state(self) -> dict[str, Tensor]:
        """The sketches as named tensors, and what drew their signs."""
        kept = {f"snapshot/{step}": k for step, k in self._sketches.items()}
        drawn = next((_drawn_by(k.device) for k in self._sketches.values()), 0)
        return kept | {"snapshots": torch.tensor(self.complete), "snapshots_drawn_by": torch.tensor(drawn)}

    def load(self, state: dict[str, Tensor], device: Any, read: Collection[int] = ()) -> None:
        """Put back what `state` gave; a state of an earlier version has nothing, and one of another grid may lack
        steps of those that were ``read`` so far.

        CPU and GPU, and GPUs of different size, draw other signs, so that sketches of one say nothing on the other.
        """
        self.complete = "snapshots" in state and bool(state["snapshots"])
        names = [name for name in state if name.startswith("snapshot/")]
        if names and int(state.get("snapshots_drawn_by", 0)) != _drawn_by(torch.device(device)):
            self.complete, names = False, []
        self._sketches = {int(name.split("/")[1]): state[name].to(device) for name in names}
        self.complete = self.complete and self._sketches.keys() >= set(read)


def _drawn_by(device: torch.device) -> int:
    """What decides which signs a seed gives: 0 on a CPU, the threads that draw at a time on a GPU."""
    if device.type != "cuda":
        return 0
    found = torch.cuda.get_device_properties(device)
    return int(found.multi_processor_count * found.max_threads_per_multi_processor)


def sketch(tensor: Tensor, number: int) -> Tensor:
    """Return the sketch [`SIZE`] of tensor number ``number`` of a model; the same signs whenever it is asked for."""
    flat = tensor.reshape(-1).float()
    draw = torch.Generator(device=flat.device)
    draw.manual_seed(SEED + number)
    signs = torch.randint(0, 2, flat.shape, generator=draw, device=flat.device, dtype=torch.int8)
    signed = flat * signs.mul_(2).sub_(1)
    whole = flat.numel() // SIZE * SIZE
    found = torch.zeros(SIZE, device=flat.device)
    if whole:
        found += signed[:whole].view(-1, SIZE).sum(dim=0)
    found[: flat.numel() - whole] += signed[whole:]
    # Small tensors would all lie in the first places.
    return found.roll(number * 7_919 % SIZE)


def _tensors(weights: FullWeights | LoraWeights) -> int:
    return len(weights.layers) if isinstance(weights, LoraWeights) else len(weights.masters)
