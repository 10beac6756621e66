"""Outcomes with nothing measured, for tests that give them the one thing they are about."""

from __future__ import annotations

from typing import Any

from ftstab.outcome import Outcome, Profile


def bare_outcome(key: str = "k", **fields: Any) -> Outcome:
    """A scored outcome of the last weights after one update; ``fields`` are whatever the test is about."""
    plain: dict[str, Any] = {
        "key": key,
        "setting": key,
        "trajectory": "t",
        "attempt": "a",
        "status": "scored",
        "training": {},
        "seed": 0,
        "step": 1,
        "profile": Profile(kind="last"),
        "interpolation": 1.0,
    }
    return Outcome(**plain | fields)
