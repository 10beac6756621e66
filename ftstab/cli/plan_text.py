"""`ftstab plan` for a person: what `plan.plan_report` found, in lines of text.  Reads nothing else."""

from __future__ import annotations

from typing import Any

from ftstab.changes import refusal_text
from ftstab.cli.posthoc import posthoc_lines
from ftstab.plan.hardware import GB
from ftstab.running.progress import clock
from ftstab.running.remarks import left_out_remarks


def _calls_text(calls: dict[str, Any]) -> str:
    """What one endpoint is asked, and what that costs."""
    what = "compares" if calls["compares"] else "judges"
    price = "no price given" if calls["price"] is None else f"price {calls['price']:.4g}"
    least = "" if calls["least_seconds"] is None else f", {clock(calls['least_seconds'])} by its rate limit"
    return (
        f"  {calls['name']} {what} {calls['reads'].replace('_', '-')} answers: at most {calls['requests']} requests, "
        f"{calls['prompt_tokens']} + {calls['reply_tokens']} tokens, {price}{least}"
    )


_PARTS = {
    "optimizer": "masters, gradients and moments",
    "start": "start weights",
    "model": "compute copy and gradients",
    "shadows": "shadows",
    "activations": "activations",
    "judges": "judges",
    "libraries": "libraries",
}


def _memory_text(
    memory: dict[str, Any], total: int, fit: dict[str, Any] | None, free: int | None
) -> list[str]:
    """What the largest trajectory needs, and whether that is there."""
    names = _PARTS if memory["each_shadow"] else _PARTS | {"model": "frozen model"}
    parts = ", ".join(f"{words} {memory[name] / GB:.1f}" for name, words in names.items() if memory[name])
    each = f"; each shadow more takes {memory['each_shadow'] / GB:.1f}" if memory["each_shadow"] else ""
    lines = [f"  memory per trajectory {total / GB:.1f} GB: {parts}{each}"]
    if fit is not None:
        answer = "fits" if fit["fits"] else "DOES NOT FIT"
        now = "" if free is None else f"; {free / GB:.1f} GB of the whole are free now"
        lines.append(
            f"  memory there          {fit['room_bytes'] / GB:.1f} GB ({fit['where']}): {answer}{now}"
        )
        lines += [f"  would fit             {change}" for change in fit["would"]]
    return lines


def _kept_lines(report: dict[str, Any]) -> list[str]:
    """What stays on the disk of weights, and how to keep fewer."""
    kept, keep = report["cost"]["kept"], report["keep_weights"]
    if kept is None:
        return []
    name, count, total = "disk kept afterwards", kept["settings"], kept["bytes"]
    most = "at most " if keep == "candidates" else ""
    if report["nothing_left"]:
        name, count, most = "weights kept", report["weights_kept"], ""
        total = count * kept["each_bytes"]
    if not count:
        return [f"  {name:<20}  no weights (keep_weights: {keep})"]
    upto = "" if total == count * kept["each_bytes"] else "up to "
    ways = {"candidates": ["`keep_weights: none`"], "all": ["`keep_weights: candidates`"], "none": []}[keep]
    ways.append("`ftstab pick ... --drop-weights` once a setting is picked")
    size = f"{upto}{kept['each_bytes'] / GB:.2g} GB = {total / GB:.1f} GB"
    return [
        f"  {name:<20}  weights of {most}{count} settings x {size} (keep_weights: {keep}); fewer by "
        f"{', or by '.join(ways)}"
    ]


def _disk_lines(disk: dict[str, Any] | None) -> list[str]:
    """Whether the disk of the store has room."""
    if disk is None:
        return []
    answer = "fits" if disk["fits"] else "DOES NOT FIT"
    return [
        f"  disk there            {disk['free_bytes'] / GB:.1f} GB free ({disk['folder']}), at most "
        f"{disk['needed_bytes'] / GB:.1f} GB needed by all workers and by what stays: {answer}"
    ]


def _states_text(search: dict[str, Any], state_bytes: int) -> list[str]:
    """What waits on disk for an ask that needs more steps."""
    if search["method"] == "grid" or not search["keep_states"]:
        return []
    return [
        f"  disk while searching  {state_bytes / GB:.1f} GB for each trajectory that was asked for fewer than all "
        "steps (search.keep_states)"
    ]


def _idle_text(report: dict[str, Any]) -> str:
    """That there are more workers than trajectories for them: the branches of a trunk are trained by one worker."""
    busy = report["trajectories"] - report["branches"]
    return f", {busy} of them busy" if busy < report["workers"] else ""


