"""The gradient's noise against a distribution that is known, and against gradients taken row by row."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ftstab.data.order import update_rows
from ftstab.models.chat import EncodedRow
from ftstab.training.batches import answer_logits, micro_batches
from ftstab.training.run import Run
from ftstab.training.signals import NoiseParts
from tests.training.material import make_run, trajectory

SIZES = (40, 90, 70, 200)
"""Answer tokens of the micro-batches of one made-up update of 8 rows."""


def test_sums_over_updates_come_to_the_truth_with_unequal_micro_batches() -> None:
    """Gradient (3, 4): |G|^2 = 25.  A token's gradient has variance 900 in each of two directions; with 50 tokens a row
    S = 1800 / 50 = 36 in rows."""
    torch.manual_seed(0)
    mean, total, updates = torch.tensor([3.0, 4.0]), sum(SIZES), 4000
    square = noise = 0.0
    for _ in range(updates):
        parts, whole = NoiseParts(), torch.zeros(2)
        for size in SIZES:
            part = (mean + 30.0 * torch.randn(2) / math.sqrt(size)) * size / total
            parts.saw(SimpleNamespace(live=[SimpleNamespace(grad=part)]), size / total)
            whole += part
        found = parts.signals(float(whole.norm()), rows=8)
        square += found["gradient_square"] / updates
        noise += found["gradient_noise"] / updates
    assert square == pytest.approx(25.0, rel=0.03)
    assert noise == pytest.approx(36.0, rel=0.03)


def test_one_micro_batch_tells_nothing() -> None:
    parts = NoiseParts()
    parts.saw(SimpleNamespace(live=[SimpleNamespace(grad=torch.ones(2))]), 1.0)
    assert parts.signals(1.0, 8) == {}


def test_numbers_that_are_not_finite_tell_nothing() -> None:
    parts = NoiseParts()
    for _ in range(2):
        parts.saw(SimpleNamespace(live=[SimpleNamespace(grad=torch.tensor([math.inf]))]), 0.5)
    assert parts.signals(math.inf, 8) == {}


@pytest.mark.parametrize("changes", [{}, {"method": "lora"}, {"max_grad_norm": 0.01}], ids=str)
def test_signals_are_those_of_gradients_taken_one_by_one(
    tiny_model: Path, changes: dict[str, object]
) -> None:
    chosen = trajectory(2, batch_size=6, micro_batch_size=2, **changes)
    run = make_run(tiny_model, chosen)
    if chosen.training.method == "lora":
        # The gradient of A is 0 until B has moved.
        run.update()
    batches = micro_batches(_rows(run), 2, run.pad_id, run.device)
    tokens = sum(batch.targets.numel() for batch in batches)
    weighted, whole = 0.0, None
    for batch in batches:
        loss = torch.nn.functional.cross_entropy(answer_logits(run.model, batch), batch.targets)
        grads = torch.autograd.grad(loss, run.weights.live)
        flat = torch.cat([g.double().flatten() for g in grads])
        share = batch.targets.numel() / tokens
        weighted += share * float(flat.square().sum())
        whole = share * flat if whole is None else whole + share * flat
    square = float(whole.square().sum())
    noise = (weighted - square) * 6 / 2
    signals = run.update()
    assert signals["gradient_noise"] == pytest.approx(noise, rel=1e-3)
    assert signals["gradient_square"] == pytest.approx(square - noise / 6, rel=1e-2, abs=1e-3 * square)


def test_a_batch_that_fits_one_micro_batch_has_no_such_signals(tiny_model: Path) -> None:
    assert (
        "gradient_noise" not in make_run(tiny_model, trajectory(1, batch_size=4, micro_batch_size=4)).update()
    )


def test_watching_the_noise_changes_no_weight(tiny_model: Path) -> None:
    """The signals are read off gradients that are there anyway."""
    run = make_run(tiny_model, trajectory(2, batch_size=4, micro_batch_size=2))
    blind = make_run(tiny_model, trajectory(2, batch_size=4, micro_batch_size=2))
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            run.update()
        patch.setattr(NoiseParts, "saw", lambda *_: None)
        for _ in range(2):
            blind.update()
    assert all(torch.equal(a, b) for a, b in zip(run.weights.masters, blind.weights.masters, strict=True))


def _rows(run: Run) -> list[EncodedRow]:
    wanted = update_rows(len(run.rows), run.data_hash, run.trajectory.seed, 6, run.step)
    return [run.rows[i] for i in wanted]
