"""What the optimizer is given: the learning rate at a step, and the decay of the second moment."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ftstab.models.chat import EncodedRow
from ftstab.spec import Training


def learning_rate(training: Training, update: int, horizon: int | None) -> float:
    """Return the learning rate of update ``update`` (counted from 1).

    Args:
        training: its schedule, warm-up and peak.
        update: number of the update.
        horizon: last update, for schedules that read it (cosine, linear, warm-up-stable-decay).

    Warm-up is linear over ``warmup_steps`` and absolute, so it doesn't make the horizon matter.
    """
    peak = training.learning_rate
    if update <= training.warmup_steps:
        return peak * update / training.warmup_steps
    if training.schedule == "constant":
        return peak
    assert horizon is not None
    if training.schedule == "warmup_stable_decay":
        decay = max(1, round(training.decay_fraction * horizon))
        # The last update still moves: the rate falls towards 0 at the update after it.
        return peak * min(1.0, (horizon + 1 - update) / (decay + 1))
    progress = (update - training.warmup_steps) / max(1, horizon + 1 - training.warmup_steps)
    if training.schedule == "linear":
        return peak * (1 - progress)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def second_moment_decay(training: Training, tokens_per_update: float) -> float:
    """Return AdamW's beta2: as given, or 2^(-tokens / half-life).

    Source: Marek et al. 2025 (arXiv 2507.07101), which holds beta2^(half-life / tokens of an update) = 1/2 fixed over
    batch sizes.

    Args:
        training: `adam_beta2`, or `beta2_half_life` in tokens.
        tokens_per_update: see `tokens_per_update`.
    """
    if training.beta2_half_life is None:
        return training.adam_beta2
    return float(2.0 ** (-tokens_per_update / training.beta2_half_life))


def tokens_per_update(training: Training, rows: Sequence[EncodedRow], mixed: int) -> float:
    """Return the tokens that the loss of an update counts, on average over the training rows.

    The paper's tokens are those of its sequences, all of which its loss counts; here the loss counts answers alone, and
    it is over them that a gradient, whose square the second moment averages, is taken.  The average over the data, not
    the tokens of an update or of a run, so that nothing depends on how many updates there are (measurement rule 17).

    Args:
        training: effective batch, and share of rows mixed in.
        rows: every training row.
        mixed: how many of them, the last ones, are mixed in.
    """
    own, other = rows[: len(rows) - mixed], rows[len(rows) - mixed :]
    share = training.mix_share if other else 0.0
    mean = (1 - share) * sum(row.answer_tokens for row in own) / len(own)
    if other:
        mean += share * sum(row.answer_tokens for row in other) / len(other)
    return training.batch_size * mean
