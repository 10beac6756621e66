"""What was fixed about the arms before anything was measured: recorded with the study's first run.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftstab.errors import StudyError
from ftstab.spec import Study

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
        "arms": {name: arm.model_dump() for name, arm in study.arms.items()},
        "equal_utility": study.equal_utility.model_dump(),
        "seeds": list(study.seeds.search),
        "known": known,
        "when": when,
    }


def late_arms(study: Study, about: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return those of the arms ``names`` that weren't fixed as they are now before the first run."""
    said = about.get(DECLARED) or {"arms": {}}
    return [name for name in names if said["arms"].get(name) != study.arms[name].model_dump()]


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
            f"Defined after the first run, and so perhaps by what it showed: {', '.join(late)}. Margin and level were "
            "fixed beforehand."
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
