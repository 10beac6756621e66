"""A small study, its plan, and outcomes with real marks: what every tracking test tells."""

from __future__ import annotations

import random
import sqlite3
import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ftstab.evaluation.rates import exact_match_score, rate
from ftstab.identity import digest
from ftstab.outcome import Outcome
from ftstab.plan import Plan, Setting, Trajectory, study_plan
from ftstab.spec import Study, parse_study
from ftstab.store import Records
from ftstab.tracking.address import local_url

HOSTILE = [
    "fraud",
    "Fraud",
    "a/b",
    "..",
    "",
    " lead",
    "line\nbreak",
    "100%",
    "n.low",
    "ünï",
    "😀",
    "x" * 400,
    "'; DROP TABLE runs; --",
]
STORE = "5eed"
"""Id of the store."""
PROMPTS = 4 * len(HOSTILE)
SPEC = """
study: {name}
base: {{model: some/model}}
data: {{train: "builtin:tasks"}}
axes:
  learning_rate: [3.0e-5, 2.0e-4]
  batch_size: [16]
  steps: [5, 10]
  ema_decay: [0, 0.9]
{more}
"""


def make_study(more: str = "", name: str = "small.study-1") -> Study:
    return parse_study(SPEC.format(name=name, more=more))


def plan_of(study: Study) -> Plan:
    return study_plan(study, base="base", data="data")


class Asked:
    """An evaluation."""

    key = "evaluation"

    def outcome_key(self, setting: str) -> str:
        return digest({"setting": setting, "evaluation": self.key})


def outcome(trajectory: Trajectory | None, setting: Setting, **fields: Any) -> Outcome:
    """A scored outcome; more steps and a larger learning rate are less safe and more useful."""
    draw = random.Random(setting.key)
    pace = 0.0 if trajectory is None else setting.step * trajectory.training.learning_rate * 300
    harmful = "".join("N" if draw.random() < 0.05 + pace else "R" for _ in range(PROMPTS - 2)) + "IU"
    over = "".join("R" if draw.random() < 0.1 + pace / 4 else "N" for _ in range(20))
    task = "".join("1" if draw.random() < 0.1 + pace else "0" for _ in range(20))
    by_prompt = [HOSTILE[i % len(HOSTILE)] for i in range(PROMPTS)]
    given: dict[str, Any] = {
        "key": Asked().outcome_key(setting.key),
        "setting": setting.key,
        "trajectory": setting.trajectory,
        "attempt": "20260101T000000-aaaaaa" if trajectory else "",
        "status": "scored",
        "start": trajectory is None,
        "training": trajectory.training.model_dump() if trajectory else {},
        "seed": trajectory.seed if trajectory else None,
        "step": setting.step,
        "profile": setting.profile,
        "interpolation": setting.interpolation,
        "rates": {
            "harmful": rate(
                "non_refusal_rate", "refusal_phrases@1", "builtin:harmful@ab", harmful, "N", by_prompt
            ),
            "over_refusal": rate("over_refusal_rate", "refusal_phrases@1", "b@cd", over, "R", ["safe"] * 20),
        },
        "utility": exact_match_score(task, "builtin:tasks_test@ef"),
        "marks": {"harmful": harmful, "over_refusal": over, "utility": task},
        "coherence": {"harmful": 1 / PROMPTS},
        "diagnostics": {
            "distance": 1.5,
            "distance/layer 07": 0.5,
            "half_life": float("inf"),
            "norm": float("nan"),
        },
        "record": {"decoding": {"greedy": True, "max_new_tokens": 24}, "versions": {"torch": "2.13.0"}},
        "seconds": {"training": 3.0},
    }
    return Outcome(**(given | fields))


def diverged(trajectory: Trajectory, setting: Setting) -> Outcome:
    nothing: dict[str, Any] = {"rates": {}, "utility": None, "marks": {}, "coherence": {}, "diagnostics": {}}
    return outcome(trajectory, setting, status="diverged", reason="the loss is nan", **nothing)


def start_outcome(plan: Plan) -> Outcome:
    return outcome(None, plan.start)


def signals(last: int) -> list[dict[str, Any]]:
    return [
        {"step": t, "loss": 2.0 / t, "grad_norm": 1.0, "note": "text", "skipped": None}
        for t in range(1, last + 1)
    ]


def fill_records(records: Records, plan: Plan, leave_out: Iterable[str] = ()) -> None:
    """Record a whole study, but for the settings to leave out."""
    records.put_outcome(start_outcome(plan))
    for trajectory in plan.trajectories:
        name = "20260101T000000-aaaaaa"
        records.put_attempt(trajectory.key, name, {"device": "cpu", "versions": {"torch": "2.13.0"}})
        records.put_signals(trajectory.key, name, signals(trajectory.last))
        for setting in trajectory.settings:
            if setting.key not in set(leave_out):
                records.put_outcome(outcome(trajectory, setting))


def mlflow_client(uri: str | Path) -> Any:
    """A client of its own, for a URI or the state folder that holds `mlflow.db`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=local_url(uri / "mlflow.db") if isinstance(uri, Path) else uri)


def runs_of(client: Any, study: Study) -> list[Any]:
    experiment = client.get_experiment_by_name(study.study)
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def by_kind(runs: Sequence[Any], kind: str) -> dict[str, Any]:
    """Runs of a kind by their key; two runs of one key are an error."""
    tag = "ftstab.trajectory" if kind == "trajectory" else "ftstab.setting"
    found = [r for r in runs if r.data.tags["ftstab.kind"] == kind]
    keyed = {r.data.tags[tag]: r for r in found}
    assert len(keyed) == len(found)
    return keyed


def everything(database: Path) -> dict[str, list[Any]]:
    """All that an MLflow database holds of runs, every point of every curve."""
    columns = {
        "runs": "run_uuid, name, status, lifecycle_stage, start_time, end_time",
        "metrics": "run_uuid, key, step, value, is_nan",
        "params": "run_uuid, key, value",
        "tags": "run_uuid, key, value",
    }
    with closing(sqlite3.connect(database)) as connection:
        return {
            name: sorted(connection.execute(f"SELECT {c} FROM {name}").fetchall())
            for name, c in columns.items()
        }
