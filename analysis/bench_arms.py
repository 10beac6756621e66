"""The arms of bench_sharing.py; whether they agree is told by bench_agreement.py."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from bench_parts import quickstart

SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("tiny", "small"): {"learning_rate": [1e-3], "batch_size": [4], "steps": [2, 4], "ema_decay": [0, 0.5]},
    ("real", "small"): {"learning_rate": [3e-5], "batch_size": [8], "steps": [2, 6], "ema_decay": [0, 0.9]},
}
FULL: dict[str, Any] = {"batch_size": [4, 16], "steps": [10, 20, 40, 80], "ema_decay": [0, 0.5, 0.9, 0.98]}
RATES = {"tiny": [3e-4, 1e-3, 3e-3], "real": [1e-5, 3e-5, 1e-4]}


def make_study(args: Any, folder: Path, scratch: Path, axes: Mapping[str, Any] | None = None) -> Any:
    """The study of arm (a)."""
    from ftstab.spec import Study

    if axes is None:
        axes = SHAPES.get((args.model, args.settings)) or FULL | {"learning_rate": RATES[args.model]}
    return Study.model_validate(
        {
            "study": "bench",
            "base": {"model": str(folder)},
            "data": {"train": "builtin:tasks"},
            # The whole effective batch in one pass, on both sides.
            "training": {
                "precision": args.precision,
                "micro_batch_size": max(axes["batch_size"]),
                "max_length": 128,
            },
            "axes": axes,
            "evaluation": {
                "harmful": {"benchmark": "builtin:harmful", "limit": args.prompts},
                "over_refusal": {"benchmark": "builtin:safe_lookalikes", "limit": args.prompts},
                "utility": {"limit": args.prompts},
                "decoding": decoding(args) | {"max_new_tokens": args.tokens},
            },
            "keep_weights": "none",
            "resources": {"launcher": "inprocess", "cpus_per_trajectory": args.cpus},
            "store": str(scratch / "store"),
        }
    )


def decoding(args: Any) -> dict[str, Any]:
    """The quickstart's decoding, with the batch size that was asked for."""
    found: dict[str, Any] = quickstart().evaluation.decoding.model_dump()
    return found | ({"batch_size": args.batch} if args.batch else {})


@dataclass
class Bench:
    """The study of arm (a), its model, and where things are written."""

    study: Any
    folder: Path
    scratch: Path
    cpus: int
    clock: str
    now: Callable[[], float]
    made: int = 0
    engine_seconds: dict[str, float] = field(default_factory=dict)
    """What Ray Tune, or the loop, took beside the runs of an arm."""

    def ours(self, **axes: Any) -> dict[str, Any]:
        """Run the study, or one with other ``axes``, in a new store."""
        from rich.console import Console

        from ftstab.results import open_results
        from ftstab.running.driver import run_study

        self.made += 1
        store = self.scratch / f"store-{self.made}"
        study = self.study.model_copy(update={"store": str(store)})
        study = study.model_copy(update={"axes": study.axes.model_copy(update=axes)})
        began = self.now()
        run_study(study, self.scratch, "bench_sharing", Console(quiet=True))
        wall = self.now() - began
        results = open_results(str(store / study.study))
        spent = _spent(results.about["times"][-1])
        return {
            "runs": len(results.plan.jobs),
            "updates": results.plan.train_steps,
            "settings": len(results.outcomes),
            "training": spent.pop("training"),
            "answering": spent.pop("answering"),
            "loading": spent.pop("loading") + spent.pop("preparing"),
            "wall": wall,
            "parts": spent,
            "results": results,
        }

    def part(self, arm: str, runs: Sequence[Any], task: Any, engine: str) -> list[dict[str, Any]]:
        """Some runs of arm b, c or d."""
        if arm == "b":
            return [self.ours(**axes) for axes in runs]
        from bench_peer import grid

        results, wall = grid(task, runs, engine, self.cpus)
        self.engine_seconds[arm] = self.engine_seconds.get(arm, 0.0) + wall - sum(r["wall"] for r in results)
        return results


