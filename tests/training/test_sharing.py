"""The proof that sharing a trajectory changes nothing (measurement rules 17 and 18).

Everything that could make a step of a long run differ from the end of a short one is on: dropout in attention and
adapters, accumulation over uneven micro-batches, warm-up, epochs that end inside an update, evaluation in between,
and a kill with a resume in a fresh object.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ftstab.models.chat import EncodedRow
from ftstab.outcome import Profile
from ftstab.plan import Job, Trajectory
from ftstab.training.run import Run
from tests.training.material import (
    LAST,
    PROFILES,
    apart,
    ask,
    averaged,
    ema,
    encoded,
    equal,
    installed,
    make_run,
    masters,
    plan,
    train,
)

STEPS = [2, 3, 5]
AXES = {
    "steps": STEPS,
    "ema_decay": [0, 0.5, 0.9],
    "averaging": [{"kind": "bias_corrected", "decay": 0.9}, {"kind": "power", "gamma": 2.0}],
}
COMMON = {
    "learning_rate": 1e-2,
    "batch_size": 6,
    "micro_batch_size": 4,
    "warmup_steps": 3,
    "max_grad_norm": 0.5,
    "weight_decay": 0.1,
    "adam_beta1": 0.8,
    "adam_beta2": 0.95,
}
LORA = {"method": "lora", "lora_r": 2, "lora_dropout": 0.2}


def _jobs(training: dict[str, Any], axes: dict[str, Any]) -> tuple[Job, ...]:
    data = {"train": "builtin:tasks"} | ({"mix": "builtin:refusals"} if "mix_share" in training else {})
    # A half-life stands in the place of beta2.
    other = {"adam_beta2"} if "beta2_half_life" in training else set()
    return plan({k: v for k, v in training.items() if k not in other}, axes, data=data).jobs


def _shared(training: dict[str, Any]) -> Trajectory:
    (job,) = _jobs(training, AXES)
    return job.trunk


def _unshared(training: dict[str, Any], step: int, profile: Profile) -> Trajectory:
    """The trajectory of a study that asks for this step and this profile alone."""
    axes: dict[str, Any] = {"steps": [step]}
    if profile.kind in ("last", "exponential"):
        axes["ema_decay"] = [profile.value or 0]
    else:
        name = "gamma" if profile.kind == "power" else "decay"
        axes["averaging"] = [{"kind": profile.kind, name: profile.value}]
    (job,) = _jobs(training, axes)
    (setting,) = job.trunk.settings
    assert (setting.step, setting.profile, job.trunk.last) == (step, profile, step)
    return job.trunk


def _read(run: Run) -> dict[Profile, tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """All averages of the step at hand, with an evaluation under way."""
    found = {}
    for profile in PROFILES:
        with run.installed(profile, 1.0):
            ask(run)
        found[profile] = (averaged(run, profile), installed(run, profile))
    return found


CONSTRAINED = {"loss": "constrained_first_tokens", "constrained_beta": 0.5}
HALF_LIFE = {"beta2_half_life": 700.0}


def _rows(folder: Path, method: dict[str, Any]) -> tuple[list[EncodedRow], int]:
    """Eight rows: at six a step, the epochs end inside the updates 2, 3 and 4; and how many of them are mixed in."""
    rows = list(encoded(folder, 8))
    if "loss" in method:
        # As if the start model had been less sure.
        rows = [replace(r, reference=tuple(-1.0 - t % 3 for t in range(r.answer_tokens))) for r in rows]
    return rows, 2 if "mix_share" in method else 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "method",
    [{}, LORA, CONSTRAINED | HALF_LIFE | {"mix_share": 0.3}],
    ids=["full", "lora", "constrained-half_life-mix"],
)
def test_every_step_and_average_is_bit_equal_to_an_unshared_run(
    dropout_model: Path, tmp_path: Path, method: dict[str, Any], precision: str
) -> None:
    training = COMMON | method | {"precision": precision}
    trajectory = _shared(training)
    assert trajectory.stops == tuple(STEPS)
    rows, mixed = _rows(dropout_model, method)
    run = make_run(dropout_model, trajectory, PROFILES, rows, signals_every=1, mixed=mixed)
    seen = {}
    for step in STEPS:
        if step == 5:
            # Killed after an update that nobody kept, with the state of one update before.
            run.save(tmp_path)
            run.update()
            torch.manual_seed(987)
            run = make_run(dropout_model, trajectory, PROFILES, rows, mixed=mixed)
            run.load(tmp_path)
            assert run.step == 3
        train(run, step)
        seen[step] = (_read(run), masters(run))
    for step in STEPS:
        for profile in PROFILES:
            torch.manual_seed(step)
            unshared = _unshared(training, step, profile)
            alone = train(make_run(dropout_model, unshared, [profile], rows, mixed=mixed), step)
            averages, weights = seen[step]
            assert equal(masters(alone), weights)
            assert equal(averaged(alone, profile), averages[profile][0]), (step, profile)
            assert equal(installed(alone, profile), averages[profile][1]), (step, profile)


def test_the_proof_can_fail(dropout_model: Path, tiny_model: Path) -> None:
    """Each of these does change the weights, so their equality above means something."""
    base = masters(train(make_run(dropout_model, _shared(COMMON)), 3))

    def other(folder: Path, **changes: Any) -> float:
        return apart(masters(train(make_run(folder, replace(_shared(COMMON | changes))), 3)), base)

    seeded = replace(_shared(COMMON), seed=1)
    assert apart(masters(train(make_run(dropout_model, seeded), 3)), base) > 1e-3
    assert other(tiny_model) > 1e-4  # no dropout
    assert other(dropout_model, warmup_steps=0) > 1e-3
    assert other(dropout_model, micro_batch_size=3) > 1e-4  # other masks of dropout
    assert other(dropout_model, weight_decay=0.0) > 1e-4
    assert other(dropout_model, adam_beta2=0.99) > 1e-4
    assert other(dropout_model, max_grad_norm=None) > 0
    rows, mixed = _rows(dropout_model, CONSTRAINED | {"mix_share": 0.3})

    def with_rows(**changes: Any) -> list[torch.Tensor]:
        run = make_run(dropout_model, _shared(COMMON | changes), (), rows, mixed=mixed)
        return masters(train(run, 3))

    before = with_rows()
    for changes in (CONSTRAINED, HALF_LIFE, {"mix_share": 0.3}):
        assert apart(with_rows(**changes), before) > 1e-4, changes
    assert other(dropout_model) == 0


def test_lora_dropout_is_on_in_training(tiny_model: Path) -> None:
    def after(dropout: float) -> list[torch.Tensor]:
        return masters(train(make_run(tiny_model, _shared(COMMON | LORA | {"lora_dropout": dropout})), 2))

    assert apart(after(0.2), after(0.0)) > 1e-4


@pytest.mark.parametrize("method", [{}, LORA], ids=["full", "lora"])
def test_branches_of_a_stable_trunk_end_as_if_trained_alone(
    dropout_model: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    training = COMMON | method | {"schedule": "warmup_stable_decay", "decay_fraction": 0.4, "warmup_steps": 1}
    axes = {"steps": [4, 6], "ema_decay": [0, 0.5]}
    (job,) = plan(training, axes).jobs
    assert [(b.first, b.last) for b in job.branches] == [(2, 4), (4, 6)]
    profiles = [LAST, ema(0.5)]
    run = make_run(dropout_model, job.trunk, profiles)
    for branch in job.branches:
        train(run, branch.first)
        run.save(tmp_path)
        run.follow(branch)
        train(run, branch.last)
        alone = make_run(dropout_model, replace(branch, first=0), profiles)
        rates = [alone.update()["learning_rate"] for _ in range(branch.last)]
        assert rates[: branch.first] == [1e-2] * branch.first
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] < 0.6 * rates[0]
        for profile in profiles:
            assert equal(averaged(run, profile), averaged(alone, profile))
        run.load(tmp_path)
        run.follow(job.trunk)
    # The trunk is still the trajectory of a constant schedule.
    constant = {k: v for k, v in training.items() if k not in ("schedule", "decay_fraction")}
    (plain,) = plan(constant, axes).jobs
    assert plain.key == job.key
    unharmed = train(make_run(dropout_model, plain.trunk, profiles), 4)
    assert run.step == 4
    assert equal(averaged(run, ema(0.5)), averaged(unharmed, ema(0.5)))
    assert equal(masters(train(run, 5)), masters(train(unharmed, 5)))


def test_evaluation_leaves_dropout_and_weights_as_they_were(dropout_model: Path) -> None:
    asked, left = (make_run(dropout_model, _shared(COMMON), PROFILES) for _ in range(2))
    for _ in range(3):
        with asked.installed(ema(0.9), 0.5):
            ask(asked)
        ask(asked)
        torch.rand(3)
        assert asked.update()["loss"] == left.update()["loss"]
    assert equal(masters(asked), masters(left))


def test_weights_come_back_after_an_evaluation_that_fails(tiny_model: Path) -> None:
    def fail(run: Run) -> None:
        with run.installed(ema(0.5), 0.7):
            assert not equal([p.detach() for p in run.model.parameters()], before)
            raise MemoryError

    for method in ({}, LORA):
        run = train(make_run(tiny_model, _shared(COMMON | method), PROFILES), 2)
        before = [p.detach().clone() for p in run.model.parameters()]
        with pytest.raises(MemoryError):
            fail(run)
        assert equal([p.detach() for p in run.model.parameters()], before)
        run.update()
