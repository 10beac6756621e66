"""Our answering (batch plan, sorted by length inside a block) against `generate` in prompt order.

Both sides: the same prompts, batch size, longest answer and end tokens, greedy, on the same threads, in the
quickstart's decoding.  The prompts are a joined set of mixed lengths in random order: built-in harmful prompts,
look-alikes, ordinary requests, and ordinary requests about a long text.  The sides take turns; the
ratio is of medians over the rounds.  Goal: a user's seconds / ours >= 1.25.
In float32 the texts of a small subset must be equal, prompt by prompt; in bfloat16 greedy answers depend on the
batch, so they are only counted.

    python analysis/bench_answers.py                  # tiny model: seconds
    python analysis/bench_answers.py --model real     # 135M: some five minutes on one core

On one core of an AMD EPYC with avx512_bf16, 2026-11-23, nothing else on the machine; 80 prompts of 38 to 242 tokens
(median 47), answers of up to 24, batches of 120, so that all are in one, bfloat16: ours 20.6 s, 8,860 padded prompt
tokens; a user's 39.6 s, 19,360; ratio 1.92: met.  What all prompts begin with is read once, and a batch of unlike
lengths in parts (read at once, ours took 36.9 s: 1.02).  With batches of 60 it was 2.21 by CPU seconds, 2026-11-22.
16 of 16 texts equal in float32.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import bench_parts as parts

GOAL = 1.25
LONG_TEXTS = 6
"""Ordinary answers that a long request quotes: some 150 to 350 tokens."""


def main() -> None:
    parser = parts.parser(__doc__)
    parser.add_argument(
        "--prompts", type=int, default=20, help="prompts of each of the four kinds (default: 20)"
    )
    parser.add_argument(
        "--subset", type=int, default=4, help="of each kind, compared in float32 (default: 4)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side (default: 2)")
    args = parser.parse_args()
    parts.set_up(args.cpus)
    with tempfile.TemporaryDirectory(prefix="bench-answers-") as scratch:
        results = measure(args, Path(scratch))
    print(results["machine"])
    parts.show(results["title"], results["sides"])
    parts.show("goal", results["goals"])
    print(f"\n{results['check']}")
    parts.finish(results, args.json)
    if not results["check"]["equal"]:
        sys.exit(1)


def joined(each: int, file: Path) -> Any:
    """A prompt set of ``each`` rows of every kind, in random order, written to ``file`` as a user would have it."""
    from ftstab.data.rows import read_rows
    from ftstab.spec import Source

    draw = random.Random(0)
    sets = {
        name: read_rows(Source(location=f"builtin:{name}"), Path(), needs_response=False).rows
        for name in ("harmful", "safe_lookalikes", "ordinary")
    }
    rows = [
        {"prompt": row.prompt, "category": name}
        for name, found in sets.items()
        for row in draw.sample(found, each)
    ]
    answers = [row.response for row in sets["ordinary"] if row.response is not None]
    for _ in range(each):
        text = "\n".join(draw.sample(answers, draw.randint(LONG_TEXTS // 2, LONG_TEXTS)))
        rows.append({"prompt": f"Sum this up in one sentence.\n{text}", "category": "long"})
    draw.shuffle(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_rows(Source(location=str(file)), Path(), needs_response=False)


def measure(args: Any, scratch: Path) -> dict[str, Any]:
    import torch
    from transformers import GenerationConfig

    from ftstab.models.chat import Chat
    from ftstab.models.load import cast, load_model, load_tokenizer
    from ftstab.spec import Template

    about, decoding = parts.machine(args.cpus), parts.quickstart().evaluation.decoding
    folder = parts.model_folder(args.model, scratch)
    model = load_model(folder)
    chat = Chat(load_tokenizer(folder), Template(), model.config.max_position_embeddings)
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    known = sorted({chat.eos_id, chat.end_id, *(ends if isinstance(ends, list) else [ends])})
    side = Sides(chat, known, decoding, args.cpus, parts.clock(args.clock))
    # Equality first, in float32 and on few prompts; then speed, in the quickstart's precision.
    few = joined(args.subset, scratch / "few.jsonl")
    _, ours = side.ours(model, few)
    _, theirs = side.theirs(model, few)
    same = sum(ours[i] == theirs[i] for i in ours)
    check = {
        "check": "texts in float32",
        "prompts": len(ours),
        "equal texts": same,
        "equal": same == len(ours),
    }
    cast(model, torch.bfloat16)
    rows = joined(args.prompts, scratch / "many.jsonl")
    seconds: dict[str, list[float]] = {"ours": [], "a user's": []}
    for _ in range(args.rounds):
        spent, ours = side.ours(model, rows)
        seconds["ours"].append(spent)
        spent, theirs = side.theirs(model, rows)
        seconds["a user's"].append(spent)
    middle = {name: statistics.median(s) for name, s in seconds.items()}
    lengths = sorted(len(p) for p in side.prompts(rows).values())
    table = [
        {
            "side": name,
            "seconds": s,
            "prompts/s": len(rows.rows) / s,
            "padded prompt tokens": side.padded(rows, name),
            "a user's / ours": middle["a user's"] / middle["ours"] if name == "ours" else None,
        }
        for name, s in middle.items()
    ]
    return {
        "machine": about,
        "title": f"{len(rows.rows)} prompts of {lengths[0]} to {lengths[-1]} tokens (median "
        f"{lengths[len(lengths) // 2]}), answers of up to {decoding.max_new_tokens}, batches of "
        f"{decoding.batch_size}, bfloat16; medians of {args.rounds}; seconds of: {args.clock}",
        "sides": table,
        "seconds": seconds,
        "equal_in_bfloat16": sum(ours[i] == theirs[i] for i in ours),
        "goals": [
            parts.goal(
                "seconds of generate in prompt order / seconds of ours",
                middle["a user's"] / middle["ours"],
                GOAL,
            )
        ],
        "check": check,
    }


def ends(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each size, and where it ends."""
    return zip(sizes, accumulate(sizes), strict=True)


