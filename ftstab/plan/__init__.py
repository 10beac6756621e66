"""From a study to the trajectories it needs: what is shared, what it costs.  Pure; free of torch."""

from ftstab.plan.arms import filled, strength_of
from ftstab.plan.axes import AxisFreedom, axis_freedoms
from ftstab.plan.cost import Calls, Cost, Workload, estimate, longest_first, open_work
from ftstab.plan.fresh import fresh_plan, fresh_seeds, recipe_key, setting_recipe
from ftstab.plan.plan import (
    TRUNK_SCHEDULE,
    Job,
    Plan,
    Setting,
    Trajectory,
    idle_fields,
    part_of,
    start_precision,
    study_profiles,
    trunk_key,
)
from ftstab.plan.points import (
    Point,
    carried,
    planned_settings,
    point_choices,
    point_jobs,
    read_steps,
    reads_horizon,
    study_plan,
)

__all__ = [
    "TRUNK_SCHEDULE",
    "AxisFreedom",
    "Calls",
    "Cost",
    "Job",
    "Plan",
    "Point",
    "Setting",
    "Trajectory",
    "Workload",
    "axis_freedoms",
    "carried",
    "estimate",
    "filled",
    "fresh_plan",
    "fresh_seeds",
    "idle_fields",
    "longest_first",
    "open_work",
    "part_of",
    "planned_settings",
    "point_choices",
    "point_jobs",
    "read_steps",
    "reads_horizon",
    "recipe_key",
    "setting_recipe",
    "start_precision",
    "strength_of",
    "study_plan",
    "study_profiles",
    "trunk_key",
]
