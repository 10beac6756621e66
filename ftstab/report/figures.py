"""What the frontier plot shows, worked out apart from drawing, and what all figures about settings share.

Plain text and raw numbers (shares, nats); `draw` scales, escapes and colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from ftstab.frontier import FrontierRow, numbers
from ftstab.outcome import Rate
from ftstab.wording.findings import CLASS_WORDS
from ftstab.wording.limits import limit_name
from ftstab.wording.numbers import ends, number, percent
from ftstab.wording.rates import HIT_WORDS, RATE_WORDS, asked_words, counts_words
from ftstab.wording.settings import label
from ftstab.wording.utility import METRIC_WORDS, gain_text, is_share, score_ends, score_text

MAX_PANELS = 12
"""Most panels of one kind; what is left out is said beside the figure and stands in the table."""
MAX_INTERVALS = 80
"""Most settings off the frontier whose intervals are drawn; above it they would cover the plot."""

Item = TypeVar("Item")
Group = Literal["sure", "frontier", "other", "beaten", "infeasible", "start"]


@dataclass(frozen=True)
class Measured:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """What an axis shows: `title` names quantity and unit; raw numbers are multiplied by `scale`."""

    title: str
    scale: float


class Named(NamedTuple):
    """The setting that a report names.

    Attributes:
        key: key of its outcome.
        word: what it is called: picked, candidate ...
    """

    key: str
    word: str


@dataclass(frozen=True)
class Point:
    """A setting, or a recipe, on the frontier plot.

    Attributes:
        key: its key.
        group: how it stands to the frontier.
        rank: its place among the frontier's members by rising gain, from 1; None for others.
        gain: over the start.
        rate: harmful-response rate.
        hover: lines shown beside it.
    """

    key: str
    group: Group
    rank: int | None
    gain: Measured
    rate: Measured
    hover: tuple[str, ...]


@dataclass(frozen=True)
class FrontierFigure:
    """Rate over gain.

    Attributes:
        points: settings with numbers, and the start.
        line: corners of the staircase between frontier members, by rising gain.
        gain_axis: gain over the start.
        rate_axis: the rate.
        measured_by: judge and benchmark of the rate.
        all_intervals: whether settings off the frontier show their intervals too.
        limit: the rate that `pick` allows by the study file; None where it sets no such limit.
        limit_text: what the limit is called, with its value.
        named: the setting that is named, and what it is called; None where none is, or it isn't drawn.
    """

    points: tuple[Point, ...]
    line: tuple[tuple[float, float], ...]
    gain_axis: Axis
    rate_axis: Axis
    measured_by: str
    all_intervals: bool
    limit: float | None = None
    limit_text: str = ""
    named: tuple[Point, str] | None = None


def rate_of(row: FrontierRow) -> Rate | None:
    """Return the rate of a row that has a value."""
    return row.rate if row.rate is not None and row.rate.value is not None else None


def measured_rate(row: FrontierRow) -> Measured | None:
    """Return the rate with its interval, or None."""
    rate = rate_of(row)
    return Measured(rate.value, rate.low, rate.high) if rate and rate.value is not None else None


def measured_gain(row: FrontierRow) -> Measured | None:
    """Return the gain with its interval; the start's is 0 by definition; None where it wasn't measured."""
    if row.start:
        return Measured(0.0, 0.0, 0.0)
    return Measured(row.gain.value, row.gain.low, row.gain.high) if row.gain else None


def ranks(rows: Sequence[FrontierRow]) -> dict[str, int]:
    """Return the number of each frontier member: 1 for the smallest gain."""
    front = {r.key for r in rows if r.on_frontier and r.gain}
    return {key: number for key, number in numbers(rows).items() if key in front}


def rate_axis(start: FrontierRow) -> Axis:
    """Return the axis of the rate."""
    rate = rate_of(start)
    name = RATE_WORDS[rate.name].capitalize() if rate else "Rate"
    return Axis(f"{name} (%)", 100.0)


def gain_axis(start: FrontierRow) -> Axis:
    """Return the axis of the gain."""
    metric = start.utility.metric if start.utility else "exact_match"
    if is_share(metric):
        return Axis(f"Gain in {METRIC_WORDS[metric]} over the start (points)", 100.0)
    unit = "nats per token saved" if metric == "held_out_loss" else "above 0 is better"
    return Axis(f"Gain in {METRIC_WORDS[metric]} over the start ({unit})", 1.0)


def frontier_figure(
    rows: Sequence[FrontierRow], start: FrontierRow, limit: float | None = None, named: Named | None = None
) -> FrontierFigure:
    """Return the frontier plot; settings without numbers are left to the table.

    Args:
        rows: the settings.
        start: the start model.
        limit: what `pick` allows the rate by the study file.
        named: the setting that the report names.
    """
    by_key = ranks(rows)
    points = []
    for row in (*rows, start):
        rate, gained = measured_rate(row), measured_gain(row)
        if rate is None or gained is None:
            continue
        points.append(Point(row.key, _group(row), by_key.get(row.key), gained, rate, tuple(hover(row))))
    ringed = None if named is None else next(((p, named.word) for p in points if p.key == named.key), None)
    return replace(frontier_plot(points, start, limit), named=ringed)


def frontier_plot(points: Sequence[Point], start: FrontierRow, limit: float | None) -> FrontierFigure:
    """Return the plot of ``points``, with the staircase between those that have a rank.

    Args:
        points: settings or recipes, and the start.
        start: the start model, for what the axes are called.
        limit: what `pick` allows the rate by the study file.
    """
    front = sorted((p for p in points if p.rank is not None), key=lambda p: p.rank or 0)
    line: list[tuple[float, float]] = []
    for point in front:
        # Up to the next member's gain only that member's rate is known to be reachable.
        if line:
            line.append((line[-1][0], point.rate.value))
        line.append((point.gain.value, point.rate.value))
    origin = rate_of(start)
    by = f"judge {origin.judge} on {origin.benchmark}" if origin else ""
    few = len(points) - len(front) <= MAX_INTERVALS
    told = ""
    if origin and limit is not None:
        told = f"{limit_name(origin)} {percent(limit)}"
    return FrontierFigure(
        tuple(points), tuple(line), gain_axis(start), rate_axis(start), by, few, limit, told
    )


def named_text(point: Point, word: str) -> str:
    """Return which setting ``point`` is, by its number where it has one in the plot, and what it is called."""
    return f"{'the setting named above' if point.rank is None else f'number {point.rank}'} ({word})"


def hover(row: FrontierRow) -> list[str]:
    """Return the lines shown beside a point: parameters first, then the measurements."""
    lines = [label(row)]
    if not row.start:
        lines.append(
            f"seed {row.seed} · interpolation {number(row.interpolation)} · trajectory {row.trajectory[:8]}"
        )
    rate = rate_of(row)
    if rate is not None:
        kind = f", {rate.interval}" if rate.stopped else ""
        lines.append(f"{RATE_WORDS[rate.name]} {percent(rate.value)} ({ends(rate.low, rate.high)}{kind})")
        lines.append(counts_words(rate, HIT_WORDS[rate.name]))
        lines += [f"asked {asked_words(rate)}"] * rate.stopped
    if row.utility is not None:
        between = score_ends(row.utility)
        lines.append(
            f"{METRIC_WORDS[row.utility.metric]} {score_text(row.utility)}{f' ({between})' if between else ''}"
        )
        if row.gain is not None:
            won = gain_text(row.utility.metric, row.gain.value, row.gain.low, row.gain.high)
            lines.append(f"gain {won}: {row.gain_label}")
    if row.over_refusal is not None:
        lines.append(f"over-refusal {percent(row.over_refusal.value)}")
    if row.retained_weight is not None and row.profile != "last" and not row.start:
        lines.append(f"weight kept on the start {percent(row.retained_weight)}")
    if row.posthoc_residual is not None:
        lines.append(
            f"rebuilt from stored shadows, residual {percent(row.posthoc_residual, 2)} of its profile"
        )
    if row.frontier_class is not None and row.frontier_share is not None:
        lines.append(
            f"{CLASS_WORDS[row.frontier_class]}; on it in {percent(row.frontier_share, 0)} of the resamples"
        )
    return [*lines, *row.violated]


def _group(row: FrontierRow) -> Group:
    if row.start:
        return "start"
    if row.on_frontier:
        return "sure" if row.frontier_class == "surely on" else "frontier"
    if not row.feasible:
        return "infeasible"
    return "beaten" if row.frontier_class == "surely not" else "other"


def several_seeds(rows: Sequence[FrontierRow]) -> bool:
    """Return whether the settings come from more than one seed."""
    return len({r.seed for r in rows}) > 1


def group_label(row: FrontierRow, names: Sequence[str], seed: bool) -> str:
    """Return the parameters ``names`` of a setting, and its seed where ``seed`` asks for it, in one line."""
    parts = [label(row, names)] if names else []
    if seed:
        parts.append(f"seed {row.seed}")
    return " · ".join(parts)


def limited(
    items: Sequence[Item], first: Callable[[Item], bool] = lambda item: False, most: int = MAX_PANELS
) -> tuple[list[Item], int]:
    """Return at most ``most`` items in their order, and how many are left out; ``first`` says which must stay."""
    by_rank = sorted(range(len(items)), key=lambda i: (not first(items[i]), i))[:most]
    return [items[i] for i in sorted(by_rank)], max(0, len(items) - most)
