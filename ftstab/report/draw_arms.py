"""Drawing arms as lines of harm over gain, with the caption; the data come from `ftstab.arms.lines`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ftstab.arms.lines import ArmLine, StartPoint
from ftstab.report.draw import INK, figure, lines_of, mark_of, style_axes
from ftstab.report.draw_harm import Plot
from ftstab.report.escape import escape
from ftstab.report.figures import Axis
from ftstab.wording.numbers import number, percent


def arms_plot(lines: Sequence[ArmLine], gain: Axis, rate: Axis, start: StartPoint) -> Plot | None:
    """Draw the arms, the mean over the seeds thick and each seed thin; None where there are none.

    Args:
        lines: the arms.
        gain: the axis of gains.
        rate: the axis of rates.
        start: the start model; where it is from another half than the arms, its name says so.
    """
    if not lines:
        return None
    fig = go.Figure(layout=figure(480))
    for i, line in enumerate(lines):
        color, _ = mark_of(i)
        for x, y in zip(line.gains, line.rates, strict=True):
            fig.add_trace(
                _trace(x, y, gain, rate, name=escape(line.name), hoverinfo="skip")
                .update(mode="lines", line={"color": color, "width": 1}, opacity=0.35)
                .update(legendgroup=str(i), showlegend=False)
            )
    for i, line in enumerate(lines):
        color, symbol = mark_of(i)
        gains, rates = line.means()
        fig.add_trace(
            _trace(gains, rates, gain, rate, name=escape(_named(line)), hoverinfo="text").update(
                mode="lines+markers",
                line={"color": color, "width": 3},
                marker={"color": color, "size": 9, "symbol": symbol},
                hovertext=[lines_of(_hover(line, n)) for n in range(len(gains))],
                legendgroup=str(i),
            )
        )
    name = "start model" if lines[0].half == start.half else "start model (search half)"
    fig.add_trace(
        _trace([0.0], [start.rate.value], gain, rate, name=name, hoverinfo="text").update(
            mode="markers", marker={"color": INK, "size": 15, "symbol": "star"}, hovertext=[name]
        )
    )
    fig.update_xaxes(title_text=escape(gain.title))
    fig.update_yaxes(title_text=escape(rate.title), rangemode="tozero")
    style_axes(fig)
    return Plot("arms", fig, _text(lines))


def _trace(x: Sequence[float], y: Sequence[float | None], gain: Axis, rate: Axis, **more: Any) -> Any:
    return go.Scatter(
        x=[gain.scale * v for v in x], y=[None if v is None else rate.scale * v for v in y], **more
    )


def _named(line: ArmLine) -> str:
    if line.strength is None:
        return line.name
    ends = dict.fromkeys((line.strengths[0], line.strengths[-1]))
    return f"{line.name} ({line.strength} {' to '.join(map(number, ends))})"


def _hover(line: ArmLine, place: int) -> list[str]:
    rates = [rate for row in line.rates if (rate := row[place]) is not None]
    what = line.name
    if line.strength is not None:
        what += f": {line.strength} {number(line.strengths[place])}"
    if not rates:
        return [what, "nothing could be scored"]
    low, high = percent(min(rates)), percent(max(rates))
    return [what, f"mean of {len(rates)} seeds {percent(float(np.mean(rates)))}, from {low} to {high}"]


def _text(lines: Sequence[ArmLine]) -> str:
    half = "confirmation" if lines[0].half == "confirm" else "search"
    return (
        f"Each arm from its setting nearest to the start to its peak of utility: rate on the {half} half, gain on the "
        f"search half. Thick: means over {len(lines[0].seeds)} seeds, a mark for each strength. Thin: the seeds, as "
        "the comparison reads them before it pools neighbours whose gain falls. At the same gain, lower is less "
        "harmful. How sure a difference is stands in the table, not in the figure."
    )
