"""Faults of a study file that concern its search and its axes together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ftstab.errors import nearest
from ftstab.spec.search import PRESETS, Hopeless, Range, Search
from ftstab.spec.training import RANGED_AXES, Axes, Training


def search_faults(search: Search, axes: Axes, training: Training, seeds: int = 1) -> Iterator[str]:
    """Yield what is wrong with ``search`` and the axes that it moves in, each with its dotted path.

    Args:
        search: how settings are chosen.
        axes: the axes of the study.
        training: what isn't varied.
        seeds: search seeds, so many trajectories each point takes.
    """
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
        yield from _preset_faults(f"search.presets.{i}", preset, axes, searched, training)
    if search.batch_prior != "none" and not {"learning_rate", "batch_size"} <= set(searched):
        yield "search.batch_prior: `sqrt` ties learning_rate to batch_size, but both aren't searched; search both"
    if search.batch_prior != "none" and search.sampler == "random":
        yield "search.batch_prior: not with `sampler: random`, which ties nothing; use `quasi_random`, or take it out"
    if search.hopeless is not None:
        yield from _hopeless_faults(search.hopeless, axes, training)
    budget = search.budget.trajectories if search.budget else None
    if budget is not None and budget < seeds * max(1, len(search.presets)):
        wanted = f"{len(search.presets)} presets come first" if search.presets else "a point comes"
        each = f", each with {seeds} seeds" if seeds > 1 else ""
        yield (
            f"search.budget.trajectories: given {budget}, but {wanted}{each}; give at least "
            f"{seeds * max(1, len(search.presets))}"
        )


def _hopeless_faults(hopeless: Hopeless, axes: Axes, training: Training) -> Iterator[str]:
    """Why nothing could ever be left early."""
    schedules = axes.of("schedule") or [training.schedule]
    if "constant" not in schedules:
        yield (
            f"search.hopeless: nothing can be left early with schedule {' or '.join(schedules)}, whose trajectories "
            "are read once, at their end; take it out, or use `constant`"
        )
    elif sum(step >= hopeless.from_step for step in axes.steps) < 2:
        yield (
            f"search.hopeless: nothing can be left early, for no step of axes.steps {axes.steps} comes after one that "
            f"is judged (from_step {hopeless.from_step}); take it out, or give a smaller step"
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
        said = _refused(name, value)
        if said is not None:
            yield f"axes.{name}: given {end:g} as an end; {said}"


def _refused(name: str, value: Any) -> str | None:
    """Why ``value`` is none of the field ``name`` of `training`; None where it is one, or there is no such field."""
    try:
        Training.model_validate({name: value} if name in Training.model_fields else {})
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        return f"{said[:1].lower()}{said[1:]}"
    return None


def _preset_faults(
    where: str, preset: str | Mapping[str, Any], axes: Axes, searched: list[str], training: Training
) -> Iterator[str]:
    if isinstance(preset, str):
        if preset not in PRESETS:
            known = ", ".join(PRESETS)
            yield f"{where}: given {preset!r}{nearest(preset, PRESETS)}; known: {known}, or values of searched axes"
            return
        values: Mapping[str, Any] = {n: v for n, v in PRESETS[preset].items() if n in searched}
        for name, value in PRESETS[preset].items():
            fixed = (axes.of(name) or [getattr(training, name)])[0]
            if name not in searched and fixed != value:
                yield (
                    f"{where}: {preset} has {name} {value!r}, but the study has {fixed!r}; search {name}, set it to "
                    f"{value!r}, or write the values that you want in place of {preset}"
                )
    else:
        values = preset
    for name, value in values.items():
        if name not in searched:
            yield f"{where}.{name}: not searched{nearest(name, searched)}; searched: {', '.join(searched)}"
            continue
        span, listed = axes.range(name), (axes.ema_decay if name == "ema_decay" else axes.of(name)) or []
        said = _refused(name, value)
        if said is not None:
            yield f"{where}.{name}: given {value!r}; {said}"
            continue
        if span is None and value not in listed:
            yield f"{where}.{name}: {value!r} isn't among axes.{name} {listed}; add it there, or leave the preset out"
        if span is not None and not (value is not None and span.low <= value <= span.high):
            yield (
                f"{where}.{name}: {value!r} isn't between {span.low:g} and {span.high:g} (axes.{name}); widen the "
                "range, or leave the preset out"
            )