def _spent(times: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by name, of workers and driver together."""
    spent: dict[str, float] = defaultdict(float)
    for part in (*times["jobs"], times["driver"]):
        for name, seconds in part.items():
            # In process, what a worker calls reporting is the driver's own work.
            if name not in ("job", "began", "wall", "reporting"):
                spent[name] += seconds
    return dict(spent)


def peer_runs(bench: Bench, scratch: Path, arms: str) -> dict[str, list[Any]]:
    """The runs of b, c and d.  Those of c keep their weights, outside of their time, for the comparison."""
    from bench_peer import Asked

    axes = bench.study.axes
    trained = list(product(axes.learning_rate, axes.batch_size))
    runs: dict[str, list[Any]] = {
        "b": [{"steps": [s], "ema_decay": [d]} for s, d in product(axes.steps, axes.ema_decay)],
        "c": [
            Asked(lr, b, d, (s,), keep=str(scratch / "kept" / f"{lr}-{b}-{d}"))
            for (lr, b), d, s in product(trained, axes.ema_decay, axes.steps)
        ],
        "d": [Asked(lr, b, d, tuple(axes.steps)) for (lr, b), d in product(trained, axes.ema_decay)],
    }
    return {arm: found for arm, found in runs.items() if arm in arms}


def task_of(bench: Bench, study: Any) -> Any:
    """The peers' side of the same study: tokens, batches and prompts."""
    from bench_peer import Task

    from ftstab.data.order import update_rows
    from ftstab.data.rows import read_rows

    chat, ends, questions = asked_of(study, bench.folder)
    data = read_rows(study.data.train, Path(), needs_response=True)
    rows = chat.encode_all(data, study.training.max_length, "data.train")
    return Task(
        folder=str(bench.folder),
        rows=[(list(r.ids), r.answer_start) for r in rows],
        order={
            b: [update_rows(len(rows), data.hash, 0, b, t) for t in range(max(study.axes.steps))]
            for b in study.axes.batch_size
        },
        # In the order of the files, as a user has them.
        prompts={role: [q.prompts[i] for i in sorted(q.plan.order)] for role, q in questions.sets.items()},
        held_out=[(list(r.ids), r.answer_start) for r in questions.held_out],
        max_new_tokens=study.evaluation.decoding.max_new_tokens,
        batch_size=study.evaluation.decoding.batch_size,
        ends=sorted({chat.eos_id, chat.end_id, *ends}),
        pad=chat.pad_id,
        threads=bench.cpus,
        precision=study.training.precision,
        clock=bench.clock,
    )


def asked_of(study: Any, folder: Path) -> tuple[Any, list[int], Any]:
    """Chat, end tokens of the model, and what the study asks."""
    from transformers import AutoConfig, GenerationConfig

    from ftstab.evaluation.questions import make_questions
    from ftstab.models.chat import Chat
    from ftstab.models.load import load_tokenizer

    context = AutoConfig.from_pretrained(folder).max_position_embeddings
    chat = Chat(load_tokenizer(folder), study.template, context)
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return chat, ends if isinstance(ends, list) else [ends], make_questions(study, Path(), chat)


def total(arm: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The runs of an arm added up."""
    names = ("updates", "settings", "training", "answering", "loading", "wall")
    added = {name: sum(r[name] for r in runs) for name in names}
    rest = added["wall"] - added["training"] - added["answering"] - added["loading"]
    return {"arm": arm, "runs": sum(r.get("runs", 1) for r in runs), **added, "rest": rest}


def median(arm: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over repeated runs of a whole arm, with what its rest went to."""
    each = [total(arm, [r]) for r in runs]
    found = {
        k: statistics.median(e[k] for e in each) if isinstance(v, float) else v for k, v in each[0].items()
    }
    names = runs[0]["parts"]
    return found | {"parts": {n: statistics.median(r["parts"].get(n, 0.0) for r in runs) for n in names}}


def replay(bench: Bench, trajectory: Any) -> Any:
    """``trajectory`` about to be trained once more."""
    from ftstab.data.rows import read_rows
    from ftstab.models.load import load_model
    from ftstab.training.run import Run

    chat = asked_of(bench.study, bench.folder)[0]
    data = read_rows(bench.study.data.train, Path(), needs_response=True)
    rows = chat.encode_all(data, bench.study.training.max_length, "data.train")
    profiles = list(dict.fromkeys(s.profile for s in trajectory.settings))
    return Run(load_model(bench.folder), rows, data.hash, trajectory, profiles, chat.pad_id)
