"""Where the wall clock of a finished study went, from the seconds that its workers and its driver recorded.

A worker's seconds are divided by the number of workers, so that start-up, workers and end add up to the wall clock.
Overhead after start-up is, at most: what workers spent in the store, on telling the driver and between two jobs, and
what the driver spent in MLflow, Optuna and the store beside them.  (Where the driver runs the jobs itself, telling it
is that same work, and counts once.)  Goal: below 5 % of the wall clock.

    python analysis/bench_overhead.py studies/quickstart

On two cores of an AMD EPYC with avx512_bf16, 2026-11-23, the quickstart: 881 s of wall clock with two workers, of which
68 s were start-up; answering 58 %, training 27 %, swapping weights 2.1 %, saving 1.8 %, store 1.0 %, MLflow and Optuna
0.3 %, a worker with nothing left to do 0.2 %; overhead after start-up, at most, 1.6 %: met.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import bench_parts as parts

GOAL = 0.05
WORK = ("loading", "training", "answering", "swapping weights", "judging", "saving", "store", "reporting")
OVERHEAD = ("store", "reporting", "between jobs")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("study", help="a study file, or the folder of a study that was run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    args = parser.parse_args()
    parts.set_up(1)
    results = measure(args.study)
    for run in results["runs"]:
        parts.show(
            f"{run['workers']} worker(s), {run['jobs']} jobs, {run['wall']:.1f} s of wall clock", run["parts"]
        )
        parts.show("the driver meanwhile", run["driver"])
        parts.show("goal", run["goals"])
    parts.show("around the driver, timed now", [results["around"]])
    parts.finish(results, args.json)


def measure(study: str) -> dict[str, Any]:
    from ftstab.results import open_results

    results = open_results(study)
    runs = [times for times in results.about.get("times", []) if times["jobs"]]
    if not runs:
        raise SystemExit(f"{study}: no run of this study recorded its times; run it again in a new store")
    alone = results.study.resources.launcher == "inprocess"
    return {
        "study": results.study.study,
        "runs": [shares(run, alone) for run in runs],
        "around": around(results),
    }


def shares(times: Mapping[str, Any], alone: bool) -> dict[str, Any]:
    """What the wall clock of one run of the driver went to.

    Args:
        times: as the study's record holds them.
        alone: the driver ran the jobs itself.
    """
    driver, jobs = times["driver"], sorted(times["jobs"], key=lambda job: job["began"])
    wall, first, last = driver["wall"], jobs[0]["began"], max(job["began"] + job["wall"] for job in jobs)
    slots = by_worker(jobs)
    n = len(slots)
    # Where the start model was measured in this run, its report came first: it loads MLflow and makes the database.
    loads_tracking = min(jobs[0].get("reporting", 0.0), driver.get("first telling", 0.0))
    spent = {name: sum(job.get(name, 0.0) for job in jobs) for name in WORK}
    spent["reporting"] -= loads_tracking
    spent["other work"] = sum(job["wall"] for job in jobs) - loads_tracking - sum(spent.values())
    spent["between jobs"] = sum(
        b["began"] - a["began"] - a["wall"] for slot in slots for a, b in pairwise(slot)
    )
    spent["nothing left to do"] = sum(last - slot[-1]["began"] - slot[-1]["wall"] for slot in slots)
    others = sum(slot[0]["began"] - first for slot in slots)
    rows = [
        ("start-up", "before the launch", times["launched"] - driver["began"]),
        ("start-up", "launch to the first job", first - times["launched"]),
        ("start-up", "first report: MLflow is loaded", loads_tracking / n),
        ("start-up", "further workers: until their first job", others / n),
        *(("work", name, seconds / n) for name, seconds in spent.items()),
        ("end", "after the last job", driver["began"] + wall - last),
    ]
    table = [{"part": part, "what": what, "seconds": s, "share": s / wall} for part, what, s in rows]
    table.append(
        {
            "part": "all",
            "what": "",
            "seconds": sum(r[2] for r in rows),
            "share": sum(r[2] for r in rows) / wall,
        }
    )
    beside = {name: driver.get(name, 0.0) for name in ("mlflow", "optuna", "store")}
    over = sum(spent[name] for name in OVERHEAD) / n + (0.0 if alone else sum(beside.values()))
    return {
        "workers": n,
        "jobs": len(jobs),
        "wall": wall,
        "parts": table,
        "driver": [{"what": name, "seconds": s, "share": s / wall} for name, s in beside.items()],
        "overhead": over / wall,
        "goals": [
            {
                "goal": "Ray, MLflow, Optuna and store after start-up, at most, over wall clock",
                "asked": f"< {GOAL:g}",
                "found": over / wall,
                "": "met" if over / wall < GOAL else "not met",
            }
        ],
    }


def by_worker(jobs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Jobs in order of their beginning, dealt out to as many workers as were busy at once."""
    slots: list[list[Mapping[str, Any]]] = []
    for job in jobs:
        free = [slot for slot in slots if slot[-1]["began"] + slot[-1]["wall"] <= job["began"]]
        if free:
            max(free, key=lambda slot: slot[-1]["began"] + slot[-1]["wall"]).append(job)
        else:
            slots.append([job])
    return slots


def around(results: Any) -> dict[str, float]:
    """What `ftstab run` does before and after the driver: importing, and writing the report."""
    from ftstab.cli.report import make_report

    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import ftstab.running.driver"], check=True)
    imported = time.perf_counter() - began
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
        began = time.perf_counter()
        make_report(results, Path(folder) / "report.html", "bench_overhead")
    return {"importing": imported, "report": time.perf_counter() - began}


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
