"""Whether the arms of bench_sharing.py agree: (a) with (b) bit for bit, with (c) within what float32 leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_arms import Bench, asked_of, replay, task_of

TOLERANCE = 2e-3
"""Largest |difference| / |displacement from the start| of weights that count as equal in float32.  AdamW divides by
the root of a second moment, so a gradient that is all rounding moves as far as any other."""

ROUNDING = 3.0
"""A setting further apart than that counts as equal up to so many times what (c) itself moves when the rows of each
update stand in reverse order.  That changes nothing but rounding, which at a high rate grows from step to step."""


def compare_unshared(shared: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether (b) has the weights, marks and losses of (a), bit for bit."""
    ours = {o.setting: o for o in shared["results"].outcomes}
    theirs = {o.setting: o for r in runs for o in r["results"].outcomes}
    differ = [
        key
        for key, o in ours.items()
        if key not in theirs
        or o.record["weights_sha256"] != theirs[key].record["weights_sha256"]
        or (o.marks, o.losses) != (theirs[key].marks, theirs[key].losses)
    ]
    return {
        "check": "a = b, weights_sha256, marks and losses, bit for bit",
        "settings": len(ours),
        "differ": len(differ),
        "equal": not differ and len(theirs) == len(ours),
    }


def compare_weights(
    bench: Bench, shared: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """How far weights, answers and losses of (c) are from ours, over all settings.

    Ours are trained once more for it, because (a) keeps no weights; their hashes must be those of (a).  A run of (c)
    that is further than `TOLERANCE` from ours is run once more with its rows in reverse, to tell rounding from faults.
    """
    import torch

    from ftstab.running.answering import weights_hash

    results, theirs = shared["results"], {_key(r["asked"]): r for r in runs}
    outcomes = {o.setting: o for o in results.outcomes}
    questions = asked_of(bench.study, bench.folder)[2]
    largest = relative = loss = 0.0
    hashes = texts = other = faults = 0
    rounded: list[tuple[float, float, int, int]] = []
    for trajectory in results.plan.trajectories:
        run = replay(bench, trajectory)
        start = [p.detach().clone() for p in run.model.parameters()]
        for setting in trajectory.settings:
            while run.step < setting.step:
                run.update()
            t, outcome = trajectory.training, outcomes[setting.key]
            their = theirs[t.learning_rate, t.batch_size, setting.profile.value or 0.0, setting.step]
            kept = _kept(their)
            with run.installed(setting.profile, 1.0), torch.no_grad():
                named = dict(run.model.named_parameters())
                hashes += weights_hash(named) == outcome.record["weights_sha256"]
                apart = [named[name] - kept[name] for name in named]
                moved = _norm([p - s for p, s in zip(named.values(), start, strict=True)])
            largest = max(largest, *(float(x.abs().max()) for x in apart))
            share = _norm(apart) / moved
            relative = max(relative, share)
            answers = their["answers"][setting.step]
            loss = max(loss, *(abs(x - y) for x, y in zip(outcome.losses, answers["losses"], strict=True)))
            differ = 0
            for role, q in questions.sets.items():
                stored = results.records.responses(trajectory.key, q.responses_key(setting.key))
                ours = dict(zip(q.plan.order, (row["response"] for row in stored[0]), strict=True))
                pairs = list(zip((ours[i] for i in sorted(ours)), answers["texts"][role], strict=True))
                texts += len(pairs)
                differ += sum(x != y for x, y in pairs)
            other += differ
            if share > TOLERANCE and bench.study.training.precision == "float32":
                own, changed = _in_reverse(bench, their, kept)
                rounded.append((share, own / moved, differ, changed))
                faults += share > ROUNDING * own / moved
    exact = bench.study.training.precision == "float32"
    found = {
        "check": f"a = c in {bench.study.training.precision}" + ("" if exact else " (not judged)"),
        "settings": len(outcomes),
        "largest difference of a weight": largest,
        "|difference| / |displacement|, largest": relative,
        "largest difference of a row's loss": loss,
        "answers equal": f"{texts - other} of {texts}",
        "replays with the hash of a": f"{hashes} of {len(outcomes)}",
        "equal": not faults and hashes == len(outcomes) == len(theirs),
    }
    if rounded:
        found[f"further apart than {TOLERANCE:g}"] = {
            "settings": len(rounded),
            "c with its rows in reverse is apart from c by, largest": max(own for _, own, _, _ in rounded),
            "a from c over that, smallest to largest": [
                min(s / own for s, own, _, _ in rounded),
                max(s / own for s, own, _, _ in rounded),
            ],
            "answers that differ, a from c and c in reverse from c": [
                sum(n for _, _, n, _ in rounded),
                sum(n for _, _, _, n in rounded),
            ],
        }
    return found


def _in_reverse(bench: Bench, their: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[float, int]:
    """How far that run of (c) moves, and how many of its answers change, with the rows of each update in reverse."""
    import bench_peer

    task = task_of(bench, bench.study)
    order = {size: [update[::-1] for update in updates] for size, updates in task.order.items()}
    asked = their["asked"] | {"keep": str(bench.scratch / "reversed")}
    again = bench_peer.run(replace(task, order=order), bench_peer.Asked(**asked))
    weights, step = _kept(again), asked["steps"][0]
    old, new = (x["answers"][step]["texts"] for x in (their, again))
    changed = sum(x != y for role in old for x, y in zip(old[role], new[role], strict=True))
    return _norm([weights[name] - kept[name] for name in kept]), changed


def _kept(their: Mapping[str, Any]) -> dict[str, Any]:
    """The weights that a run of (c) left."""
    from safetensors.torch import load_file

    asked = their["asked"]
    weights: dict[str, Any] = load_file(Path(asked["keep"]) / f"{asked['steps'][0]}.safetensors")
    return weights


def _key(asked: Mapping[str, Any]) -> tuple[float, int, float, int]:
    return asked["learning_rate"], asked["batch_size"], asked["decay"], asked["steps"][0]


def _norm(tensors: Sequence[Any]) -> float:
    return float(sum(float(t.double().square().sum()) for t in tensors) ** 0.5)
