"""Post-hoc EMA through the command line: refused before anything runs, planned, run, shown, compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import Finished, Lab, cli

SCRIPT = Path(__file__).parents[2] / "analysis" / "posthoc_ema.py"
AXES: dict[str, Any] = {
    "learning_rate": [3e-3],
    "batch_size": [4],
    "steps": [6, 12],
    "ema_decay": [0, 0.8],
    "averaging": [{"kind": "exponential", "decay": 0.8}],
}
POSTHOC: dict[str, Any] = {"decays": [0.7, 0.95], "every": 4, "keep": True}


@pytest.fixture(scope="module")
def rebuilding(
    tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path
) -> Finished:
    """One trajectory with a decay that is rebuilt and tracked as well; never changed."""
    lab = Lab(tmp_path_factory.mktemp("rebuilding"), refusing_model, empty_databases)
    study = lab.study("rebuilding", axes=AXES, posthoc=POSTHOC)
    return Finished(lab, study, lab.run(study))


def test_what_cant_be_rebuilt_is_refused_before_anything_is_trained(lab: Lab) -> None:
    study = lab.study("coarse", axes=AXES, posthoc=POSTHOC | {"max_residual": 0.001})
    for command in ("validate", "plan", "run"):
        done = cli(command, study)
        assert done.code == 1, command
        assert (
            "posthoc: from decays 0.7, 0.95 stored every 4 steps can't be rebuilt within"
            in done.err + done.out
        )
        assert "0.8 (residual" in done.err + done.out
    assert not lab.store.exists() or lab.records.store.list("trajectories") == []


def test_the_plan_says_residual_and_disk(lab: Lab) -> None:
    study = lab.study("planned", axes=AXES, posthoc=POSTHOC)
    said = cli("plan", study, "--json").json
    (decay,) = said["posthoc"]["rebuilt"]
    assert decay["decay"] == 0.8
    assert 0 < decay["residual"] < 0.05
    # Copies of steps 4, 6, 8 and 12: two shadows and the weights.
    assert said["posthoc"]["copies"] == 4
    assert said["posthoc"]["disk_bytes"] == 4 * 3 * 4 * said["start_model"]["parameters"]
    without = cli("plan", lab.study("other", axes=AXES), "--json").json
    assert without["posthoc"] is None
    assert said["cost"]["disk_bytes"] > without["cost"]["disk_bytes"]
    text = cli("plan", study).out
    assert "stored                decays 0.7, 0.95 every 4 steps" in text
    assert (
        f"decay 0.8             residual {100 * decay['residual']:.2g} % at step {decay['step']} (limit 5 %)"
        in text
    )


def test_a_rebuilt_average_stands_beside_the_others(rebuilding: Finished) -> None:
    assert rebuilding.done.code == 0, rebuilding.done.err
    assert "6 of 6 settings measured" in rebuilding.done.out
    assert "post-hoc ema 0.8" in rebuilding.done.out
    rows = cli("frontier", rebuilding.study, "--json").json["settings"]
    residuals = {(r["step"], r["profile"]): r["posthoc_residual"] for r in rows}
    assert residuals[12, "post-hoc ema 0.8"] > 0
    assert residuals[12, "ema 0.8"] is None
    report = (rebuilding.lab.store / "rebuilding" / "report.html").read_text()
    assert "rebuilt from stored shadows, residual" in report


def test_rebuilt_and_tracked_side_by_side(rebuilding: Finished, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, "-W", "ignore", SCRIPT, rebuilding.study, "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(file.read_text())["rows"]
    assert [(row["step"], row["decay"]) for row in rows] == [(6, "0.8"), (12, "0.8")]
    for row in rows:
        assert 0 < row["weights apart"] < row["residual"]
        assert row["answers differ"].endswith(" of 16")
        made, tracked = map(float, row["loss"].split(" / "))
        assert made == pytest.approx(tracked, rel=0.02)


def test_another_decay_later_costs_no_training(rebuilding: Finished, tmp_path: Path) -> None:
    lab, study = rebuilding.copied(tmp_path / "copy")
    before = lab.pieces("signals") | lab.pieces("attempts")
    whole = yaml.safe_load(study.read_text())
    whole["axes"]["ema_decay"] = [0, 0.8, 0.9]
    study.write_text(yaml.safe_dump(whole))
    assert cli("plan", study, "--json").json["train_steps_left"] == 0
    assert "note: 1 of the open trajectories are answered from kept shadows" in cli("plan", study).out
    done = lab.run(study)
    assert "8 of 8 settings measured" in done.out, done.err
    assert lab.pieces("signals") | lab.pieces("attempts") == before
    found = [o for o in lab.outcomes(study).values() if o.profile.label == "post-hoc ema 0.9"]
    assert {o.step for o in found} == {6, 12}
    assert all("posthoc_residual" in o.diagnostics for o in found)
