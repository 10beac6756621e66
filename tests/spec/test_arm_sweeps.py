"""The study files of control arms: arms that may be compared, within an hour on two cores."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ftstab.arms.effect import MIN_STRENGTHS
from ftstab.cli.plan import plan_report
from ftstab.plan import strength_of, study_plan
from ftstab.spec import Study, load_study
from ftstab.stats import MIN_CURVE_SEEDS

FOLDER = Path(__file__).parents[2] / "sweeps"
NAMES = [
    f"arm-{n}" for n in ("batch", "beta2", "clipping", "ema-alone", "first-tokens", "lora", "safety-rows")
]
HOUR = 3600.0
CORES = 2


def _load(name: str) -> Study:
    return load_study(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_less_than_an_hour_and_what_its_head_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = plan_report(_load(name), FOLDER)
    cost = report["cost"]
    parts = [cost[f"{part}_seconds"] for part in ("train", "answer", "read")]
    assert sum(parts) / CORES < HOUR
    head = " ".join((FOLDER / f"{name}.yaml").read_text(encoding="utf-8").split())
    said = re.search(r"# Cost: (\d+) settings from (\d+) trajectories, (\d+) training steps", head)
    assert said is not None
    numbers = [report[n] for n in ("settings", "trajectories", "train_steps")]
    assert [int(n) for n in said.groups()] == numbers


@pytest.mark.parametrize("name", NAMES)
def test_its_arms_may_be_compared(name: str) -> None:
    """Measurement rule 20: enough seeds and strengths, equally many, and the same examples at the end."""
    study = _load(name)
    assert len(study.seeds.search) >= MIN_CURVE_SEEDS
    curves, examples = {}, set()
    for arm_name, arm in study.arms.items():
        found: dict[int, list[float]] = {}
        for trajectory in study_plan(study, "base", "data").trajectories:
            training = trajectory.training.model_dump()
            for s in trajectory.settings:
                strength = strength_of(arm, study, training, s.step, s.profile, s.interpolation)
                if strength is not None:
                    found.setdefault(trajectory.seed, []).append(strength)
                    last = s.step if arm.strength != "steps" else max(arm.values or study.axes.steps)
                    if arm.strength is not None:
                        examples.add(last * trajectory.training.batch_size)
        assert set(found) == set(study.seeds.search)
        (strengths,) = {tuple(sorted(values)) for values in found.values()}
        curves[arm_name] = strengths
        assert len(strengths) == 1 if arm.strength is None else len(strengths) >= MIN_STRENGTHS
    assert len({len(v) for n, v in curves.items() if study.arms[n].strength}) == 1
    assert len(examples) == 1
    # The first arm is compared with the others; one setting can't be held against another.
    first, *others = study.arms.values()
    assert all(first.strength or other.strength for other in others)


def test_nothing_else_is_tuned_where_ema_stands_alone() -> None:
    study = _load("arm-ema-alone")
    assert study.axes.trained() == []
    assert len(study.axes.steps) == 1


def test_batches_stand_at_equal_examples_and_at_equal_steps() -> None:
    study = _load("arm-batch")
    large, examples, steps = study.arms.values()
    pairs = zip(large.values or [], examples.values or [], strict=True)
    assert all(32 * a == 8 * b for a, b in pairs)
    assert steps.steps == max(large.values or []) == 10
