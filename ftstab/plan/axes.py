"""Which axes are free: read off one trajectory instead of trained anew (measurement rule 17)."""

from __future__ import annotations

from dataclasses import dataclass

from ftstab.spec import Study


@dataclass(frozen=True)
class AxisFreedom:
    """One axis of a study.

    Attributes:
        name: name in the study file.
        values: number of values; None where a search draws from a range.
        free: True if one trajectory answers all values, False if each value is trained; None if that depends on
            the value of another axis, or values share a part of their training.
        why: the reason, in a sentence.
    """

    name: str
    values: int | None
    free: bool | None
    why: str


_SCHEDULES: dict[str, tuple[bool | None, str]] = {
    "constant": (True, "the learning rate at step t doesn't depend on how many steps follow"),
    "warmup_stable_decay": (
        None,
        "the trunk is shared, and each step count trains its own decay",
    ),
    "cosine": (False, "the learning rate at step t depends on the last step, so each step count is trained"),
    "linear": (False, "the learning rate at step t depends on the last step, so each step count is trained"),
}


def axis_freedoms(study: Study) -> list[AxisFreedom]:
    """Return every axis of ``study`` with whether it is free, and why."""
    axes, found = study.axes, []
    schedules = axes.of("schedule") or [study.training.schedule]
    modes = axes.of("ema_mode") or [study.training.ema_mode]
    for name in type(axes).model_fields:
        values = getattr(axes, name)
        if values is None:
            continue
        free: bool | None
        if name == "steps":
            answers = {_SCHEDULES[s] for s in schedules}
            kinds = {free for free, _ in answers}
            free = kinds.pop() if len(kinds) == 1 else None
            why = "; ".join(f"{s}: {_SCHEDULES[s][1]}" for s in schedules)
        elif name == "ema_decay":
            free = {"shadow": True, "feedback": False}[modes[0]] if len(modes) == 1 else None
            why = (
                "averages are shadows that training never reads"
                if free
                else "ema_mode feedback trains from the average, so each decay is trained"
            )
        elif name == "averaging":
            free, why = True, "averages are shadows that training never reads"
        elif name == "interpolation":
            free, why = True, "weights between the start and a setting need no training"
        else:
            free, why = False, "it changes the updates"
        several = None if axes.range(name) is not None else len(values)
        found.append(AxisFreedom(name, several, free, why))
    if len(study.seeds.search) > 1:
        found.append(AxisFreedom("seed", len(study.seeds.search), False, "it changes the order of the rows"))
    return found
