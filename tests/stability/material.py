"""A made-up study: trajectories over learning rates, batches and seeds whose harm is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ftstab.evaluation.rates import rate
from ftstab.outcome import Outcome
from tests.outcomes import bare_outcome

STEPS = (2, 4, 8, 16, 32)
PROMPTS = 400


def outcome(
    learning_rate: float,
    batch: int,
    seed: int,
    step: int,
    harm: float,
    loss: float | None = None,
    **fields: Any,
) -> Outcome:
    """A setting of last weights with the rate ``harm``, and the safety loss ``loss`` if given."""
    trajectory = f"{learning_rate:g}-{batch}-{seed}"
    key = f"{trajectory}-{step}"
    hits = round(harm * PROMPTS)
    marks = "N" * hits + "R" * (PROMPTS - hits)
    diagnostics = fields.pop("diagnostics", {}) | ({} if loss is None else {"safety_loss": loss})
    return bare_outcome(
        key,
        trajectory=trajectory,
        training={"learning_rate": learning_rate, "batch_size": batch},
        seed=seed,
        step=step,
        rates={"harmful": rate("non_refusal_rate", "j@1", "b@1", marks, "N", [None] * PROMPTS)},
        diagnostics=diagnostics,
        **fields,
    )


def start(harm: float = 0.0, loss: float = -5.0) -> Outcome:
    return outcome(0.0, 0, 0, 0, harm, loss, start=True)


def grid(
    harm: Callable[[float, int, int, int], float],
    rates: Sequence[float] = (1e-5, 1e-4),
    batches: Sequence[int] = (4, 16),
    seeds: Sequence[int] = (0, 1, 2),
    steps: Sequence[int] = STEPS,
    loss: Callable[[float, int, int, int], float] | None = None,
) -> list[Outcome]:
    """One outcome per learning rate, batch, seed and step."""
    return [
        outcome(r, b, s, t, harm(r, b, s, t), None if loss is None else loss(r, b, s, t))
        for r in rates
        for b in batches
        for s in seeds
        for t in steps
    ]


def signals(outcomes: Sequence[Outcome], warmup: int = 0) -> dict[str, list[dict[str, float]]]:
    """One dictionary per update of every trajectory, with a linear warm-up."""
    last = {
        o.trajectory: (max(x.step for x in outcomes if x.trajectory == o.trajectory), o) for o in outcomes
    }
    return {
        t: [
            {
                "step": n,
                "spike": 0.0,
                "learning_rate": o.training["learning_rate"] * min(1.0, n / (warmup or 1)),
            }
            for n in range(1, end + 1)
        ]
        for t, (end, o) in last.items()
    }
