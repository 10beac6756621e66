"""Post-hoc EMA with weights: rebuilt averages against directly tracked ones, on one real trajectory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ftstab.outcome import Profile, StoredShadows
from ftstab.training.copies import Copies
from ftstab.training.posthoc import rebuilt
from ftstab.training.run import Run
from ftstab.training.weights import FullWeights
from tests.training.material import (
    LAST,
    apart,
    averaged,
    ema,
    equal,
    installed,
    make_run,
    masters,
    trajectory,
)

STORED = StoredShadows(decays=(0.7, 0.95), every=4)
DECAYS = (0.8, 0.85, 0.9, 0.97)
STEPS = 24


def posthoc(decay: float, stored: StoredShadows = STORED) -> Profile:
    return Profile(kind="posthoc_exponential", value=decay, stored=stored)


def copying(run: Run, folder: Path, to: int, weights_too: bool = False) -> Run:
    """Train, and store a copy every so many steps (with the weights: after each of these and the last)."""
    assert isinstance(run.weights, FullWeights)
    run.weights.copies = copies(folder)
    while run.step < to:
        run.update()
        if run.step % STORED.every == 0 or (weights_too and run.step == to):
            (folder / str(run.step)).mkdir(parents=True, exist_ok=True)
            run.save_copy(STORED, folder / str(run.step), weights_too)
    return run


def copies(folder: Path) -> Copies:
    return Copies(lambda step, name: folder / str(step) / name)


@pytest.mark.parametrize("steps", [STEPS, STEPS - 2], ids=["at-a-copy", "between"])
def test_rebuilt_averages_are_the_tracked_ones_within_their_residual(
    tiny_model: Path, tmp_path: Path, steps: int
) -> None:
    tracked = [ema(d) for d in DECAYS]
    run = make_run(tiny_model, trajectory(steps, batch_size=2), [*tracked, *map(posthoc, DECAYS), LAST])
    copying(run, tmp_path, steps)
    for decay in DECAYS:
        found, wanted = averaged(run, posthoc(decay)), averaged(run, ema(decay))
        off = apart(found, wanted)
        # Above rounding, so that a distance of 0 for want of a reconstruction would be seen.
        assert 1e-7 < off < rebuilt(posthoc(decay), steps).residual + 1e-5, decay
        assert run.off_tracked(posthoc(decay)) == pytest.approx(off, rel=1e-3)
        assert apart(installed(run, posthoc(decay)), installed(run, ema(decay))) < off
    assert run.off_tracked(ema(0.9)) is None


def test_a_rebuilt_average_is_the_sum_of_its_terms(tiny_model: Path, tmp_path: Path) -> None:
    profile = posthoc(0.85)
    run = make_run(tiny_model, trajectory(10, batch_size=2), [profile])
    assert isinstance(run.weights, FullWeights)
    run.weights.copies = copies(tmp_path)
    history = {0: masters(run)}
    while run.step < 10:
        copying(run, tmp_path, run.step + 1)
        history[run.step] = masters(run)
    shadows = {d: {0: history[0]} for d in STORED.decays}
    for decay, by_step in shadows.items():
        for step in range(1, 11):
            by_step[step] = [
                torch.lerp(old.double(), new.double(), 1 - decay)
                for old, new in zip(by_step[step - 1], history[step], strict=True)
            ]
    terms = rebuilt(profile, 10).terms
    assert {(t.step, t.decay) for t in terms} == {(s, d) for s in (4, 8, 10) for d in STORED.decays} | {
        (10, None)
    }
    wanted = []
    for i, start in enumerate(history[0]):
        moved = [
            t.coefficient * ((shadows[t.decay][t.step] if t.decay else history[t.step])[i].double() - start)
            for t in terms
        ]
        wanted.append(sum(moved, torch.zeros_like(start, dtype=torch.float64)))
    assert apart(averaged(run, profile), wanted) < 1e-4


def test_only_the_stored_shadows_are_carried(tiny_model: Path) -> None:
    run = make_run(tiny_model, trajectory(2), [posthoc(d) for d in DECAYS])
    assert len(run.weights.bank_state()) == len(STORED.decays) * len(run.weights.masters)


def test_interpolation_and_the_start(tiny_model: Path, tmp_path: Path) -> None:
    profile = posthoc(0.9)
    run = make_run(tiny_model, trajectory(6, batch_size=2), [profile])
    start = installed(run, LAST)
    assert equal(installed(run, profile), start)
    copying(run, tmp_path, 6)
    assert equal(installed(run, profile, 0.0), start)
    assert not equal(installed(run, profile, 0.5), start)


def test_kept_copies_give_the_same_bits_without_training(tiny_model: Path, tmp_path: Path) -> None:
    profiles = [posthoc(0.9), ema(0.7), ema(0.95), ema(0.5), LAST]
    run = copying(
        make_run(tiny_model, trajectory(10, batch_size=2), profiles), tmp_path, 10, weights_too=True
    )
    again = make_run(tiny_model, trajectory(10, batch_size=2), profiles)
    again.stand_at(10, STORED, copies(tmp_path))
    assert again.step == 10
    for profile in [posthoc(0.9), ema(0.7), ema(0.95), LAST]:
        assert equal(installed(again, profile), installed(run, profile)), profile
    # A shadow that the copies don't have isn't taken for the start.
    with pytest.raises(KeyError):
        installed(again, ema(0.5))
    assert again.off_tracked(posthoc(0.5)) is None
