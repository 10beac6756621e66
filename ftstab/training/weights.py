"""The trained weights: float32 masters, their start, the bank of shadows, and how an average becomes the live model.

Two spaces meet one contract.  `FullWeights` holds every weight; the bank holds whole shadows.  `LoraWeights` holds
the factors A and B; the bank holds the factors of every step and averages the product BA when it is asked, because
the average of the factors is another model (measured elsewhere: 18 % apart in norm at rank 8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ftstab.errors import ModelError, nearest
from ftstab.models.load import cast
from ftstab.outcome import Profile, StoredShadows
from ftstab.spec import Training
from ftstab.training.averaging import keep, profile_weights
from ftstab.training.copies import Copies, rebuilt_tensor, shadow_id


class WeightSpace(Protocol):
    """What a trajectory needs of its weights."""

    names: list[str]
    live: list[Tensor]
    """Trained parameters of the compute model, in its dtype."""
    masters: list[Tensor]
    """The same in float32, with `.grad` in float32; the optimizer's parameters."""
    start: list[Tensor]
    """Float32 copy of the masters before the first update."""

    def update_bank(self, update: int) -> None:
        """Let every shadow see the masters after update number ``update`` (from 1)."""

    def installed(self, profile: Profile, interpolation: float, update: int) -> Any:
        """Context in which the compute model holds start + interpolation * (average - start)."""

    def bank_state(self) -> dict[str, Tensor]:
        """The bank as named float32 tensors."""

    def load_bank(self, state: dict[str, Tensor]) -> None:
        """Put back what `bank_state` gave."""

    def is_whole(self, names: Collection[str], update: int) -> bool:
        """Whether a bank of these tensors, saved after ``update``, holds every average that is tracked here.

        A run that tracked fewer averages goes on with a state of more, and what it saves has the fewer.
        """

    def feed_back(self, decay: float) -> None:
        """Move the feedback average towards the masters and continue from it."""

    def moved(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name, displacement of the last weights and start of every weight that is trained, float32, one by one."""


class _Masters:
    """Masters, live parameters and start: what both spaces share."""

    def __init__(self, live: Sequence[tuple[str, Tensor]], masters: list[Tensor]) -> None:
        self.names = [name for name, _ in live]
        self.live = [p for _, p in live]
        self.masters = masters
        self.start = [m.detach().clone() for m in masters]
        for m in masters:
            m.grad = torch.zeros_like(m)
        self._anchor: list[Tensor] | None = None

    def collect_gradients(self, first: bool) -> None:
        """Move the live gradients into the masters': written over if ``first``, else added."""
        grads = [present(p.grad) for p in self.live]
        totals = [present(m.grad) for m in self.masters]
        if first:
            torch._foreach_copy_(totals, grads)
        else:
            # Each is widened as it is added: float32 copies of all at once would be one more model in memory.
            for total, grad in zip(totals, grads, strict=True):
                total.add_(grad)
        for p in self.live:
            p.grad = None

    @torch.no_grad()
    def sync(self) -> None:
        """Copy the masters into the compute model."""
        torch._foreach_copy_(self.live, self.masters)

    @torch.no_grad()
    def feed_back(self, decay: float) -> None:
        if self._anchor is None:
            self._anchor = [s.clone() for s in self.start]
        torch._foreach_lerp_(self._anchor, self.masters, 1.0 - decay)
        torch._foreach_copy_(self.masters, self._anchor)

    def _anchor_state(self) -> dict[str, Tensor]:
        # The masters equal the anchor only right after it was fed back, so it is kept beside them.
        if self._anchor is None:
            return {}
        return {f"anchor/{i}": t for i, t in enumerate(self._anchor)}

    def _load_anchor(self, state: dict[str, Tensor]) -> None:
        found = [state[f"anchor/{i}"] for i in range(len(self.masters)) if f"anchor/{i}" in state]
        self._anchor = [t.to(self.masters[0].device) for t in found] or None


def present(grad: Tensor | None) -> Tensor:
    """The gradient, which a trained weight must have."""
    if grad is None:
        raise ModelError(
            "training: a trained weight got no gradient; the model has weights that its loss ignores"
        )
    return grad


class FullWeights(_Masters):
    """All weights of a model.

    Args:
        model: the model in float32 on its device; it is turned to ``dtype`` in place.
        dtype: compute type.
        profiles: averages to track.
    """

    def __init__(self, model: Any, dtype: torch.dtype, profiles: Sequence[Profile]) -> None:
        masters = [p.detach().clone().float() for _, p in model.named_parameters()]
        cast(model, dtype)
        super().__init__(list(model.named_parameters()), masters)
        tracked = {shadow_id(s): s for p in profiles for s in p.shadows}
        self._profiles = tracked
        self.copies: Copies | None = None
        """Copies of earlier steps, which rebuilt averages need."""
        self._bank = {name: [s.clone() for s in self.start] for name in tracked}

    @torch.no_grad()
    def update_bank(self, update: int) -> None:
        """Let every shadow see the masters after update number ``update`` (from 1)."""
        for name, profile in self._profiles.items():
            torch._foreach_lerp_(self._bank[name], self.masters, 1.0 - keep(profile, update))

    def _average(self, profile: Profile, update: int, i: int) -> Tensor:
        if profile.kind == "last" or update == 0:
            return self.masters[i]
        if profile.kind == "posthoc_exponential":
            return rebuilt_tensor(profile, update, self.start[i], partial(self._stored, update, i))
        shadow = self._bank[shadow_id(profile.shadows[0])][i]
        if profile.kind == "bias_corrected":
            assert profile.value is not None
            # From the start on, so that a weight that never moved is exactly where it was.
            return self.start[i] + (shadow - self.start[i]) / (1.0 - profile.value**update)
        return shadow

    def _stored(self, update: int, i: int, step: int, decay: float | None) -> Tensor:
        """Tensor ``i`` of what a rebuilt average is made from: in memory where it is of this very step."""
        if step < update:
            assert self.copies is not None
            return self.copies.tensor(step, decay, i)
        return (
            self.masters[i]
            if decay is None
            else self._bank[shadow_id(Profile(kind="exponential", value=decay))][i]
        )

    def shadows(self, stored: StoredShadows) -> dict[str, Tensor]:
        """The shadows of ``stored``, named as in `bank_state`."""
        names = [shadow_id(Profile(kind="exponential", value=decay)) for decay in stored.decays]
        return {f"{name}/{i}": t for name in names for i, t in enumerate(self._bank[name])}

    @torch.no_grad()
    def stand_at(self, step: int, stored: StoredShadows, copies: Copies) -> None:
        """Take the masters and the shadows of ``stored`` from the copy of ``step``; other shadows are forgotten."""
        self.copies = copies
        held = {shadow_id(Profile(kind="exponential", value=decay)): decay for decay in stored.decays}
        self._bank = {name: shadow for name, shadow in self._bank.items() if name in held}
        for i, master in enumerate(self.masters):
            master.copy_(copies.tensor(step, None, i))
            for name, shadow in self._bank.items():
                shadow[i].copy_(copies.tensor(step, held[name], i))
        self.sync()

    @torch.no_grad()
    def off_tracked(self, profile: Profile, update: int) -> float | None:
        """How far a rebuilt average lies from the one that was tracked as well, in displacements of that one from the
        start; None where it wasn't tracked, or lies at the start."""
        tracked = Profile(kind="exponential", value=profile.value)
        if profile.stored is None or shadow_id(tracked) not in self._bank:
            return None
        off = moved = 0.0
        for i, start in enumerate(self.start):
            wanted = self._average(tracked, update, i)
            off += float((self._average(profile, update, i) - wanted).double().square().sum())
            moved += float((wanted - start).double().square().sum())
        return float((off / moved) ** 0.5) if moved else None

    @contextmanager
    def installed(self, profile: Profile, interpolation: float, update: int) -> Iterator[None]:
        """Context in which the compute model holds start + interpolation * (average - start)."""
        with torch.no_grad():
            for i, p in enumerate(self.live):
                average = self._average(profile, update, i)
                if interpolation != 1.0:
                    average = torch.lerp(self.start[i], average, interpolation)
                p.copy_(average)
        try:
            yield
        finally:
            self.sync()

    def displacement(self, profile: Profile, update: int, i: int) -> Tensor:
        """Average minus start of tensor ``i``, float32."""
        return self._average(profile, update, i) - self.start[i]

    def moved(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name, displacement of the last weights and start of every weight, float32, one by one."""
        for name, master, start in zip(self.names, self.masters, self.start, strict=True):
            yield name, master - start, start

    def bank_state(self) -> dict[str, Tensor]:
        """The bank as named float32 tensors."""
        state = {f"{name}/{i}": t for name, shadow in self._bank.items() for i, t in enumerate(shadow)}
        return state | self._anchor_state()

    @torch.no_grad()
    def load_bank(self, state: dict[str, Tensor]) -> None:
        """Put back what `bank_state` gave."""
        for name, shadow in self._bank.items():
            for i, tensor in enumerate(shadow):
                tensor.copy_(state[f"{name}/{i}"])
        self._load_anchor(state)

    def is_whole(self, names: Collection[str], update: int) -> bool:
        """Whether a bank of these tensors, saved after ``update``, holds every average that is tracked here."""
        return all(f"{name}/0" in names for name in self._bank)


class LoraWeights(_Masters):
    """Low-rank adapters (PEFT) on a frozen model.

    Args:
        model: the model in float32 on its device; adapters are put in and it is turned to ``dtype``.
        training: rank, scale, dropout and target modules.
        dtype: compute type.
        profiles: averages to track.
    """

    def __init__(
        self, model: Any, training: Training, dtype: torch.dtype, profiles: Sequence[Profile], seed: int
    ) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise ModelError("training.method: lora needs PEFT; pip install 'ftstab[lora]'") from None
        config = LoraConfig(
            r=training.lora_r,
            lora_alpha=training.lora_alpha,
            lora_dropout=training.lora_dropout,
            target_modules=_targets(model, training.lora_target_modules),
            init_lora_weights=True,
        )
        # The factor A starts at random: from the trajectory's seed, whatever ran before in this process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, model)
        self.layers = [(n, m) for n, m in model.named_modules() if hasattr(m, "lora_A")]
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._frozen = [m.base_layer.weight.detach().clone() for _, m in self.layers]
        factors = []
        for name, layer in self.layers:
            factors += [
                (f"{name}.A", layer.lora_A["default"].weight),
                (f"{name}.B", layer.lora_B["default"].weight),
            ]
        masters = [p.detach().clone().float() for _, p in factors]
        cast(model, dtype)
        for _, p in factors:
            p.requires_grad_(True)
        super().__init__(factors, masters)
        self._scale = training.lora_alpha / training.lora_r
        self._track = any(p.kind != "last" for p in profiles)
        self._history: list[list[Tensor]] = []

    @torch.no_grad()
    def update_bank(self, update: int) -> None:
        """Let every shadow see the masters after update number ``update`` (from 1)."""
        if self._track:
            self._history.append([m.detach().clone() for m in self.masters])

    def displacement(self, profile: Profile, update: int, i: int) -> Tensor:
        """Average of scale * BA of layer ``i`` minus its value at the start (0), float32 [out, in]."""
        if profile.kind == "last" or update == 0:
            return self._scale * (self.masters[2 * i + 1] @ self.masters[2 * i])
        weights = profile_weights(profile, update)
        # One product of the stacked factors: sum_t w_t B_t A_t = [w_1 B_1 ... w_T B_T] [A_1; ...; A_T].
        b = torch.cat(
            [float(w) * f[2 * i + 1] for w, f in zip(weights[1:], self._history, strict=True)], dim=1
        )
        a = torch.cat([f[2 * i] for f in self._history], dim=0)
        return self._scale * (b @ a)

    def moved(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name, displacement of the last weights (scale * BA) and start of every adapted layer, float32, one by one."""
        for i, (name, _) in enumerate(self.layers):
            yield name, self._scale * (self.masters[2 * i + 1] @ self.masters[2 * i]), self._frozen[i]

    @contextmanager
    def installed(self, profile: Profile, interpolation: float, update: int) -> Iterator[None]:
        """Context in which the compute model holds start + interpolation * (average - start)."""
        with torch.no_grad():
            for i, (_, layer) in enumerate(self.layers):
                merged = self._frozen[i] + interpolation * self.displacement(profile, update, i)
                layer.base_layer.weight.copy_(merged)
                layer.enable_adapters(False)
        try:
            yield
        finally:
            with torch.no_grad():
                for i, (_, layer) in enumerate(self.layers):
                    layer.base_layer.weight.copy_(self._frozen[i])
                    layer.enable_adapters(True)
            for p in self.live:
                p.requires_grad_(True)

    def bank_state(self) -> dict[str, Tensor]:
        """The bank as named float32 tensors."""
        state = {
            f"factors/{t}/{i}": f for t, factors in enumerate(self._history) for i, f in enumerate(factors)
        }
        return state | self._anchor_state()

    def load_bank(self, state: dict[str, Tensor]) -> None:
        """Put back what `bank_state` gave."""
        updates = len({name.split("/")[1] for name in state if name.startswith("factors/")})
        device = self.masters[0].device
        self._history = [
            [state[f"factors/{t}/{i}"].to(device) for i in range(len(self.masters))] for t in range(updates)
        ]
        self._load_anchor(state)

    def is_whole(self, names: Collection[str], update: int) -> bool:
        """Whether a bank of these tensors, saved after ``update``, holds every average that is tracked here."""
        return not self._track or all(f"factors/{t}/0" in names for t in range(update))


def _targets(model: Any, wanted: str) -> list[str]:
    """Names of the linear layers that get adapters: those ``wanted``, or all but the output layer.

    Other kinds of layers can't be averaged as a product added to a weight, and an output layer that is one with
    the embedding would change both.
    """
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    linear = {
        n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m.weight is not embedding
    }
    if wanted == "all-linear":
        found = [n for n, m in linear.items() if m is not output]
        if not found:
            raise ModelError(
                "training.lora_target_modules: the model has no linear layer that can get an adapter"
            )
        return found
    targets = [name.strip() for name in wanted.split(",")]
    known = sorted({n.rsplit(".", 1)[-1] for n in linear})
    for target in targets:
        if not any(f".{n}".endswith(f".{target}") for n in linear):
            raise ModelError(
                f"training.lora_target_modules: no linear layer is called {target!r}{nearest(target, known)}; "
                f"allowed: all-linear, or names among {', '.join(known) or 'none'}"
            )
    return [n for n in linear if any(f".{n}".endswith(f".{target}") for target in targets)]
