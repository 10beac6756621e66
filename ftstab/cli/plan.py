"""`ftstab plan`: what will be trained, which axes are free, what it costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftstab.data.rows import read_rows
from ftstab.errors import StoreError
from ftstab.models.align import start_key
from ftstab.models.source import identify
from ftstab.plan import axis_freedoms, estimate, make_plan
from ftstab.plan.workload import workload
from ftstab.results import evaluation_part, gather, recorded
from ftstab.running.environment import available_cpus
from ftstab.running.progress import clock
from ftstab.spec import Study
from ftstab.store import Records, open_store


def plan_report(study: Study, base_dir: Path) -> dict[str, Any]:
    """Everything that `ftstab plan --json` says.  Downloads nothing."""
    identity = identify(study.base, base_dir)
    data = read_rows(study.data.train, base_dir, needs_response=True)
    base = start_key(study.base, base_dir)
    plan = make_plan(study, base, data.hash)
    done = _done(study, base, data.hash)
    if done is not None:
        plan = make_plan(study, base, data.hash, done)
    workers = study.resources.workers or max(1, available_cpus() // study.resources.cpus_per_trajectory)
    asked = workload(study, base_dir)
    open_jobs = plan.open_jobs
    return {
        "study": study.study,
        "settings": len(plan.settings),
        "settings_done": sum(s.key in plan.done for s in plan.settings),
        "trajectories": len(plan.trajectories),
        "trunks": sum(bool(job.branches) for job in plan.jobs),
        "branches": sum(len(job.branches) for job in plan.jobs),
        "train_steps": plan.train_steps,
        "train_steps_left": sum(t.train_steps for job in open_jobs for t in job.trajectories),
        "train_steps_unshared": plan.train_steps_unshared,
        "prompts_per_setting": asked.prompts + asked.choice_rows,
        "choice_rows_per_setting": asked.choice_rows,
        "held_out_rows_per_setting": asked.held_out_rows,
        "axes": [asdict(axis) for axis in axis_freedoms(study)],
        "workers": workers,
        "start_model": {
            "base": identity.key,
            "resolved": identity.resolved,
            "parameters": identity.parameters,
        },
        "left_out_rows": data.left_out,
        "cost": estimate(study, plan, identity.parameters, asked, workers).as_dict(),
    }


def _done(study: Study, base: str, data: str) -> set[str] | None:
    """Keys of settings that the store has under the same questions; None if it was never run."""
    root = Path(study.store).expanduser().absolute()
    try:
        records = Records(open_store(root))
    except StoreError:
        if (root / "ftstab-store.json").exists():
            raise  # a store that can't be used is no empty store
        return None
    stored = records.study(study.study)
    if stored is None:
        return None
    identities = recorded(study.study, stored)
    if (identities.base, identities.data, identities.asked) != (base, data, evaluation_part(study)):
        return None
    return set(gather(study, records, identities, stored[1]).plan.done)


def _calls_text(calls: dict[str, Any]) -> str:
    """What one endpoint is asked, and what that costs."""
    what = "compares" if calls["compares"] else "judges"
    price = "no price given" if calls["price"] is None else f"price {calls['price']:.4g}"
    least = "" if calls["least_seconds"] is None else f", {clock(calls['least_seconds'])} by its rate limit"
    return (
        f"  {calls['name']} {what} {calls['reads'].replace('_', '-')} answers: at most {calls['requests']} requests, "
        f"{calls['prompt_tokens']} + {calls['reply_tokens']} tokens, {price}{least}"
    )


def plan_text(report: dict[str, Any]) -> str:
    """The report for a person."""
    lines = [f"study {report['study']}"]
    done = f", {report['settings_done']} done" if report["settings_done"] else ""
    kinds = f" ({report['trunks']} trunks, {report['branches']} branches)" if report["branches"] else ""
    lines.append(f"  settings              {report['settings']}{done}")
    lines.append(f"  trajectories          {report['trajectories']}{kinds}")
    left = (
        f", {report['train_steps_left']} left" if report["train_steps_left"] != report["train_steps"] else ""
    )
    lines.append(f"  train steps           {report['train_steps']}{left}")
    lines.append(f"  unshared train steps  {report['train_steps_unshared']} (one run per setting)")
    lines.append(f"  prompts per setting   {report['prompts_per_setting']} (search half)")
    if report["choice_rows_per_setting"]:
        lines.append(
            f"  of these              {report['choice_rows_per_setting']} by the likelihood of choices"
        )
    lines.append(f"  held-out rows         {report['held_out_rows_per_setting']} per setting, their loss")
    lines.append("axes")
    for axis in report["axes"]:
        free = {True: "free", False: "trained", None: "depends"}[axis["free"]]
        lines.append(f"  {axis['name']:<20}  {axis['values']:>3} values, {free}: {axis['why']}")
    cost = report["cost"]
    lines.append("estimate")
    if cost["wall_seconds"] is None:
        lines.append(f"  unknown: {cost['assumptions']}")
    else:
        gib = 2**30
        lines += [
            f"  time                  {clock(cost['wall_seconds'])} with {report['workers']} worker(s): training "
            f"{clock(cost['train_seconds'])}, answering {clock(cost['answer_seconds'])}, reading "
            f"{clock(cost['read_seconds'])} of one worker",
            f"  memory per worker     {cost['memory_bytes'] / gib:.1f} GiB",
            f"  disk per trajectory   {cost['disk_bytes'] / gib:.1f} GiB at most, while it is trained",
            f"  assumes               {cost['assumptions']}",
        ]
    lines += [_calls_text(calls) for calls in cost["endpoints"]]
    if not report["start_model"]["resolved"]:
        lines.append(f"note: the revision of {report['start_model']['base']} can't be looked up here")
    for reason, count in report["left_out_rows"].items():
        lines.append(f"note: {count} training rows left out: {reason}")
    return "\n".join(lines)
