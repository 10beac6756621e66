"""Our training loop against bare PyTorch loops on the same batches.

Arms, whole batches in one pass, AdamW fused, on the same threads:
  ftstab          `ftstab.training.run.Run` in bfloat16: float32 masters, 4 shadows, signals, the costly ones at
                  every fifth update (the quickstart takes them at 3 of 20)
  bare            forward with labels, backward, AdamW on float32 masters, copied back to bfloat16
  bare, answers   the same with our output layer, which sees the answer's positions alone: what the bank and the
                  signals cost
  bare, bfloat16  no masters: another training, since small updates vanish in bfloat16 weights
The arms take turns, five updates at a time; ratios are of medians over the rounds.  Goal: ftstab / bare >= 0.95 in
tokens a second, at 1,000 tokens an update or more.

    python analysis/bench_loop.py                  # tiny model: seconds
    python analysis/bench_loop.py --model real     # 135M: some six minutes on one core

On one core of an AMD EPYC with avx512_bf16, 2026-11-23, nothing else on the machine, 1,220 tokens an update:
                 tokens/s   ftstab / it
  ftstab            164.9
  bare              129.1          1.28
  bare, answers     175.1          0.94
  bare, bfloat16    130.0          1.27
By CPU seconds the same.  The goal is met: what bank and signals cost (6 %), the output layer on answers alone gives
back and more.  Beside other work it was 0.98 (1.20 by CPU seconds).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_parts as parts

EVERY = 5
"""Updates in a turn; the last one takes the costly signals."""
DECAYS = (0.5, 0.9, 0.98, 0.99)
GOAL = 0.95


def main() -> None:
    parser = parts.parser(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="rows per update (default: 16)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each arm (default: 2)")
    args = parser.parse_args()
    parts.set_up(args.cpus)
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as scratch:
        results = measure(args, Path(scratch))
    print(results["machine"])
    parts.show(
        f"{results['tokens_per_update']:.0f} tokens an update; medians of {args.rounds}", results["arms"]
    )
    parts.show("goal", results["goals"])
    parts.finish(results, args.json)


def measure(args: Any, scratch: Path) -> dict[str, Any]:
    from ftstab.data.order import update_rows
    from ftstab.data.rows import read_rows
    from ftstab.models.chat import Chat
    from ftstab.models.load import load_tokenizer
    from ftstab.spec import Source, Template

    about = parts.machine(args.cpus)
    folder = parts.model_folder(args.model, scratch)
    chat = Chat(load_tokenizer(folder), Template(), 512)
    data = read_rows(Source(location="builtin:tasks"), Path(), needs_response=True)
    rows = chat.encode_all(data, 128, "data.train")
    wanted = [update_rows(len(rows), data.hash, 0, args.batch, t) for t in range(1 + EVERY * args.rounds)]
    batches = [[rows[i] for i in update] for update in wanted]
    arms = {
        "ftstab": _ours(args, folder, rows, data.hash, chat.pad_id),
        "bare": _bare(args, folder, chat.pad_id, masters=True, answers_only=False),
        "bare, answers": _bare(args, folder, chat.pad_id, masters=True, answers_only=True),
        "bare, bfloat16": _bare(args, folder, chat.pad_id, masters=False, answers_only=False),
    }
    losses = {name: [update(batches[0])] for name, update in arms.items()}  # a turn nobody times
    speeds: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in arms}
    for r in range(args.rounds):
        turn = batches[1 + r * EVERY : 1 + (r + 1) * EVERY]
        tokens = sum(len(row.ids) for batch in turn for row in batch)
        for name, update in arms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            losses[name] += [update(batch) for batch in turn]
            speeds[name]["wall"].append(tokens / (time.perf_counter() - wall))
            speeds[name]["cpu"].append(tokens / (time.process_time() - cpu))
    middle = {name: {k: statistics.median(v) for k, v in s.items()} for name, s in speeds.items()}
    table = [
        {
            "arm": name,
            "tokens/s": m["wall"],
            "tokens/CPU s": m["cpu"],
            "ftstab / it": middle["ftstab"]["wall"] / m["wall"],
            "by CPU s": middle["ftstab"]["cpu"] / m["cpu"],
            "loss, first": losses[name][0],
            "loss, last": losses[name][-1],
        }
        for name, m in middle.items()
    ]
    ratio = middle["ftstab"]["wall"] / middle["bare"]["wall"]
    mean = sum(len(row.ids) for batch in batches for row in batch) / len(batches)
    return {
        "machine": about,
        "tokens_per_update": mean,
        "arms": table,
        "speeds": speeds,
        "losses": losses,
        "goals": [parts.goal("tokens/s of ftstab / tokens/s of bare", ratio, GOAL)],
    }


def _ours(args: Any, folder: Path, rows: Any, data_hash: str, pad: int) -> Callable[[Any], float]:
    from ftstab.models.load import load_model
    from ftstab.outcome import Profile
    from ftstab.plan import Trajectory
    from ftstab.spec import Training
    from ftstab.training.run import Run

    training = Training(
        learning_rate=3e-5, batch_size=args.batch, micro_batch_size=args.batch, max_length=128
    )
    trajectory = Trajectory("bench", training, 0, None, None, 0, 10**6, ())
    bank = [Profile(kind="exponential", value=d) for d in DECAYS]
    stops = frozenset(range(1 + EVERY, 2 + EVERY * args.rounds, EVERY))
    run = Run(load_model(folder), rows, data_hash, trajectory, bank, pad, stops)
    # It finds the rows of an update itself, the same ones.
    return lambda batch: run.update()["loss"]


def _bare(args: Any, folder: Path, pad: int, masters: bool, answers_only: bool) -> Callable[[Any], float]:
    import torch

    from ftstab.models.load import load_model
    from ftstab.training.batches import answer_logits, pad_rows

    model = load_model(folder)
    live = list(model.parameters())
    held = [p.detach().clone() for p in live] if masters else live
    model.to(torch.bfloat16)
    model.train()
    optimizer = torch.optim.AdamW(held, lr=3e-5, weight_decay=0.0, fused=True)

    def loss_of(batch: Any) -> torch.Tensor:
        if answers_only:
            return torch.nn.functional.cross_entropy(answer_logits(model, batch), batch.targets)
        # Position i is asked for the token after it; labels lie one place on.
        labels = torch.full_like(batch.ids, -100)
        labels[:, 1:][batch.asked[:, :-1]] = batch.targets
        loss: torch.Tensor = model(
            input_ids=batch.ids, attention_mask=batch.mask, labels=labels, use_cache=False
        ).loss
        return loss

    def update(rows: Any) -> float:
        loss = loss_of(pad_rows(sorted(rows, key=lambda row: len(row.ids)), pad, live[0].device))
        loss.backward()
        if masters:
            for master, p in zip(held, live, strict=True):
                master.grad = p.grad.float()
                p.grad = None
        optimizer.step()
        optimizer.zero_grad()
        if masters:
            with torch.no_grad():
                torch._foreach_copy_(live, held)
        return loss.item()

    return update


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
