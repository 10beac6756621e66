"""Stability analysis: what goes with harm, how harm rises, and what decides it.  Pure functions over outcomes.

Trajectories are the units, never settings, which are strongly related, and of branches of one trunk, which are too, one
trajectory alone (measurement rules 8 and 21).  Importing this loads neither torch nor Optuna.
"""

from ftstab.stability.associations import Association, Associations, associations
from ftstab.stability.found import Stability, stability_of
from ftstab.stability.importance import Importance, importances
from ftstab.stability.isoharm import Crossing, IsoHarm, iso_harm
from ftstab.stability.rise import CLAIMED_POWER, Exponents, Rise, exponents, rises
from ftstab.stability.units import HARMS, Unit, Units, noise_scale, spike_rate, trajectory_units

__all__ = [
    "CLAIMED_POWER",
    "HARMS",
    "Association",
    "Associations",
    "Crossing",
    "Exponents",
    "Importance",
    "IsoHarm",
    "Rise",
    "Stability",
    "Unit",
    "Units",
    "associations",
    "exponents",
    "importances",
    "iso_harm",
    "noise_scale",
    "rises",
    "spike_rate",
    "stability_of",
    "trajectory_units",
]
