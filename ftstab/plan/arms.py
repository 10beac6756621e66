"""Which settings belong to which arm, and how strong they are.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftstab.outcome import Profile
from ftstab.spec import Study
from ftstab.spec.arms import Arm, kind_of

NAMED = 0.0
"""Strength of the one setting of an arm without an axis of strength."""


def filled(arm: Arm, study: Study) -> Arm:
    """Return ``arm`` with the kind of average, the step and the interpolation that it leaves out, as far as they aren't
    its strength."""
    found: dict[str, Any] = {"averaging": kind_of(arm)}
    if arm.strength != "steps":
        found["steps"] = arm.steps or max(study.axes.steps)
    if arm.strength != "interpolation":
        found["interpolation"] = 1.0 if arm.interpolation is None else arm.interpolation
    return arm.model_copy(update=found)


def strength_of(
    arm: Arm,
    study: Study,
    training: Mapping[str, Any],
    step: int,
    profile: Profile,
    interpolation: float,
) -> float | None:
    """Return how strong a setting is on the axis of ``arm``, or None if it doesn't belong to it.

    Args:
        arm: the arm.
        study: its study, for what the arm leaves out.
        training: the fields of `Training` as they were used.
        step: optimizer updates.
        profile: averaging profile.
        interpolation: scale of the change from the start.
    """
    arm = filled(arm, study)
    if any(training.get(name) != value for name, value in arm.training.items()):
        return None
    if _arm_kind(profile, study) != arm.averaging:
        return None
    if arm.steps not in (None, step) or arm.interpolation not in (None, interpolation):
        return None
    if arm.strength not in ("ema_decay", "averaging") and profile.value != arm.decay:
        return None
    found = {
        None: NAMED,
        "steps": step,
        "learning_rate": training.get("learning_rate"),
        "ema_decay": profile.value,
        "averaging": profile.value,
        "interpolation": interpolation,
    }[arm.strength]
    assert found is not None
    if arm.values is not None and found not in arm.values:
        return None
    return float(found)


def in_an_arm(
    study: Study, training: Mapping[str, Any], step: int, profile: Profile, interpolation: float
) -> bool:
    """Return whether some arm of ``study`` has this setting."""
    return any(
        strength_of(arm, study, training, step, profile, interpolation) is not None
        for arm in study.arms.values()
    )


def _arm_kind(profile: Profile, study: Study) -> str | None:
    """The kind of average that an arm knows ``profile`` by; None where it has no place in one.

    A decay that is rebuilt is as much a strength as one that is tracked, unless the same is tracked beside it.
    """
    if profile.kind != "posthoc_exponential":
        return profile.kind
    tracked = {spec.decay for spec in study.axes.averaging or [] if spec.kind == "exponential"}
    return None if profile.value in tracked else "exponential"
