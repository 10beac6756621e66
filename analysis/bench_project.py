"""What the 96 settings would take on the real model, from the seconds that a run of bench_sharing.py measured.

Also times one setting's answers at the quickstart's number of prompts, on both sides in turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import bench_parts as parts
from bench_arms import Bench, asked_of, replay, task_of

SETTINGS, STOPS = 96, 24
UPDATES = {"a": 480, "c": 3600, "d": 1920}
RUNS = {"a": 6, "c": 96, "d": 24}
LOADS = {"a": 7, "c": 96, "d": 120}
"""3 learning rates x 2 batch sizes x steps {10, 20, 40, 80} x 4 decays, constant learning rate.  (a) also loads the
model for the start row, (d) every checkpoint."""
GOALS = {"few": {"c": 6.0, "d": 2.5}, "quickstart": {"c": 4.0, "d": 2.5}}


def project(bench: Bench, arms: Mapping[str, Any], rows: Mapping[str, Any], once: Mapping[str, float]) -> Any:
    """Wall clocks of the 96 settings by arm, with few prompts and with the quickstart's.

    Args:
        bench: the benchmark.
        arms: the runs of arms a, c and d.
        rows: the same, added up.
        once: seconds that either side takes once per process.
    """
    quick = quickstart_answers(bench)
    a = rows["a"]
    tracking = sum(a["parts"].get(name, 0.0) for name in ("tracking start-up", "first telling"))
    state = resume_state(bench, arms["a"][0]["results"].plan.trajectories[0])
    table, goals = [], []
    for prompts, least in GOALS.items():
        walls = {}
        for arm in ("a", "c", "d"):
            row, ours = rows[arm], arm == "a"
            train = ours_training(arms["a"]) if ours else peers_training(arms["c"])
            answered = SETTINGS + ours  # the start model too
            if prompts == "few":
                asking = row["answering"] / (row["settings"] + ours)
            else:
                asking = quick["ours" if ours else "theirs"]
            loaded = row["runs"] + {"a": 1, "c": 0, "d": row["settings"]}[arm]
            load = row["loading"] / loaded
            other = sum(a["parts"].values()) - tracking - a["parts"].get("saving", 0.0)
            rest = (other if ours else row["rest"]) / row["settings"]
            per_run = UPDATES["a"] / RUNS["a"] * train["update"]
            saved = RUNS["a"] * states_of(per_run, state) if ours else 0
            start = once["a"] + tracking if ours else once["peers"]
            walls[arm] = (
                UPDATES[arm] * train["update"]
                + RUNS[arm] * train["run"]
                + STOPS * train["stop"]
                + answered * asking
                + LOADS[arm] * load
                + SETTINGS * rest
                + saved * state
                + start
            )
            table.append(
                {
                    "prompts": prompts,
                    "arm": arm,
                    "updates": UPDATES[arm],
                    "s/update": train["update"],
                    "s/run": train["run"],
                    "s/stop": train["stop"],
                    "answered": answered,
                    "s/answered": asking,
                    "= updates": asking / train["update"],
                    "s/load": load,
                    "s/setting else": rest,
                    "states": saved,
                    "s/state": state if ours else 0.0,
                    "once s": start,
                    "wall s": walls[arm],
                    "over a": walls[arm] / walls["a"],
                }
            )
        cost = table[-3]["= updates"]
        for arm, ratio in least.items():
            what = f"{arm} / a, 96 settings projected, {prompts} prompts: answers of a setting cost {cost:.2f} updates"
            goals.append(parts.goal(what, walls[arm] / walls["a"], ratio))
    return {
        "quickstart_title": "answers of one setting at the quickstart's number of prompts, seconds",
        "quickstart": quick["rows"],
        "projected_title": f"96 settings, projected: updates x s/update + runs x s/run ({RUNS}) + {STOPS} x s/stop + "
        f"answered x s/answered + loads x s/load ({LOADS}) + 96 x s/setting else + states x s/state + once",
        "projected": table,
        "projected_goals": goals,
    }


def ours_training(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of an update, what a run's first update takes more, and what the costly signals of a stop take."""
    found: dict[str, list[float]] = {"first": [], "plain": [], "costly": []}
    for run in runs:
        signals = [row for rows in run["results"].signals().values() for row in rows]
        # Updates record the wall clock; their shares hold for the benchmark's own clock too.
        scale = run["training"] / sum(row["seconds"] for row in signals)
        for row in signals:
            kind = "first" if row["step"] == 1 else "costly" if "update_ratio" in row else "plain"
            found[kind].append(row["seconds"] * scale)
    update = statistics.median(found["plain"])
    return {
        "update": update,
        "run": statistics.mean(found["first"]) - update,
        "stop": statistics.median(found["costly"]) - update,
    }


