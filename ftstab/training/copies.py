"""Copies of shadows on disk, and the weights that are rebuilt from them.  Touches the files that it is given only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ftstab.outcome import Profile
from ftstab.training.posthoc import LAST, SHADOWS, rebuilt


def shadow_id(shadow: Profile) -> str:
    """Name of one of `Profile.shadows` in the files of states and copies."""
    return f"{shadow.kind}:{shadow.value!r}"


class Copies:
    """Copies of one training's shadows, read tensor by tensor.

    Args:
        file: finds a file of the copy of a step (`SHADOWS`, `LAST`).
    """

    def __init__(self, file: Callable[[int, str], Path]) -> None:
        self._file = file
        self._open: dict[tuple[int, str], Any] = {}

    def tensor(self, step: int, decay: float | None, i: int) -> Tensor:
        """Tensor ``i`` after ``step`` updates, float32: of the exponential shadow, or (None) of the weights."""
        name = LAST if decay is None else SHADOWS
        if (step, name) not in self._open:
            self._open[step, name] = safe_open(self._file(step, name), framework="pt")
        prefix = "last" if decay is None else shadow_id(Profile(kind="exponential", value=decay))
        found: Tensor = self._open[step, name].get_tensor(f"{prefix}/{i}")
        return found


def rebuilt_tensor(
    profile: Profile, update: int, start: Tensor, read: Callable[[int, float | None], Tensor]
) -> Tensor:
    """Return one tensor of a ``posthoc_exponential`` average after ``update``, float32.

    It is a sum of displacements from the start, so that coefficients never scale the weights themselves.

    Args:
        profile: the average.
        update: updates so far, at least 1.
        start: the tensor before the first update.
        read: returns the tensor of a shadow (None: of the weights) after a step.
    """
    moved = torch.zeros_like(start)
    for term in rebuilt(profile, update).terms:
        moved.add_(read(term.step, term.decay).to(start.device) - start, alpha=term.coefficient)
    return start + moved
