"""What was fixed about the arms before anything was measured: recorded with the study's first run.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftstab.errors import StudyError
from ftstab.plan import filled, idle_fields, study_profiles
from ftstab.spec import Study
from ftstab.spec.arms import Arm
from ftstab.spec.training import without_added

DECLARED = "declared"
"""Under this name a study's record holds it."""


def declaration(study: Study, known: int, when: str) -> dict[str, Any]:
    """Return what a first run records.

    Args:
        study: the study.
        known: settings of it that its store had already, because other studies share them.
        when: the time.
    """
    return {
        "resolved_arms": {name: resolved(arm, study) for name, arm in study.arms.items()},
        "equal_utility": study.equal_utility.model_dump(),
        "seeds": list(study.seeds.search),
        "known": known,
        "when": when,
    }


def resolved(arm: Arm, study: Study) -> dict[str, Any]:
    """Return ``arm`` with all that it takes from the rest of its study: plain data, equal where its settings are.

    An arm says little itself, so that other axes or another training make another arm of the same words.
    """
    axes = study.axes
    one_each = {name: (axes.of(name) or [None])[0] for name in axes.trained()}
    training = study.training.model_dump() | one_each | arm.training
    if training["ema_mode"] == "feedback":
        # Every decay is then a training of its own.
        training["ema_decay"] = axes.ema_decay
    idle = {*idle_fields(training), arm.strength}
    return filled(arm, study).model_dump() | {
        "values": _values(arm, study),
        "training": {n: v for n, v in without_added(training).items() if n not in idle},
    }


def _values(arm: Arm, study: Study) -> Any:
    """The values of the strength of ``arm``: a list, the range that they are drawn from, or None without a strength."""
    if arm.strength is None:
        return None
    if arm.strength in ("ema_decay", "averaging"):
        kind = filled(arm, study).averaging
        have = [p.value for p in study_profiles(study) if p.kind == kind]
    elif (span := study.axes.range(arm.strength)) is not None:
        return span.model_dump() if arm.values is None else sorted(arm.values)
    else:
        have = study.axes.of(arm.strength) or []
    return sorted(v for v in have if arm.values is None or v in arm.values)


def late_arms(study: Study, about: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return those of the arms ``names`` that weren't fixed as they are now before the first run.

    Of a study that an earlier version recorded, only what the arms say themselves can be compared.
    """
    said = about.get(DECLARED) or {}
    if "resolved_arms" in said:
        return [
            name for name in names if said["resolved_arms"].get(name) != resolved(study.arms[name], study)
        ]
    before = said.get("arms", {})
    return [name for name in names if before.get(name) != study.arms[name].model_dump()]


def check_declared(study: Study, about: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return what must be said about when the arms ``names`` were fixed; nothing where that was beforehand.

    Raises:
        StudyError: margin or level are others than those of the first run.
    """
    said = about.get(DECLARED)
    if said is None:
        return [
            "Arms and margin weren't recorded with the first run of this study, so they may have been chosen by it."
        ]
    wanted, given = said["equal_utility"], study.equal_utility.model_dump()
    changed = [
        f"{name}: {value:g}, now {given[name]:g}" for name, value in wanted.items() if value != given[name]
    ]
    if changed:
        raise StudyError(
            f"study {study.study}: equal_utility was fixed with the first run ({said['when']}): {', '.join(changed)}; "
            "undo that, or give the study a new name and run it"
        )
    notes = []
    late = late_arms(study, about, names)
    if late:
        notes.append(
            f"Defined or changed after the first run, and so perhaps by what it showed: {', '.join(late)}. Margin and "
            "level were fixed beforehand."
        )
    if "resolved_arms" not in said:
        notes.append(
            "An earlier version recorded the first run, without what arms take from `axes` and `training` (all values "
            "of their strength, the last step): whether that is as it was then isn't known."
        )
    # A study that an earlier version recorded says nothing of its seeds.
    seeds = set(said.get("seeds", study.seeds.search))
    added, taken = sorted(set(study.seeds.search) - seeds), sorted(seeds - set(study.seeds.search))
    for which, what in ((added, "added"), (taken, "taken out")):
        if which:
            notes.append(
                f"Seeds {what} after the first run, and so perhaps for what it showed: {', '.join(map(str, which))}."
            )
    if said["known"]:
        notes.append(
            f"{said['known']} of the study's settings were in the store when its arms were recorded: other studies had "
            "measured them before."
        )
    return notes