def resume_state(bench: Bench, trajectory: Any) -> float:
    """Seconds that a resume state of ``trajectory`` takes to be written."""
    from ftstab.store import Records, open_store

    records = Records(open_store(bench.scratch / "states", create=True))
    run = replay(bench, trajectory)
    run.update()
    took = [_timed(bench, partial(records.save_state, "t", "a", step, run.save))[0] for step in range(3)]
    return statistics.median(took)


def states_of(training: float, cost: float) -> int:
    """How many states a trajectory of so many seconds of training saves, each of which costs ``cost``."""
    from ftstab.running.resume import SAVE_AFTER_SECONDS, SAVE_SHARE

    # The first comes before its cost is known.
    left = training - SAVE_AFTER_SECONDS
    return 0 if left < 0 else 1 + int(left / max(SAVE_AFTER_SECONDS, SAVE_SHARE * cost))


def peers_training(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of an update, from the longest runs less the shortest, and what a run takes beside its updates."""
    mean = {
        n: statistics.mean(r["training"] for r in runs if r["updates"] == n)
        for n in {r["updates"] for r in runs}
    }
    few, many = min(mean), max(mean)
    update = (mean[many] - mean[few]) / (many - few)
    return {"update": update, "run": mean[few] - few * update, "stop": 0.0}


def quickstart_answers(bench: Bench) -> dict[str, Any]:
    """Seconds of the start model's answers to the quickstart's prompts: ours and a user's, set by set in turn."""
    import bench_peer

    from ftstab.evaluation.answer import answers
    from ftstab.evaluation.held_out import Behind
    from ftstab.models.load import load_model

    parts.say("answers at the quickstart's number of prompts")
    evaluation = bench.study.evaluation
    evaluation = evaluation.model_copy(
        update={
            "harmful": evaluation.harmful.model_copy(update={"limit": None}),
            "over_refusal": evaluation.over_refusal.model_copy(update={"limit": None}),
            "utility": evaluation.utility.model_copy(update={"limit": None}),
            "decoding": evaluation.decoding.model_copy(
                update={"max_new_tokens": parts.quickstart().evaluation.decoding.max_new_tokens}
            ),
        }
    )
    study = bench.study.model_copy(update={"evaluation": evaluation})
    chat, _, questions = asked_of(study, bench.folder)
    task = task_of(bench, study)
    decoding, rows, model = evaluation.decoding, [], load_model(bench.folder).to(task.dtype)
    for role, q in questions.sets.items():
        plan = (model, chat, q.plan, q.prompts, decoding.max_new_tokens)
        # The right answers to the tasks are read behind their prompts, for the held-out loss.
        behind = Behind(questions.behind) if role == "utility" else None
        ours, said = _timed(bench, partial(answers, *plan, then=None if behind is None else behind.read))
        asked = (model, chat.tokenizer, task, task.prompts[role])
        theirs, user = _timed(bench, partial(bench_peer.generate, *asked))
        by_row = dict(zip(q.plan.order, said, strict=True))
        equal = sum(by_row[i] == text for i, text in zip(sorted(by_row), user, strict=True))
        rows.append(
            {"set": role, "prompts": len(said), "ours": ours, "a user's": theirs, "equal texts": equal}
        )
    theirs, _ = _timed(bench, lambda: bench_peer.held_out(model, task))
    rows.append({"set": "held-out loss", "prompts": len(task.held_out), "ours": 0.0, "a user's": theirs})
    found = {"ours": sum(r["ours"] for r in rows), "theirs": sum(r["a user's"] for r in rows)}
    rows.append({"set": "all", "ours": found["ours"], "a user's": found["theirs"]})
    for row in rows:
        row["a user's / ours"] = row["a user's"] / row["ours"] if row["ours"] else None
    return found | {"rows": rows}


def _timed(bench: Bench, do: Callable[[], Any]) -> tuple[float, Any]:
    began = bench.now()
    found = do()
    return bench.now() - began, found
