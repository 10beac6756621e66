"""Intervals, tests and simultaneous bounds: pure functions over counts and arrays, lower end first.

Nothing here reads files or rounds.  What draws random numbers takes a seed and repeats itself exactly.
"""

from ftstab.stats.association import (
    MeanTest,
    WithinCorrelation,
    benjamini_yekutieli,
    mean_test,
    within_rank_correlation,
)
from ftstab.stats.curves import (
    MIN_CURVE_SEEDS,
    Mean,
    crossed_mean,
    mean_weights,
    reach,
    rising_blocks,
)
from ftstab.stats.interval import Floats, Interval, Values
from ftstab.stats.leaving_out import crossed_margin, left_out
from ftstab.stats.means import mean_interval, rank_correlation, ratio_interval, t_interval
from ftstab.stats.proportions import (
    LEVEL,
    NEWCOMBE_PAIRED,
    NEWCOMBE_UNPAIRED,
    Method,
    clopper_pearson,
    discordant_lower,
    method_label,
    newcombe_paired,
    newcombe_unpaired,
    proportion,
    wilson,
)
from ftstab.stats.seeds import MIN_SEEDS, NewRun, new_run, new_run_difference
from ftstab.stats.significance import benjamini_hochberg, mcnemar_exact
from ftstab.stats.simultaneous import Bounds, paired_bounds

__all__ = [
    "LEVEL",
    "MIN_CURVE_SEEDS",
    "MIN_SEEDS",
    "NEWCOMBE_PAIRED",
    "NEWCOMBE_UNPAIRED",
    "Bounds",
    "Floats",
    "Interval",
    "Mean",
    "MeanTest",
    "Method",
    "NewRun",
    "Values",
    "WithinCorrelation",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "clopper_pearson",
    "crossed_margin",
    "crossed_mean",
    "discordant_lower",
    "left_out",
    "mcnemar_exact",
    "mean_interval",
    "mean_test",
    "mean_weights",
    "method_label",
    "new_run",
    "new_run_difference",
    "newcombe_paired",
    "newcombe_unpaired",
    "paired_bounds",
    "proportion",
    "rank_correlation",
    "ratio_interval",
    "reach",
    "rising_blocks",
    "t_interval",
    "wilson",
    "within_rank_correlation",
]
