"""Studies with a search, and told settings of a made-up problem."""

from __future__ import annotations

from typing import Any

import yaml

from ftstab.plan import Point, reads_horizon
from ftstab.search import Search, Told
from ftstab.spec import Study, parse_study


def study(search: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **axes: Any) -> Study:
    """A study whose search moves in ``axes``."""
    options = {"method": "optuna", "budget": {"trajectories": 12}} | (search or {})
    whole = {
        "learning_rate": [1e-5, 1e-4, 1e-3],
        "batch_size": [4, 16],
        "steps": [5, 10],
        "ema_decay": [0, 0.9],
    }
    text = {
        "study": "searched",
        "base": {"model": "none"},
        "data": {"train": "builtin:tasks"},
        "training": training or {},
        "axes": whole | axes,
        "search": options,
    }
    return parse_study(yaml.safe_dump(text))


def tell(search: Search, point: Point, harm: float, loss: float) -> list[Told]:
    """Every setting that is read off ``point``, all with the same figures."""
    alone = reads_horizon(search.study, point.choices)
    free = [d for d in search.space if not d.trained]
    places: list[dict[str, Any]] = [dict(point.choices)]
    for dimension in free:
        values = dimension.values
        if dimension.name == "steps":
            values = tuple(s for s in values if s == point.steps or (s < point.steps and not alone))
        places = [{**place, dimension.name: value} for place in places for value in values]
    return [Told(place, (harm, loss), {}, str(sorted(point.choices.items()))) for place in places]
