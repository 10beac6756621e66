"""Numbers, shares and counts of settings and trajectories as readers see them.  Pure; knows no study."""

from __future__ import annotations

import math

SMALL = 0.01
"""Numbers below are written with a power of ten."""
NEAR_ONE = 0.999
"""Numbers between it and 1 are written to four digits of their distance from 1."""


def number(value: object) -> str:
    """Return a number in the shortest form that reads well: ``3e-5``, ``0.9``, ``16``; the rest as text."""
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int):
        return str(value)
    if 0 < abs(value) < SMALL:
        digits, power = f"{value:.3e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    if NEAR_ONE < abs(value) < 1:
        # What counts of a decay is how far it is from 1: four digits would make .99995 a 1.
        places = 3 - math.floor(math.log10(1 - abs(value)))
        return f"{value:.{places}f}".rstrip("0")
    return f"{value:.4g}"


def settings_words(count: int) -> str:
    """Return ``1 setting``, ``7 settings``."""
    return "1 setting" if count == 1 else f"{count} settings"


def trajectories_words(count: int, trainings: int) -> str:
    """Return how many trajectories there are, and of how many trainings where some branch from one trunk."""
    said = f"{count} {'trajectory' if count == 1 else 'trajectories'}"
    if trainings == count:
        return said
    return f"{said} of {trainings} {'training' if trainings == 1 else 'trainings'}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def ends(low: float, high: float) -> str:
    """Return the ends of a rate's interval, in percent."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"
