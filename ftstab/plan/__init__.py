"""From a study to the trajectories it needs: what is shared, what it costs.  Pure; free of torch."""

from ftstab.plan.axes import AxisFreedom, axis_freedoms
from ftstab.plan.cost import Calls, Cost, Workload, estimate, longest_first
from ftstab.plan.fresh import fresh_plan, fresh_seeds, part_of, recipe_key, setting_recipe
from ftstab.plan.plan import Job, Plan, Setting, Trajectory, make_plan

__all__ = [
    "AxisFreedom",
    "Calls",
    "Cost",
    "Job",
    "Plan",
    "Setting",
    "Trajectory",
    "Workload",
    "axis_freedoms",
    "estimate",
    "fresh_plan",
    "fresh_seeds",
    "longest_first",
    "make_plan",
    "part_of",
    "recipe_key",
    "setting_recipe",
]
