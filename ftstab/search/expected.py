"""What a search may come to ask, for estimates before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.plan import Point
from ftstab.search.search import Search
from ftstab.spec import Study


def expected_points(study: Study, asked: Sequence[Point] = ()) -> list[Point]:
    """Return as many points as the budget of ``study`` has trajectories (one more, if it is in hours).

    They are those ``asked`` so far, then presets and quasi-random ones, spread as evenly as a sampler may ask.
    """
    budget = study.search.budget
    assert budget is not None
    spread = study.search.model_copy(update={"sampler": "quasi_random"})
    search = Search(study.model_copy(update={"search": spread}))
    most = (budget.trajectories or 0) // len(study.seeds.search)
    points = list(asked)
    most = max(most, 1) if budget.trajectories else len(points) + 1
    while len(points) < most and (point := search.next(points, [])) is not None:
        points.append(point)
    return points
