"""`ftstab plan`: what will be trained, which axes are free, what it costs; `plan_text` says it to a person.

Reads study, data and store, downloads nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from ftstab.changes import changes, training_key
from ftstab.cli.crew import disk_room, find_crew, memory_room
from ftstab.cli.posthoc import posthoc_report, untrained_jobs
from ftstab.data.hub import local_only
from ftstab.data.rows import RowSet
from ftstab.data.training import read_training
from ftstab.errors import NotHereError, StoreError
from ftstab.models.align import align_sets, start_key
from ftstab.models.source import identify
from ftstab.plan import Point, axis_freedoms, estimate, study_plan
from ftstab.plan.sizes import size_of
from ftstab.plan.workload import row_tokens, workload
from ftstab.results import (
    about_now,
    asked_points,
    evaluation_part,
    gather,
    other_studies,
    recorded,
)
from ftstab.running.environment import free_memory
from ftstab.running.remarks import (
    arm_remarks,
    asked_place,
    out_of_reach_remarks,
    sample_remarks,
    schedule_remarks,
)
from ftstab.running.sources import check_sources
from ftstab.search import expected_points
from ftstab.spec import Study
from ftstab.store import Records, open_store, store_root
from ftstab.store.location import FORMAT_FILE
from ftstab.training.posthoc import check_posthoc


def plan_report(study: Study, base_dir: Path) -> dict[str, Any]:
    """Return everything that `ftstab plan --json` says.  Downloads nothing."""
    check_posthoc(study)
    identity = identify(study.base, base_dir)
    data, base, assumed = None, "unknown", []
    learned: dict[str, RowSet] = {}
    with local_only():
        check_sources(study, base_dir, absent=True)
        try:
            data = read_training(study.data, base_dir)
            base = start_key(study.base, base_dir)
            learned = align_sets(study.base.align, base_dir) if study.base.align is not None else {}
        except NotHereError as error:
            assumed.append(f"{error.why}, so what the store has of this study isn't looked up")
        asked = workload(study, base_dir)
    if data is not None:
        learned |= data.sets
    left_out: dict[str, Mapping[str, int]] = {where: rows.left_out for where, rows in learned.items()}
    left_out |= {asked_place(study, role): reasons for role, reasons in asked.left_out.items()}
    rows = "unknown" if data is None else training_key(study, base_dir, data)
    before = _Before() if data is None or assumed else _before(study, base_dir, base, rows)
    points = [] if study.search.method == "grid" else expected_points(study, before.asked)
    plan = study_plan(study, base, rows, before.done, points)
    crew = find_crew(study.resources)
    training_rows = sum(len(rows.rows) for rows in data.sets.values()) if data else None
    asked = replace(
        asked,
        training_rows=training_rows or study.data.train.limit or 0,
        row_tokens=row_tokens(study, data.rows if data else None),
    )
    size = size_of(study.base.model, identity.parameters or study.base.parameters)
    room = memory_room(study, crew)
    cost = estimate(study, plan, size, asked, crew.workers, room)
    untrained = untrained_jobs(study, plan)
    open_jobs = [job for job in plan.open_jobs if job not in untrained]
    return {
        "study": study.study,
        "search": study.search.model_dump(),
        "settings": len(plan.settings),
        "nothing_left": study.search.method == "grid" and not plan.open_jobs,
        "keep_weights": study.keep_weights,
        "weights_kept": before.weights,
        "refused": before.refused,
        "settings_done": sum(s.key in plan.done for s in plan.settings),
        "trajectories": len(plan.trajectories),
        "trunks": sum(bool(job.branches) for job in plan.jobs),
        "branches": sum(len(job.branches) for job in plan.jobs),
        "train_steps": plan.train_steps,
        "train_steps_left": sum(t.train_steps for job in open_jobs for t in job.trajectories),
        "train_steps_unshared": plan.train_steps_unshared,
        "prompts_per_setting": asked.prompts + asked.choice_rows,
        "prompts_by_set": dict(asked.by_set),
        "small_sets": [*sample_remarks(study, {role: asked.by_set[role] for role in asked.confirmable})],
        "limits_out_of_reach": [
            # What is assumed of sets that aren't here says nothing of limits.
            *out_of_reach_remarks(
                study, {role: asked.by_set[role] for role in asked.confirmable}, asked.confirmable
            )
        ],
        "schedules_cut_short": schedule_remarks(study),
        "arms_without_verdict": arm_remarks(study),
        "choice_rows_per_setting": asked.choice_rows,
        "held_out_rows_per_setting": asked.held_out_rows,
        "axes": [asdict(axis) for axis in axis_freedoms(study)],
        "workers": crew.workers,
        "start_model": {
            "base": identity.key,
            "resolved": identity.resolved,
            "parameters": size and size.parameters,
        },
        "training_rows": training_rows,
        "left_out_rows": {where: dict(reasons) for where, reasons in left_out.items() if reasons},
        "assumed": [*assumed, *asked.assumed, *crew.assumed],
        "posthoc": posthoc_report(study, plan, size and size.parameters),
        "trajectories_untrained": len(untrained),
        "cost": cost.as_dict(),
        "free_memory_bytes": free_memory() if cost.fit and room and not room.on_gpu else None,
        "disk": disk_room(study, crew, cost.disk_peak_bytes),
    }


class _Before(NamedTuple):
    """What the store has of a study.

    Attributes:
        done: keys of settings that it has under the same questions.
        asked: what a search has asked so far.
        weights: settings of the study whose weights are kept.
        refused: why `run` refuses it: what isn't as it was when the study was measured.
    """

    done: frozenset[str] = frozenset()
    asked: Sequence[Point] = ()
    weights: int = 0
    refused: str | None = None


def _before(study: Study, base_dir: Path, base: str, data: str) -> _Before:
    """What the store has of ``study`` by the keys that its last run recorded, or else by those of another study that
    asks the same: trajectories and their outcomes are shared."""
    root = store_root(study.store)
    try:
        records = Records(open_store(root))
    except StoreError:
        if (root / FORMAT_FILE).exists():
            raise  # a store that can't be used is no empty store
        return _Before()
    wanted, stored = (base, data, evaluation_part(study)), records.study(study.study)
    if stored is not None:
        identities, about = recorded(study.study, stored), about_now(study, stored)
        found = changes(study, base_dir, records, stored, base, data)
        if found.any:
            return _Before(refused=found.refused)
    else:
        same = (
            other
            for _, other, theirs in other_studies(records, study.study)
            # The same words name other files in another folder.
            if (other.base, other.data, other.asked) == wanted and theirs["base_dir"] == str(base_dir)
        )
        if (keys := next(same, None)) is None:
            return _Before()
        identities, about = keys, {}
    plan = gather(study, records, identities, about).plan
    mine = {s.key for s in plan.settings}
    weights = sum(len(mine & set(records.weight_settings(t.key))) for t in plan.trajectories)
    return _Before(plan.done, asked_points(about), weights)