def plan_text(report: dict[str, Any]) -> str:
    """Return the report of `plan.plan_report` for a person."""
    lines = [f"study {report['study']}"]
    search = report["search"]
    if search["method"] != "grid":
        budget = ", ".join(f"{v:g} {k}" for k, v in search["budget"].items() if v is not None)
        lines.append(
            f"  search                {search['method']}, {search['sampler']}, at most {budget}; what follows is for "
            "points spread evenly over the axes"
        )
    done = f", {report['settings_done']} done" if report["settings_done"] else ""
    kinds = f" ({report['trunks']} trunks, {report['branches']} branches)" if report["branches"] else ""
    lines.append(f"  settings              {report['settings']}{done}")
    lines.append(f"  trajectories          {report['trajectories']}{kinds}")
    left = (
        f", {report['train_steps_left']} left" if report["train_steps_left"] != report["train_steps"] else ""
    )
    lines.append(f"  train steps           {report['train_steps']}{left}")
    lines.append(f"  unshared train steps  {report['train_steps_unshared']} (one run per setting)")
    sets = ", ".join(f"{name.replace('_', '-')} {count}" for name, count in report["prompts_by_set"].items())
    lines.append(f"  prompts per setting   {report['prompts_per_setting']} (search half): {sets}")
    if report["choice_rows_per_setting"]:
        lines.append(
            f"  of these              {report['choice_rows_per_setting']} by the likelihood of choices"
        )
    lines.append(f"  held-out rows         {report['held_out_rows_per_setting']} per setting, their loss")
    lines.append("axes")
    for axis in report["axes"]:
        free = {True: "free", False: "trained", None: "depends"}[axis["free"]]
        count = axis["values"]
        values = "    range," if count is None else f"{count:>3} value{'s' if count != 1 else ''},"
        lines.append(f"  {axis['name']:<20}  {values:<11} {free}: {axis['why']}")
    cost = report["cost"]
    if report["nothing_left"]:
        lines.append("nothing left to do: every setting is in the store (`ftstab frontier` lists them)")
        return "\n".join([*lines, *_kept_lines(report), *posthoc_lines(report["posthoc"])])
    lines.append("estimate")
    if cost["wall_seconds"] is None:
        lines.append(f"  unknown: {cost['assumptions']}")
    else:
        if cost["reference_seconds"]:
            lines.append(
                f"  start model           reads {report['training_rows']} training rows for the loss first, "
                f"{clock(cost['reference_seconds'])}, unless they are cached"
            )
        lines += [
            f"  time                  {clock(cost['wall_seconds'])} and start-up with {report['workers']} worker(s)"
            f"{_idle_text(report)}: training "
            f"{clock(cost['train_seconds'])}, answering {clock(cost['answer_seconds'])}, reading "
            f"{clock(cost['read_seconds'])} of one worker",
        ]
        if cost["gpu_hours"] is not None:
            each = cost["gpu_hours"] / max(1, report["trajectories"])
            lines.append(f"  GPU-hours             {cost['gpu_hours']:.3g}, {each:.2g} per trajectory")
        if cost["memory"] is not None:
            lines += _memory_text(
                cost["memory"], cost["memory_bytes"], cost["fit"], report["free_memory_bytes"]
            )
        lines += [
            f"  disk per trajectory   {cost['disk_bytes'] / GB:.1f} GB at most, while it is trained",
            *_states_text(search, cost["state_bytes"]),
            *_kept_lines(report),
            *_disk_lines(report["disk"]),
            f"  assumes               {cost['assumptions']}",
        ]
    lines += [_calls_text(calls) for calls in cost["endpoints"]]
    lines += posthoc_lines(report["posthoc"])
    if report["trajectories_untrained"]:
        lines.append(
            f"note: {report['trajectories_untrained']} of the open trajectories are answered from kept shadows; the "
            "estimate of time counts their training all the same"
        )
    if not report["start_model"]["resolved"]:
        lines.append(f"note: the revision of {report['start_model']['base']} can't be looked up here")
    lines += [f"note: {what}" for what in report["assumed"]]
    if report["refused"] is not None:
        lines.append(f"note: {refusal_text(report['refused'])}")
    lines += [f"note: {what}" for what in left_out_remarks(report["left_out_rows"])]
    lines += [f"note: {what}" for what in report["schedules_cut_short"]]
    lines += [f"note: {what}" for what in report["small_sets"]]
    lines += [f"note: {what}" for what in report["limits_out_of_reach"]]
    lines += [f"note: {what}" for what in report["arms_without_verdict"]]
    return "\n".join(lines)
