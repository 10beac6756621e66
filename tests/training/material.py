"""Runs on the tiny model: rows, trajectories as the planner makes them, and the weights that come of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml

from ftstab.data.rows import read_rows
from ftstab.models.chat import Chat, EncodedRow
from ftstab.models.load import load_model, load_tokenizer
from ftstab.outcome import Profile
from ftstab.plan import Plan, Trajectory, study_plan
from ftstab.spec import Source, Template, Training, parse_study
from ftstab.training.run import Run

LAST = Profile(kind="last")


def ema(decay: float) -> Profile:
    return Profile(kind="exponential", value=decay)


PROFILES = (
    LAST,
    ema(0.5),
    ema(0.9),
    Profile(kind="bias_corrected", value=0.9),
    Profile(kind="power", value=2.0),
)


@lru_cache
def _model(folder: Path) -> Any:
    return load_model(folder)


def fresh_model(folder: Path) -> Any:
    """A model of its own: training changes it in place."""
    return copy.deepcopy(_model(folder))


@lru_cache
def chat(folder: Path) -> Chat:
    return Chat(load_tokenizer(folder), Template(), 512)


@lru_cache
def encoded(folder: Path, count: int) -> tuple[EncodedRow, ...]:
    rows = read_rows(Source(location="builtin:tasks", limit=count), Path(), needs_response=True)
    return tuple(chat(folder).encode_all(rows, 160, "data.train"))


def plan(training: dict[str, Any], axes: dict[str, Any], **sections: Any) -> Plan:
    """The plan of a study file with these sections."""
    study = {
        "study": "material",
        "base": {"model": "none"},
        "data": {"train": "builtin:tasks"},
        "training": {"precision": "float32", "max_length": 160} | training,
        "axes": axes,
        **sections,
    }
    return study_plan(parse_study(yaml.safe_dump(study)), "base", "data")


def trajectory(
    steps: int,
    horizon: int | None = None,
    seed: int = 0,
    feedback: float | None = None,
    **training: Any,
) -> Trajectory:
    """A trajectory by hand, for what no study file asks."""
    chosen = Training(**{"precision": "float32", "max_length": 160, "learning_rate": 1e-2} | training)
    return Trajectory("by-hand", chosen, seed, feedback, horizon, 0, steps, ())


def make_run(
    folder: Path,
    trajectory: Trajectory,
    profiles: Sequence[Profile] = (),
    rows: Sequence[EncodedRow] | None = None,
    **signals: Any,
) -> Run:
    rows = encoded(folder, 8) if rows is None else rows
    return Run(fresh_model(folder), rows, "data", trajectory, profiles, chat(folder).pad_id, **signals)


def train(run: Run, to: int) -> Run:
    while run.step < to:
        run.update()
        assert run.diverged is None
    return run


def averaged(run: Run, profile: Profile) -> list[torch.Tensor]:
    """Float32 displacement of the average from the start, for every weight (LoRA: for every adapted layer)."""
    count = len(run.weights.masters) // (2 if run.training.method == "lora" else 1)
    return [run.weights.displacement(profile, run.step, i).clone() for i in range(count)]


def installed(run: Run, profile: Profile, interpolation: float = 1.0) -> list[torch.Tensor]:
    """What the compute model holds while the setting is asked."""
    with run.installed(profile, interpolation):
        return [p.detach().clone() for n, p in run.model.named_parameters() if ".lora_" not in n]


def masters(run: Run) -> list[torch.Tensor]:
    return [m.detach().clone() for m in run.weights.masters]


def equal(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    """Bit for bit."""
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def apart(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> float:
    """Norm of the difference over the norm of ``b``."""
    top = sum(float((x.double() - y.double()).square().sum()) for x, y in zip(a, b, strict=True))
    return float((top / sum(float(y.double().square().sum()) for y in b)) ** 0.5)


def ask(run: Run) -> None:
    """Generate an answer, as an evaluation does between two updates."""
    run.model.eval()
    ids = torch.tensor([encoded(Path(run.model.config._name_or_path), 8)[0].ids[:12]])
    run.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=True)
    run.model.train()
