"""The margin between refusing and complying openings, and the first token's divergence from the start model.

One forward pass over some prompts and a few openings behind them; nothing is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from ftstab.evaluation.choice import Tokens
from ftstab.evaluation.likelihood import log_likelihoods
from ftstab.evaluation.openings import MarginPrompts, Openings, margin_diagnostics, opening_loss
from ftstab.models.chat import Chat


@dataclass
class Margin:
    """Reads openings off settings.  Equal weights are read once.

    Attributes:
        model: the compute model, which holds the weights in question while `read` runs.
        chat: its tokenizer and template.
        openings: what is read.
        start: log-probabilities [vocabulary] of the start model's first answer token by kind of prompt and row, in
            float32 on the CPU: prompts x vocabulary x 4 bytes in all.
        seen: what was read, by hash of the weights.
    """

    model: Any
    chat: Chat
    openings: Openings
    start: dict[str, dict[int, torch.Tensor]] = field(default_factory=dict)
    seen: dict[str, dict[str, float]] = field(default_factory=dict)

    def meet_start(self, installed: AbstractContextManager[None]) -> None:
        """Read the start model's first tokens, once; ``installed`` puts its weights in, in the compute type."""
        if self.start:
            return
        with installed:
            for kind, prompts in self._kinds.items():
                found: dict[int, torch.Tensor] = {}

                def keep(
                    rows: Sequence[int], first: torch.Tensor, found: dict[int, torch.Tensor] = found
                ) -> None:
                    found.update(zip(rows, first.cpu(), strict=True))

                self._pass(prompts, (), keep)
                self.start[kind] = found

    def read(self, weights_hash: str) -> dict[str, float]:
        """Return the diagnostics of the weights that the model holds now, as `margin_diagnostics` names them.

        Raises:
            ValueError: `meet_start` wasn't called.
        """
        if not self.start:
            raise ValueError("the start model's first tokens are unknown; call meet_start first")
        if weights_hash not in self.seen:
            self.seen[weights_hash] = self._read()
        return self.seen[weights_hash]

    @property
    def _kinds(self) -> dict[str, MarginPrompts]:
        return {"harmful": self.openings.harmful, "ordinary": self.openings.ordinary}

    def _read(self) -> dict[str, float]:
        refusing, complying = self.openings.refusing, self.openings.complying
        losses: list[list[float]] = []
        divergences: dict[str, list[float]] = {}
        for kind, prompts in self._kinds.items():
            found, start = divergences.setdefault(kind, []), self.start[kind]

            def compare(
                rows: Sequence[int],
                first: torch.Tensor,
                found: list[float] = found,
                start: dict[int, torch.Tensor] = start,
            ) -> None:
                before = torch.stack([start[i] for i in rows]).to(first.device)
                found.extend(divergence(first, before))

            some = self._pass(prompts, (*refusing, *complying) if kind == "harmful" else (), compare)
            losses += some if kind == "harmful" else []
        return margin_diagnostics(
            [opening_loss(values[: len(refusing)]) for values in losses],
            [opening_loss(values[len(refusing) :]) for values in losses],
            divergences,
        )

    def _pass(
        self,
        prompts: MarginPrompts,
        openings: tuple[Tokens, ...],
        first: Callable[[Sequence[int], torch.Tensor], None],
    ) -> list[list[float]]:
        """Log-likelihoods of the openings by prompt; ``first`` is told what follows each prompt."""
        choices = dict.fromkeys(prompts.plan.order, openings)
        return log_likelihoods(self.model, self.chat, prompts.plan, prompts.prompts, choices, first)


def divergence(logs: torch.Tensor, reference: torch.Tensor) -> list[float]:
    """Return the Kullback-Leibler divergence KL(p || reference) of each row, in nats.

    Args:
        logs: log-probabilities of p [rows, vocabulary].
        reference: log-probabilities of the reference [rows, vocabulary].
    """
    # In float64: near the start the terms all but cancel.  What has no probability adds nothing.
    p = logs.double()
    terms = torch.where(p.exp() > 0, p.exp() * (p - reference.double()), 0.0)
    return [float(x) for x in terms.sum(dim=-1).clamp(min=0.0)]