@dataclass
class Sides:
    """Both ways of answering a prompt set.  Each returns seconds and the texts by row."""

    chat: Any
    ends: list[int]
    decoding: Any
    cpus: int
    now: Callable[[], float]

    def prompts(self, rows: Any) -> dict[int, list[int]]:
        """Tokens by row."""
        found: dict[int, list[int]] = self.chat.prompts(
            rows, range(len(rows.rows)), self.decoding.max_new_tokens, "prompts"
        )
        return found

    def plan(self, rows: Any) -> Any:
        """The batch plan of a study."""
        from ftstab.data.batchplan import batch_plan

        prompts, d = self.prompts(rows), self.decoding
        lengths = [len(prompts[i]) for i in prompts]
        return batch_plan(rows, list(prompts), lengths, 0, d.block_size, d.batch_size, None)

    def ours(self, model: Any, rows: Any) -> tuple[float, dict[int, str]]:
        """Answers in the batch plan."""
        from ftstab.evaluation.answer import answers

        prompts, plan = self.prompts(rows), self.plan(rows)
        began = self.now()
        said = answers(model, self.chat, plan, prompts, self.decoding.max_new_tokens)
        return self.now() - began, dict(zip(plan.order, said, strict=True))

    def theirs(self, model: Any, rows: Any) -> tuple[float, dict[int, str]]:
        """Answers in prompt order."""
        from bench_peer import Task, generate

        d = self.decoding
        task = Task(
            "", [], {}, {}, [], d.max_new_tokens, d.batch_size, self.ends, self.chat.pad_id, self.cpus
        )
        model.eval()
        prompts = self.prompts(rows)
        began = self.now()
        said = generate(model, self.chat.tokenizer, task, list(prompts.values()))
        return self.now() - began, dict(enumerate(said))

    def padded(self, rows: Any, side: str) -> int:
        """Tokens of all prompts with the padding of their batches."""
        prompts, size = self.prompts(rows), self.decoding.batch_size
        if side == "ours":
            plan = self.plan(rows)
            batches = [
                batch[end - size : end]
                for batch in (batch for block in plan.blocks for batch in block)
                for size, end in ends(plan.parts.get(batch, (len(batch),)))
            ]
        else:
            batches = [tuple(range(i, min(i + size, len(prompts)))) for i in range(0, len(prompts), size)]
        return sum(len(batch) * max(len(prompts[i]) for i in batch) for batch in batches)


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
