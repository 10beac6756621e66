"""Task files of lm-evaluation-harness with documents of their own, one for each kind of request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

THINGS = ["box", "cup", "hat", "pen", "car", "sock", "door", "lamp", "book", "chair", "kite", "plate"]
COLOURS = ["red", "blue", "dark green", "a very pale yellow"]
DOCS = [
    {
        "question": f"What is the colour of the {thing} that stands in room {n} of the {THINGS[n - 3]} shop?",
        "choices": COLOURS[: 2 + n % 3],
        "answer": n % 2,
        "said": COLOURS[n % 2],
        "text": f"The {thing} is {COLOURS[n % 4]}.\n" * (1 + n % 5),
    }
    for n, thing in enumerate(THINGS)
]
KINDS: dict[str, dict[str, Any]] = {
    "multiple_choice": {
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
    },
    "generate_until": {
        "doc_to_target": "said",
        "generation_kwargs": {"until": ["\n", "e"], "max_gen_toks": 14, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [
            {"name": "whole", "filter": [{"function": "take_first"}]},
            {
                "name": "letters",
                "filter": [{"function": "regex", "regex_pattern": "([a-z]+)"}, {"function": "take_first"}],
            },
        ],
    },
    "loglikelihood": {
        "doc_to_target": " {{said}}",
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        ],
    },
    "loglikelihood_rolling": {
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [
            {"metric": name, "higher_is_better": False, "aggregation": aggregation}
            for name, aggregation in (
                ("word_perplexity", "weighted_perplexity"),
                ("bits_per_byte", "bits_per_byte"),
            )
        ],
    },
}


def write_task(folder: Path, kind: str, docs: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    """Write a task file and its documents into ``folder``; its name."""
    for split, rows in (("train", DOCS[:4]), ("test", DOCS if docs is None else docs)):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task: dict[str, Any] = {
        "task": f"colours_{kind}",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"train": "train.jsonl", "test": "test.jsonl"},
            "cache_dir": str(folder / "cache"),
        },
        "output_type": kind,
        "training_split": "train",
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "metadata": {"version": 2},
    }
    task = task | KINDS[kind] | changes
    (folder / "task.yaml").write_text(yaml.safe_dump({k: v for k, v in task.items() if v is not None}))
    return "task.yaml"
