"""Which points no other point beats, and the area that they cover.  Pure functions over arrays, lower is better."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ftstab.stats import Floats


def non_dominated(values: Floats) -> npt.NDArray[np.bool_]:
    """Return which of ``values`` [n, m] (lower is better) no other row beats; equals don't beat each other.

    Raises:
        ValueError: not a table, or numbers that aren't finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"shape {values.shape}: a table [n, m] of finite numbers is needed")
    return np.array(
        [not ((values <= v).all(axis=1) & (values < v).any(axis=1)).any() for v in values], dtype=np.bool_
    )


def hypervolume(values: Floats, reference: tuple[float, float]) -> float:
    """Return the area that ``values`` [n, 2] (lower is better) cover up to ``reference``.

    A point that isn't below the reference in both adds nothing.
    """
    inside = sorted((x, y) for x, y in np.asarray(values, dtype=np.float64).tolist() if x < reference[0])
    area, floor = 0.0, reference[1]
    for x, y in inside:
        if y < floor:
            area += (reference[0] - x) * (floor - y)
            floor = y
    return area
