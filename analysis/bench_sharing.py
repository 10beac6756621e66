"""How much a shared trajectory saves: ftstab against one run per setting, and against one run per decay.

Arms, all with the same rows, batches, prompts, answer lengths and end tokens, in float32 unless told, on the same CPUs:
  a  ftstab, in process, as it is: one trajectory per learning rate and batch size, all steps and decays read off it
  b  ftstab unshared: a study for every step and decay; its weights and marks must be bit-equal to those of (a)
  c  a Ray Tune grid, one Hugging Face Trainer run and one evaluation per setting
  d  a cleverer user: a Trainer run per learning rate, batch size and decay, every checkpoint evaluated
What each shares: a everything; b data and prompts; c data and prompts; d the steps of a run as well.
Rounds: (a) runs whole in each and its medians count; the runs of b, c and d are dealt out over the rounds.  The peers
get tokenized rows, judge and keep no answers and track nothing; (a) does all of that within its wall clock, and a
table says what it cost.  What Ray itself takes is left out of c and d, because (a) runs without Ray here.

    python analysis/bench_sharing.py                                  # tiny model, 4 settings: seconds
    python analysis/bench_sharing.py --settings full --width 96       # 96 settings
    python analysis/bench_sharing.py --model real --arms acd          # 135M, 4 settings, then what 96 would take

On one core of an AMD EPYC with avx512_bf16, one round, peers in a loop (`--arms acd --peers loop --rounds 1`), start-up
counted, wall clock (`--clock wall`), 2026-11-23, nothing else on the machine:
                                                       c / a           d / a           asked
  135M, bfloat16 as the quickstart (`--model real --precision bfloat16`), projected to 96 settings, two runs
    answers of a setting cost 0.36 and 0.35 updates     7.58, 7.39      4.14, 3.99      6, 2.5: met
    the quickstart's 300 prompts (10.5, 10.1 updates)   4.11, 4.10      2.81, 2.77      4, 2.5: met
      (answering alone: a user's 76, 65 s, ours 38, 33 s; position, hash and store of a setting 1.1 s, signals of a
      stop 2.9, 2.3 s)
  135M, float32 (`--model real`), projected to 96 settings
    answers of a setting cost 0.35 updates              6.04            3.26            6, 2.5: met
    the quickstart's 300 prompts (9.9 updates)          3.42            2.36            4, 2.5: not met
      (answering alone: a user's 110 s, ours 61 s)
  tiny, all 96 settings measured, float32 (`--settings full`)
    width 384, answers of a setting cost 0.45 updates   6.54            3.52            6, 2.5: met
      (an update costs 0.20 s; of 122 s start-up takes 3.7, MLflow 5.0, Optuna 2.4, the store 1.6)
    width 256, answers of a setting cost 0.49 updates   5.67            2.95            6, 2.5: c not met
      (an update costs 0.10 s; of 66 s start-up takes 2.5, MLflow 4.1, Optuna 2.1, the store 1.3)
    width 96 (CPU seconds, other work beside it)        4.11            1.93            6, 2.5: not met
      (an update costs 33 ms, what (a) stores and tells of a setting 110 ms)
The peers track nothing: where updates are cheap that is what keeps (a) below 6.  With answers that cost both sides
x updates a setting, c / a is (3600 + 96 x) / (480 + 97 x): 6 or more up to x = 1.48.
  a = c in float32 on the 135M model and at width 96: 24 of 24 and 576 of 576 answers, every replay's hash, weights
  within 4e-5 and 9e-4 of their displacement.  Over up to 80 updates at the highest rate of a wider tiny model rounding
  grows: at width 384, 22 of 96 settings are further apart than 2e-3 of their displacement, by up to .54, and 49 of 576
  answers differ; but (c) with the rows of each update in reverse is as far from itself, by up to .46 and in 52 answers
  (of a setting, our distance is .22 to 3.8 times that).  Up to 3 times was fixed before as equal, so that run, too,
  ends as unequal.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_parts as parts
from bench_agreement import compare_unshared, compare_weights
from bench_arms import Bench, make_study, median, peer_runs, task_of, total

GOALS = {"few": 6.0, "quickstart": 4.0, "d": 2.5}


def main() -> None:
    parser = parts.parser(__doc__)
    parser.add_argument(
        "--settings", choices=["small", "full"], default="small", help="4 or 96 (default: small)"
    )
    parser.add_argument("--arms", default="abcd", help="which arms; a always runs (default: abcd)")
    parser.add_argument("--rounds", type=int, default=2, help="default: 2")
    parser.add_argument(
        "--prompts", type=int, default=2, help="prompts of each of the three sets (default: 2)"
    )
    parser.add_argument("--tokens", type=int, default=4, help="longest answer (default: 4)")
    parser.add_argument("--batch", type=int, help="prompts per batch (default: the quickstart's)")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        default="float32",
        help="weights of a and c can be compared in float32 alone (default: float32)",
    )
    parser.add_argument("--width", type=int, default=32, help="width of the tiny model (default: 32)")
    parser.add_argument(
        "--peers", choices=["ray", "loop"], default="ray", help="what runs c and d (default: ray)"
    )
    parser.add_argument(
        "--project", action="store_true", help="say what 96 settings would take (real: always)"
    )
    args = parser.parse_args()
    parts.set_up(args.cpus)
    with tempfile.TemporaryDirectory(prefix="bench-sharing-") as scratch:
        results = measure(args, Path(scratch))
    parts.finish(results, args.json)
    if not all(check["equal"] for check in results["checks"]):
        sys.exit(1)


def measure(args: Any, scratch: Path) -> dict[str, Any]:
    about = parts.machine(args.cpus)
    folder = parts.model_folder(args.model, scratch, args.width)
    bench = Bench(
        make_study(args, folder, scratch), folder, scratch, args.cpus, args.clock, parts.clock(args.clock)
    )
    start_up = warm_up(args, scratch)
    task = task_of(bench, bench.study)
    if args.peers == "ray" and set(args.arms) & set("cd"):
        import bench_peer

        bench_peer.start_ray(args.cpus)
    arms: dict[str, list[dict[str, Any]]] = {arm: [] for arm in "a" + args.arms.replace("a", "")}
    waiting = peer_runs(bench, scratch, args.arms)
    for r in range(args.rounds):
        parts.say(f"round {r + 1} of {args.rounds}: arm a")
        arms["a"].append(bench.ours())
        for arm in list(arms)[1:]:
            parts.say(f"  arm {arm}")
            arms[arm] += bench.part(arm, waiting[arm][r :: args.rounds], task, args.peers)
    rows = {"a": median("a", arms["a"])} | {arm: total(arm, arms[arm]) for arm in list(arms)[1:]}
    parts.say("comparing")
    checks = []
    if "b" in arms:
        checks.append(compare_unshared(arms["a"][0], arms["b"]))
    if "c" in arms:
        checks.append(compare_weights(bench, arms["a"][0], arms["c"]))
    results = {
        "machine": about,
        "asked": {k: v for k, v in vars(args).items() if k != "json"}
        | {"axes": bench.study.axes.model_dump()},
        "start_up": start_up,
        "arms": rows,
        "rest_of_a": median("a", arms["a"])["parts"],
        "checks": checks,
    }
    results |= ratios(rows, start_up, args.settings == "full") | {"left_out_of_peers": bench.engine_seconds}
    if {"c", "d"} <= set(arms) and (args.project or args.model == "real"):
        from bench_project import project

        found = project(bench, arms, rows, start_up)
        results |= found | {"goals": results["goals"] + found.pop("projected_goals")}
    tell(results)
    return results


def warm_up(args: Any, scratch: Path) -> dict[str, float]:
    """What either side takes once per process: a study of one setting on a tiny model, the first less the second."""
    import bench_peer

    (scratch / "warm").mkdir()
    folder = parts.model_folder("tiny", scratch / "warm")
    shape = {"learning_rate": [1e-3], "batch_size": [2], "steps": [1], "ema_decay": [0]}
    study = make_study(args, folder, scratch / "warm", shape)
    bench = Bench(study, folder, scratch / "warm", args.cpus, args.clock, parts.clock(args.clock))
    task = task_of(bench, study)
    asked = bench_peer.Asked(1e-3, 2, 0.0, (1,))
    walls: dict[str, list[float]] = {"a": [], "peers": []}
    for _ in range(2):
        walls["a"].append(bench.ours()["wall"])
        walls["peers"].append(bench_peer.run(task, asked)["wall"])
    return {side: max(0.0, first - second) for side, (first, second) in walls.items()}


def ratios(rows: dict[str, Any], start_up: dict[str, float], whole: bool) -> dict[str, Any]:
    """Ratios of every arm to (a); the goals are about all 96 settings, the ``whole`` shape."""
    a = rows["a"]
    table, goals = [], []
    for arm, row in rows.items():
        if arm == "a":
            continue
        once = start_up["a" if arm == "b" else "peers"]
        table.append(
            {
                "ratio to a": arm,
                "updates": row["updates"] / a["updates"],
                "training s": row["training"] / a["training"],
                "s/update": row["training"] / row["updates"] * a["updates"] / a["training"],
                "answering s": row["answering"] / a["answering"],
                "tr + ans": (row["training"] + row["answering"]) / (a["training"] + a["answering"]),
                "wall": row["wall"] / a["wall"],
                "wall + start-up": (row["wall"] + once) / (a["wall"] + start_up["a"]),
            }
        )
    cost = a["answering"] / a["settings"] / (a["training"] / a["updates"])
    found = {row["ratio to a"]: row["wall + start-up"] for row in table}
    if whole and "c" in found:
        goals.append(
            parts.goal(
                f"c / a wall clock, a setting's answers cost {cost:.2f} updates", found["c"], GOALS["few"]
            )
        )
    if whole and "d" in found:
        goals.append(parts.goal("d / a wall clock, same", found["d"], GOALS["d"]))
    return {"ratios": table, "answering_costs_updates": cost, "goals": goals}


def tell(results: dict[str, Any]) -> None:
    print(results["machine"], f"\nseconds of: {results['asked']['clock']}")
    shape = ("runs", "updates", "training", "settings", "answering", "loading", "rest", "wall")
    parts.show(
        "seconds of each arm",
        [{"arm": k, **{n: row[n] for n in shape}} for k, row in results["arms"].items()],
    )
    if results["ratios"]:
        parts.show("ratios: the arm's number over that of a (medians of its rounds)", results["ratios"])
    parts.show("what the rest of a goes to, seconds", [results["rest_of_a"]])
    parts.show("once per process (left out above, but for the last column)", [results["start_up"]])
    if results["left_out_of_peers"]:
        parts.show(
            f"left out of the peers: {results['asked']['peers']}, seconds", [results["left_out_of_peers"]]
        )
    for name in ("quickstart", "projected"):
        if name in results:
            parts.show(results[f"{name}_title"], results[name])
    if results["goals"]:
        parts.show("goals", results["goals"])
    for check in results["checks"]:
        print(f"\n{check}")


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
