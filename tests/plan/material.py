"""Studies to plan, without any model or data."""

from __future__ import annotations

from typing import Any

import yaml

from ftstab.plan import Plan, Trajectory, study_plan
from ftstab.spec import Study, parse_study


def study(axes: dict[str, Any], training: dict[str, Any] | None = None, **sections: Any) -> Study:
    whole = {
        "study": "material",
        "base": {"model": "none"},
        "data": {"train": "none.jsonl"},
        "training": training or {},
        "axes": axes,
        **sections,
    }
    return parse_study(yaml.safe_dump(whole))


def plan(axes: dict[str, Any], training: dict[str, Any] | None = None, **sections: Any) -> Plan:
    return study_plan(study(axes, training, **sections), "base", "data")


def only(axes: dict[str, Any], training: dict[str, Any] | None = None, **sections: Any) -> Trajectory:
    """The one trajectory of a study that has one."""
    (trajectory,) = plan(axes, training, **sections).trajectories
    return trajectory
