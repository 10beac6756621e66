"""Faults of a study file that concern its search and its axes together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ftstab.errors import nearest
from ftstab.spec.search import PRESETS, Range, Search
from ftstab.spec.training import RANGED_AXES, Axes, Training


def search_faults(search: Search, axes: Axes, training: Training) -> Iterator[str]:
    """Yield what is wrong with ``search`` and the axes that it moves in, each with its dotted path."""
    ranges = {name: span for name in RANGED_AXES if (span := axes.range(name)) is not None}
    for name, span in ranges.items():
        if search.method == "grid":
            yield f"axes.{name}: a range needs `search: {{method: optuna, ...}}`; a grid takes a list of values"
        yield from _range_faults(name, span)
    if search.method == "grid":
        return
    if axes.of("ema_mode") is not None:
        yield "axes.ema_mode: not with a search, whose axes must mean the same everywhere; fix it under `training`"
    fed_back = training.ema_mode == "feedback"
    searched = [n for n in axes.trained() if axes.varied(n)] + (["ema_decay"] if fed_back else [])
    if not searched:
        yield (
            "axes: no trained axis has several values, so there is nothing to search; give one (steps and averages are "
            "read off every trajectory anyway), or `search: {method: grid}`"
        )
    for i, preset in enumerate(search.presets):
        yield from _preset_faults(f"search.presets.{i}", preset, axes, searched)
    if search.batch_prior != "none" and not {"learning_rate", "batch_size"} <= set(searched):
        yield "search.batch_prior: `sqrt` ties learning_rate to batch_size, but both aren't searched; search both"
    budget = search.budget.trajectories if search.budget else None
    if budget is not None and budget < len(search.presets):
        yield (
            f"search.budget.trajectories: given {budget}, but {len(search.presets)} presets come first; give at least "
            "as many"
        )


def _range_faults(name: str, span: Range) -> Iterator[str]:
    """What the ends of a range may not be."""
    ends = [span.low, span.high]
    if Training.model_fields[name].annotation is int:
        whole = [math.ceil(span.low), math.floor(span.high)]
        if whole[0] >= whole[1]:
            yield f"axes.{name}: fewer than two whole numbers lie between {span.low:g} and {span.high:g}"
            return
        ends = [float(end) for end in whole]
    for end in ends:
        value: Any = int(end) if Training.model_fields[name].annotation is int else end
        try:
            Training(**{name: value})
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            yield f"axes.{name}: given {end:g} as an end; {said[:1].lower()}{said[1:]}"


def _preset_faults(
    where: str, preset: str | Mapping[str, Any], axes: Axes, searched: list[str]
) -> Iterator[str]:
    if isinstance(preset, str):
        if preset not in PRESETS:
            known = ", ".join(PRESETS)
            yield f"{where}: given {preset!r}{nearest(preset, PRESETS)}; known: {known}, or values of searched axes"
            return
        values: Mapping[str, Any] = {n: v for n, v in PRESETS[preset].items() if n in searched}
    else:
        values = preset
    for name, value in values.items():
        if name not in searched:
            yield f"{where}.{name}: not searched{nearest(name, searched)}; searched: {', '.join(searched)}"
            continue
        span, listed = axes.range(name), axes.of(name) or []
        if span is None and value not in listed:
            yield f"{where}.{name}: {value!r} isn't among axes.{name} {listed}; add it there, or leave the preset out"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if span is not None and not (number and span.low <= value <= span.high):
            yield (
                f"{where}.{name}: {value!r} isn't between {span.low:g} and {span.high:g} (axes.{name}); widen the "
                "range, or leave the preset out"
            )
