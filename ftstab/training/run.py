"""One trajectory, update by update.

The rows of update t are a function of data, seed, effective batch and t alone; dropout is a function of seed, step
and micro-batch; nothing reads the horizon unless the schedule does.  So a step of a long run is bit-equal to the
last step of a short one (measurement rules 17 and 18).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ftstab.data.order import Mixed, update_rows
from ftstab.identity import digest
from ftstab.models.chat import EncodedRow
from ftstab.outcome import Profile, StoredShadows
from ftstab.plan import Trajectory
from ftstab.training.batches import answer_logits, micro_batches
from ftstab.training.copies import Copies
from ftstab.training.files import write_tensors
from ftstab.training.losses import summed_loss
from ftstab.training.position import Snapshots
from ftstab.training.posthoc import LAST, SHADOWS
from ftstab.training.schedule import learning_rate, second_moment_decay, tokens_per_update
from ftstab.training.signals import NoiseParts, SpikeDetector, distances, update_ratio
from ftstab.training.weights import FullWeights, LoraWeights, present

BANK = "bank.safetensors"
"""File of a resume state that holds the averages."""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
WORSE_THAN_GUESSING = 1.5
"""A loss above this many times log(vocabulary) is worse than guessing ..."""
FOR_UPDATES = 3
"""... and for so many updates in a row it is called diverged."""


class Run:
    """A trajectory in training.

    Attributes:
        step: updates done.
        diverged: why it can't go on, or None.
    """

    def __init__(
        self,
        model: Any,
        rows: Sequence[EncodedRow],
        data_hash: str,
        trajectory: Trajectory,
        profiles: Sequence[Profile],
        pad_id: int,
        signals_at: frozenset[int] = frozenset(),
        signals_every: int | None = None,
        mixed: int = 0,
    ) -> None:
        """Set up masters, bank and optimizer.

        Args:
            model: the start model in float32, on its device; it becomes the compute model.
            rows: encoded training rows, with reference log-probabilities where the loss asks for them.
            data_hash: key of the rows, which their order depends on.
            trajectory: what to train.
            profiles: averages to track (of the trajectory, or of the branches of a trunk).
            pad_id: padding token.
            signals_at: steps at which the costly signals are taken.
            signals_every: and every so many steps.
            mixed: how many of the rows, the last ones, are mixed in by `training.mix_share`.
        """
        t = trajectory.training
        self.trajectory, self.training = trajectory, t
        self.model, self.rows, self.data_hash, self.pad_id = model, rows, data_hash, pad_id
        self.mixed = mixed
        self.adam_beta2 = second_moment_decay(t, tokens_per_update(t, rows, mixed))
        self.device = next(model.parameters()).device
        dtype = DTYPES[t.precision]
        if t.method == "lora":
            self.weights: FullWeights | LoraWeights = LoraWeights(model, t, dtype, profiles, trajectory.seed)
        else:
            self.weights = FullWeights(model, dtype, profiles)
        self.optimizer = torch.optim.AdamW(
            self.weights.masters,
            lr=t.learning_rate,
            betas=(t.adam_beta1, self.adam_beta2),
            eps=t.adam_epsilon,
            weight_decay=t.weight_decay,
            fused=True,
        )
        self.step = 0
        self.diverged: str | None = None
        self.spikes = 0
        self._spike = SpikeDetector()
        self._above = 0
        self._limit = WORSE_THAN_GUESSING * math.log(model.config.vocab_size)
        self._signals_at, self._signals_every = signals_at, signals_every
        self._snapshots = Snapshots()
        model.train()

    def update(self) -> dict[str, float]:
        """Train one update and return its signals.

        ``loss`` is the mean over the answer tokens of the effective batch, before the update.  A non-finite loss
        or gradient leaves the weights as they were and sets `diverged`.
        """
        began = time.perf_counter()
        number = self.step + 1
        wanted = update_rows(
            len(self.rows) - self.mixed,
            self.data_hash,
            self.trajectory.seed,
            self.training.batch_size,
            self.step,
            Mixed(self.mixed, self.training.mix_share) if self.mixed else None,
        )
        chosen = [self.rows[i] for i in wanted]
        answer_tokens = sum(row.answer_tokens for row in chosen)
        loss, cross_entropy = (torch.zeros((), device=self.device) for _ in range(2))
        noise = NoiseParts() if len(chosen) > self.training.micro_batch_size else None
        for i, batch in enumerate(
            micro_batches(chosen, self.training.micro_batch_size, self.pad_id, self.device)
        ):
            torch.manual_seed(int(digest([self.trajectory.seed, number, i])[:15], 16))
            total, plain = summed_loss(answer_logits(self.model, batch), batch, self.training)
            part = total / answer_tokens
            part.backward()
            if noise is not None:
                noise.saw(self.weights, batch.targets.numel() / answer_tokens)
            self.weights.collect_gradients(first=i == 0)
            loss += part.detach()
            cross_entropy += plain.detach() / answer_tokens
        tokens = sum(len(row.ids) for row in chosen)
        signals = self._apply(number, float(loss), float(cross_entropy), tokens, began)
        return signals if noise is None else signals | noise.signals(signals["grad_norm"], len(chosen))

    def _apply(
        self, number: int, loss: float, cross_entropy: float, tokens: int, began: float
    ) -> dict[str, float]:
        """Clip, step, let the bank see the result, and say what happened."""
        grads = [present(m.grad) for m in self.weights.masters]
        norm_tensor = torch.nn.utils.get_total_norm(grads)
        norm = float(norm_tensor)
        rate = learning_rate(self.training, number, self.trajectory.horizon)
        spike = self._spike.seen(loss)
        self.spikes += spike
        most = self.training.max_grad_norm
        signals = {
            "step": number,
            "loss": loss,
            "grad_norm": norm,
            "clipped": float(most is not None and norm > most),
            "spike": float(spike),
            "learning_rate": rate,
            "tokens": tokens,
        }
        if self.training.asks_reference:
            signals["cross_entropy"] = cross_entropy
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(loss) else "gradient"
            self.diverged = f"non-finite {what} at step {number}"
            return signals
        # Of the cross-entropy: a weighted loss doesn't say how well the next token is guessed.
        self._above = self._above + 1 if cross_entropy > self._limit else 0
        if self._above >= FOR_UPDATES:
            limit = f"{self._limit:.1f}, worse than guessing,"
            self.diverged = f"loss above {limit} for {FOR_UPDATES} updates to step {number}"
            return signals
        if most is not None:
            torch.nn.utils.clip_grads_with_norm_(self.weights.masters, most, norm_tensor)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.trajectory.feedback_decay is not None and number % self.training.ema_every == 0:
            self.weights.feed_back(self.trajectory.feedback_decay)
        self.weights.sync()
        self.weights.update_bank(number)
        self.step = number
        if number in self._signals_at or (self._signals_every and number % self._signals_every == 0):
            signals |= {"update_ratio": update_ratio(self.optimizer, self.weights), **distances(self.weights)}
        if number in self._signals_at:
            self._snapshots.take(self.weights, number)
        signals["seconds"] = time.perf_counter() - began
        return signals

    def installed(self, profile: Profile, interpolation: float) -> AbstractContextManager[None]:
        """Context in which ``model`` holds the averaged and interpolated weights, ready to answer."""
        return self.weights.installed(profile, interpolation, self.step)

    def position(self, profile: Profile, interpolation: float) -> dict[str, float]:
        """Where a setting lies on the way that training went (`ftstab.training.position`)."""
        return self._snapshots.position(self.weights, profile, interpolation, self.step)

    def off_tracked(self, profile: Profile) -> float | None:
        """How far a rebuilt average lies from the same one tracked (`FullWeights.off_tracked`); None where neither or
        one of them is there."""
        return self.weights.off_tracked(profile, self.step) if isinstance(self.weights, FullWeights) else None

    def save_copy(self, stored: StoredShadows, folder: Path, weights_too: bool) -> None:
        """Write the shadows of ``stored`` into ``folder``, and the masters if asked.

        Averages that are rebuilt at later steps read them by `FullWeights.copies`.
        """
        assert isinstance(self.weights, FullWeights)
        files = {SHADOWS: self.weights.shadows(stored)}
        if weights_too:
            files[LAST] = {f"last/{i}": m.detach() for i, m in enumerate(self.weights.masters)}
        for name, tensors in files.items():
            write_tensors(tensors, folder / name)

    def stand_at(self, step: int, stored: StoredShadows, copies: Copies) -> None:
        """Hold the weights, and the shadows of ``stored``, of ``step``; nothing can be trained from here."""
        assert isinstance(self.weights, FullWeights)
        self.weights.stand_at(step, stored, copies)
        self.step = step
        # The steps that it passed over have no sketches.
        self._snapshots.complete = False

    def save(self, folder: Path) -> None:
        """Write the resume state into ``folder``: masters, moments, bank, counters.

        No random state is kept, because every draw is a function of seed and step.
        """
        masters = {f"masters/{i}": m.detach() for i, m in enumerate(self.weights.masters)}
        moments = {}
        for i, master in enumerate(self.weights.masters):
            for name, value in self.optimizer.state.get(master, {}).items():
                moments[f"moments/{i}/{name}"] = value
        counters = {
            "step": torch.tensor(self.step),
            "spikes": torch.tensor(self.spikes),
            "above": torch.tensor(self._above),
            "window": torch.tensor(list(self._spike.window), dtype=torch.float64),
            **self._snapshots.state(),
        }
        parts = {
            "masters": masters,
            "moments": moments,
            "bank": self.weights.bank_state(),
            "counters": counters,
        }
        for name, tensors in parts.items():
            write_tensors(tensors, folder / f"{name}.safetensors")

    def can_load(self, bank: Path, step: int) -> bool:
        """Whether the state of ``step`` with this file `BANK` holds every average that is tracked here."""
        with safe_open(bank, framework="pt") as file:
            return self.weights.is_whole(set(file.keys()), step)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        masters = load_file(folder / "masters.safetensors")
        for i, master in enumerate(self.weights.masters):
            master.copy_(masters[f"masters/{i}"])
        self.optimizer.state.clear()
        for name, value in load_file(folder / "moments.safetensors").items():
            _, i, field = name.split("/")
            # The count of steps too: the fused optimizer wants it beside its weights.
            self.optimizer.state[self.weights.masters[int(i)]][field] = value.to(self.device)
        self.weights.load_bank(load_file(folder / BANK))
        counters = load_file(folder / "counters.safetensors")
        self.step, self.spikes = int(counters["step"]), int(counters["spikes"])
        self._above = int(counters["above"])
        self._spike.window.clear()
        self._spike.window.extend(counters["window"].tolist())
        self._snapshots.load(counters, self.device, [n for n in self._signals_at if 0 < n <= self.step])
        self.diverged = None
        self.weights.sync()

    def follow(self, trajectory: Trajectory) -> None:
        """Go on as ``trajectory``: a branch of the one before, or its trunk again after `load`."""
        self.trajectory, self.training = trajectory, trajectory.training
