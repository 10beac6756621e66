"""A study at paper scale, turned into one that runs on this machine in seconds.  What stands for what:

| in the study file | stand-in |
|---|---|
| `base` | the tiny model |
| rows of the hub (`hf:`) | built-in tasks to train on, built-in ordinary rows to hold out |
| files that an environment variable names | built-in prompts of the same role; arithmetic in GSM8K's form |
| a task of lm-evaluation-harness | a task file with documents of its own: choices, or an answer to generate |
| judges with weights or behind an endpoint | an endpoint of this machine, by the same name, that sees the same |
| several values of a trained axis, several seeds | the first one |
| steps, batch, lengths, limits of rows and prompts | a few |
| GPUs, workers | this process |

All else stays: method and schedule, averages, metric, the first judge's kind of rate, constraints.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ftstab.spec.training import FREE_AXES
from tests.evaluation.harness_tasks import write_task

STEPS = 2


def stand_in(study: Path, folder: Path, model: Path, url: str) -> Path:
    """Write the stand-in of the file ``study`` into ``folder``, which it may fill with data, and return its path.

    Args:
        study: the study file.
        folder: where the stand-in goes; its store is ``folder/store``.
        model: folder of the tiny model.
        url: base address of an endpoint that judges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole: dict[str, Any] = yaml.safe_load(study.read_text(encoding="utf-8"))
    evaluation = whole["evaluation"]
    for role, builtin in (("harmful", "builtin:harmful"), ("over_refusal", "builtin:safe_lookalikes")):
        evaluation[role] |= {"benchmark": builtin, "limit": 4}
        if "judges" in evaluation[role]:
            evaluation[role]["judges"] = [_judge(judge, url) for judge in evaluation[role]["judges"]]
    evaluation["utility"] = _utility(evaluation["utility"], folder)
    evaluation["decoding"] = {"max_new_tokens": 4, "batch_size": 4, "block_size": 4}
    axes = {
        name: values if name in FREE_AXES else values[:1]
        for name, values in whole["axes"].items()
        if name not in ("steps", "batch_size")
    }
    small = {
        "base": {"model": str(model)},
        "data": {"train": {"location": "builtin:tasks", "limit": 24}},
        "training": whole["training"]
        | {"precision": "float32", "micro_batch_size": 2, "max_length": 160, "warmup_steps": 1},
        "axes": axes | {"steps": [STEPS], "batch_size": [2]},
        "seeds": {"search": [0]},
        "resources": {"launcher": "inprocess"},
        "store": str(folder / "store"),
    }
    path = folder / study.name
    path.write_text(yaml.safe_dump(whole | small, sort_keys=False), encoding="utf-8")
    return path


def _judge(judge: Any, url: str) -> Any:
    """A judge by name as it is, any other behind the endpoint of this machine."""
    if isinstance(judge, str):
        return judge
    name = judge.get("name") or judge["model"].rsplit("/", 1)[-1]
    sees = judge.get("sees", "harm")
    return {"kind": "endpoint", "name": name, "url": url, "model": "stand-in", "sees": sees}


def _utility(utility: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same metric on a few rows of this machine."""
    found = utility | {"limit": 4, "held_out": {"location": "builtin:ordinary_heldout", "limit": 12}}
    if "task" in utility:
        generates = "filter" in utility["task"]
        name = write_task(folder, "generate_until" if generates else "multiple_choice")
        chosen = {"filter": "letters"} if generates else {}
        found["task"] = utility["task"] | {"name": name} | chosen
    elif utility["data"].get("answer") == "gsm8k":
        rows = [
            {"question": f"How much is {n} and {n * 7}?", "answer": f"#### {n * 8}"} for n in range(3, 15)
        ]
        path = folder / "sums.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found["data"] = {"location": path.name, "answer": "gsm8k"}
    return found
