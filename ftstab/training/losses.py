"""The named losses of `training.loss`, over the answer tokens of a micro-batch.  Pure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ftstab.spec import Training
from ftstab.training.batches import MicroBatch

LEAST_WEIGHT = 1e-3
"""No token's weight falls below this, so that none is lost for good."""
NEXT_TOKENS = 5
"""Tokens at the beginning of an answer that are constrained more than the rest."""


def summed_loss(logits: Tensor, batch: MicroBatch, training: Training) -> tuple[Tensor, Tensor]:
    """Return the loss to go down, and the plain cross-entropy, each summed over the answer tokens.

    Args:
        logits: of the answer tokens, float32 [answer tokens, vocabulary].
        batch: the rows, with reference log-probabilities where the loss asks for them.
        training: names the loss and its parameters.

    Returns:
        Two scalars in nats, float32; the second one carries no gradient unless it is the first.
    """
    if training.loss == "cross_entropy":
        plain = cross_entropy(logits, batch.targets, reduction="sum")
        return plain, plain
    if batch.reference is None or batch.places is None:
        raise ValueError(
            "training.loss: constrained_first_tokens needs rows with reference log-probabilities"
        )
    each = cross_entropy(logits, batch.targets, reduction="none")
    plain = each.detach()
    weights = first_token_weights(-plain, batch.reference, batch.places, training)
    return (weights * each).sum(), plain.sum()


def first_token_weights(
    log_probability: Tensor, reference: Tensor, places: Tensor, training: Training
) -> Tensor:
    """Return the weight of each answer token: 2 (1 - sigmoid(beta_t (log p - log p_start))), at least `LEAST_WEIGHT`.

    1 where the model is the start model, towards 0 where it has made a token likelier than that, up to 2 where it has
    made it less likely.  Source: Qi et al. 2024 (arXiv 2406.05946), the gradient of its constrained objective; beta .1,
    times 5 for the first token of an answer and times 20 for the tokens two to five.

    Args:
        log_probability: of each answer token under the model, detached, in nats [answer tokens].
        reference: the same under the start model [answer tokens].
        places: place of each token in its answer, from 0 [answer tokens].
        training: `constrained_beta`, `constrained_first`, `constrained_next`.
    """
    beta = torch.full_like(log_probability, training.constrained_beta)
    beta[places < NEXT_TOKENS] *= training.constrained_next
    beta[places == 0] = training.constrained_beta * training.constrained_first
    return (2.0 * torch.sigmoid(-beta * (log_probability - reference))).clamp(min=LEAST_WEIGHT)
