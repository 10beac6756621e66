"""Which trajectory is trained next.  Pure but for Optuna's samplers; knows neither store, nor Ray, nor torch."""

from ftstab.search.dimensions import Dimension, dimensions
from ftstab.search.expected import expected_points
from ftstab.search.proposals import Told, propose
from ftstab.search.search import Search, stalled
from ftstab.search.told import check_scorable, told_outcomes

__all__ = [
    "Dimension",
    "Search",
    "Told",
    "check_scorable",
    "dimensions",
    "expected_points",
    "propose",
    "stalled",
    "told_outcomes",
]
