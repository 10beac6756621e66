"""Stability signals: what each update did, and how far the weights have gone."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from ftstab.training.weights import FullWeights, LoraWeights, present

SPIKE_WINDOW = 16
SPIKE_DEVIATIONS = 6.0


class SpikeDetector:
    """Flags a loss far above the recent ones, from the fourth update on.

    A loss is a spike when it lies more than `SPIKE_DEVIATIONS` median absolute deviations (with a floor of 2 % of
    the median) above the median of the last `SPIKE_WINDOW` losses.  A non-finite loss is always one.
    """

    def __init__(self) -> None:
        self.window: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def seen(self, loss: float) -> bool:
        """Return whether ``loss`` is a spike, and remember it."""
        if not math.isfinite(loss):
            return True
        spike = False
        if len(self.window) >= 3:
            middle = median(self.window)
            spread = median(abs(x - middle) for x in self.window)
            spike = loss > middle + SPIKE_DEVIATIONS * max(spread, 0.02 * abs(middle))
        self.window.append(loss)
        return spike


class NoiseParts:
    """What one update's micro-batches say of the gradient's noise, by McCandlish et al. 2018 (arXiv 1812.06162,
    appendix A.1): the norms of gradients of two sizes, micro-batch and effective batch.

    With g_i the mean gradient of micro-batch i of k, T_i its answer tokens of T, and rows as the unit of size, the mean
    of |g_i|^2 weighted by T_i is |G|^2 + S k / B in expectation, and that of the whole is |G|^2 + S / B; this holds
    for unequal micro-batches too, where a gradient's variance falls with its tokens.  So |G|^2 and S follow.  Rows of
    like length share a micro-batch; where gradients depend on length that puts S above the value of random
    micro-batches, but for micro-batches of one row.
    """

    def __init__(self) -> None:
        self._weighted = 0.0
        self._count = 0

    @torch.no_grad()
    def saw(self, weights: FullWeights | LoraWeights, share: float) -> None:
        """Take in a micro-batch's part of the gradient, before it is collected; ``share`` is T_i / T."""
        # In float32: a norm rounded to bfloat16 would hide the difference of two of them.
        norms = torch._foreach_norm([present(p.grad) for p in weights.live], 2, dtype=torch.float32)
        self._weighted += float(torch.stack(list(norms)).square().sum()) / share
        self._count += 1

    def signals(self, grad_norm: float, rows: int) -> dict[str, float]:
        """Return ``gradient_square`` (|G|^2) and ``gradient_noise`` (S, in rows), each unbiased and noisy.

        Either may be negative in one update: the noise scale is the ratio of their sums over many updates.
        Nothing is returned of one micro-batch, or of numbers that aren't finite.

        Args:
            grad_norm: norm of the whole gradient, before clipping.
            rows: rows of the effective batch.
        """
        if self._count < 2 or not (math.isfinite(grad_norm) and math.isfinite(self._weighted)):
            return {}
        whole, small = grad_norm**2, self._weighted
        noise = (small - whole) * rows / (self._count - 1)
        return {"gradient_square": whole - noise / rows, "gradient_noise": noise}


def layer_group(name: str) -> str:
    """The group of a weight: `embedding`, `layer 07`, `head` or `other`."""
    parts = name.split(".")
    for before, part in pairwise(parts):
        if part.isdigit() and before in ("layers", "h", "blocks", "layer"):
            return f"layer {int(part):02d}"
    if "lm_head" in parts:
        return "head"
    return "embedding" if any("emb" in p or p == "wte" for p in parts) else "other"


@torch.no_grad()
def distances(weights: FullWeights | LoraWeights) -> dict[str, float]:
    """Distance of the last weights from the start, in float32.

    Returns ``distance`` (Euclidean), ``relative_distance`` (over the norm of the start), ``changed_share`` (share
    of trained weights that differ from the start in the compute type) and ``distance/<layer group>``.  With LoRA the
    distance is that of the adapted layers' weights, scale * BA over their norm: the factors of the same change may lie
    anywhere, and A starts at random.
    """
    groups: dict[str, float] = defaultdict(float)
    norm = changed = count = 0.0
    for name, moved, start in weights.moved():
        groups[layer_group(name)] += float(moved.square().sum())
        norm += float(start.square().sum())
    for live, master, start in zip(weights.live, weights.masters, weights.start, strict=True):
        changed += float((master.to(live.dtype) != start.to(live.dtype)).sum())
        count += master.numel()
    total = math.sqrt(sum(groups.values()))
    found = {"distance": total, "changed_share": changed / count}
    if norm > 0:
        found["relative_distance"] = total / math.sqrt(norm)
    found.update({f"distance/{group}": math.sqrt(square) for group, square in sorted(groups.items())})
    return found


@torch.no_grad()
def update_ratio(optimizer: torch.optim.AdamW, weights: FullWeights | LoraWeights) -> float:
    """Norm of the last AdamW update over the norm of the weights.

    Worked out from the optimizer's moments, so that no copy of the weights is needed:
    update = lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + lr * weight_decay * theta_old.
    """
    group: dict[str, Any] = optimizer.param_groups[0]
    beta1, beta2 = group["betas"]
    rate, decay = group["lr"], group["weight_decay"]
    moved = size = 0.0
    for master in weights.masters:
        state = optimizer.state[master]
        t = float(state["step"])
        direction = state["exp_avg"] / (1 - beta1**t)
        direction /= (state["exp_avg_sq"] / (1 - beta2**t)).sqrt_().add_(group["eps"])
        direction *= rate
        if decay:
            direction += rate * decay * (master + direction) / (1 - rate * decay)
        moved += float(direction.square().sum())
        size += float(master.square().sum())
    return math.sqrt(moved / size) if size else math.inf
