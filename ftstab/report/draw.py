"""Drawing the figures about settings with plotly.  All text is escaped here, at the last moment.

Hover text is given as plain `hovertext`, never as a template: a template would read `%{...}` in a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from ftstab.report.categories import CategoryFigure, CategoryMember
from ftstab.report.escape import escape
from ftstab.report.figures import Axis, FrontierFigure, Group, Measured, Point
from ftstab.report.heat import Cell, HeatFigure
from ftstab.wording.numbers import ends, percent
from ftstab.wording.rates import counts_words

# Okabe and Ito's colours, told apart with every common kind of colour blindness; without the pale yellow.
BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")
INK, GREY, PALE = "#1a1a1a", "#767676", "#e4e4e4"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HARM_SCALE = [[0.0, "#fff7ec"], [0.35, "#fdbb84"], [0.7, "#d7541f"], [1.0, "#7f1d00"]]
GAIN_SCALE = [[0.0, "#8c510a"], [0.25, "#dfc27d"], [0.5, "#f7f7f7"], [0.75, "#80b8d8"], [1.0, "#08519c"]]
NAMES: dict[Group, str] = {
    "beaten": "surely not on the frontier",
    "other": "beaten by point values, but not surely",
    "infeasible": "settings that break a constraint",
    "frontier": "on the frontier by point values, numbered by gain",
    "sure": "surely on the frontier",
    "start": "start model",
}


POOLED = ("with demonstrations", "without them †")
"""What the categories with and without refusal demonstrations are called where they are pooled."""
TITLE_WIDTH = 112
"""Characters that the titles of a row of panels may take together."""
TOP_LEGEND = {"y": 1.0, "yref": "container", "yanchor": "top"}
"""A legend at the very top, above the titles of panels."""


def figure(height: int, **layout: Any) -> dict[str, Any]:
    """Return the layout that all figures share."""
    return {
        "template": "none",
        "height": height,
        "autosize": True,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 64, "r": 20, "t": 40, "b": 56},
        "hoverlabel": {
            "bgcolor": "white",
            "bordercolor": GREY,
            "align": "left",
            "font": {"color": INK, "size": 12},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 12}},
        **layout,
    }


def lines_of(text: Sequence[str]) -> str:
    """Return lines of plain text as one label."""
    return "<br>".join(escape(line) for line in text)


def mark_of(place: int) -> tuple[str, str]:
    """Return colour and symbol of the series number ``place``; the first 36 all look different."""
    # Past the colours the symbols go on by one.
    return PALETTE[place % len(PALETTE)], SYMBOLS[(place + place // len(PALETTE)) % len(SYMBOLS)]


def style_axes(fig: Any) -> None:
    """Give every axis the same quiet grid."""
    both = {
        "title_font_size": 13,
        "title_standoff": 10,
        "tickfont_size": 12,
        "gridcolor": PALE,
        "zeroline": False,
        "linecolor": GREY,
        "showline": True,
        "ticks": "outside",
        "tickcolor": GREY,
        "automargin": True,
    }
    fig.update_xaxes(**both)
    fig.update_yaxes(**both)


def bars(values: Sequence[Measured], scale: float, color: str, width: float = 1.5) -> dict[str, Any]:
    """Return error bars from intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (m.high - m.value) for m in values],
        "arrayminus": [scale * (m.value - m.low) for m in values],
        "color": color,
        "thickness": width,
        "width": 0,
    }


def span(values: Sequence[float], scale: float, floor: float | None = None) -> list[float]:
    """Return an axis range around ``values`` with a little room; around 0 where nothing could be scored."""
    low, high = scale * min(values, default=0.0), scale * max(values, default=0.0)
    room = 0.05 * (high - low) or 1.0
    return [low - room if floor is None else floor - room / 2, high + room]


def draw_frontier(data: FrontierFigure) -> Any:
    """Draw rate over gain: intervals on both axes, the start, the staircase of the frontier."""
    fig = go.Figure(layout=figure(560))
    x_scale, y_scale = data.gain_axis.scale, data.rate_axis.scale
    looks: dict[Group, dict[str, Any]] = {
        "beaten": {
            "color": "#9a9a9a",
            "size": 8,
            "symbol": "x-thin",
            "line": {"width": 2, "color": "#9a9a9a"},
        },
        "other": {"color": "#9a9a9a", "size": 8, "symbol": "circle"},
        "infeasible": {"color": "#9a9a9a", "size": 9, "symbol": "circle-open", "line": {"width": 1.5}},
        "frontier": {"color": BLUE, "size": 19, "symbol": "circle", "line": {"width": 1, "color": "white"}},
        "sure": {"color": BLUE, "size": 20, "symbol": "circle", "line": {"width": 3, "color": INK}},
        "start": {"color": INK, "size": 15, "symbol": "star"},
    }
    fig.add_trace(
        go.Scatter(
            x=[x_scale * x for x, _ in data.line],
            y=[y_scale * y for _, y in data.line],
            mode="lines",
            line={"color": BLUE, "width": 2},
            hoverinfo="skip",
            showlegend=False,
            name="frontier line",
        )
    )
    groups: tuple[Group, ...] = ("beaten", "other", "infeasible", "frontier", "sure", "start")
    together = _together(data.points)
    for group in groups:
        points = [p for p in data.points if p.group == group]
        if points:
            trace = _points(points, group, looks[group], x_scale, y_scale)
            if group in ("frontier", "sure"):
                _number(trace, points, together)
            if group == "infeasible" and data.limit is not None:
                trace.name += " other than the limit"
            if group in ("beaten", "other", "infeasible") and not data.all_intervals:
                trace.error_x = trace.error_y = None
            fig.add_trace(trace)
    if data.named is not None:
        point, word = data.named
        fig.add_trace(
            go.Scatter(
                x=[x_scale * point.gain.value],
                y=[y_scale * point.rate.value],
                mode="markers",
                marker={"color": GREEN, "size": 28, "symbol": "circle-open", "line": {"width": 3}},
                hoverinfo="skip",
                name=escape(word),
            )
        )
    drawn = [] if data.limit is None else [data.limit]
    fig.update_xaxes(
        title_text=escape(data.gain_axis.title),
        range=span([e for p in data.points for e in (p.gain.low, p.gain.high)], x_scale),
    )
    fig.update_yaxes(
        title_text=f"{escape(data.rate_axis.title)}<br>{escape(data.measured_by)}",
        range=span([e for p in data.points for e in (p.rate.low, p.rate.high)] + drawn, y_scale, floor=0.0),
    )
    style_axes(fig)
    if data.limit is not None:
        fig.add_hline(
            y=y_scale * data.limit,
            line={"color": ORANGE, "width": 1.5, "dash": "dash"},
            annotation={"text": escape(data.limit_text), "font": {"color": ORANGE, "size": 12}},
            annotation_position="top right",
        )
    fig.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    fig.add_annotation(
        text="better ↘",
        xref="paper",
        yref="paper",
        x=0.995,
        y=0.02,
        showarrow=False,
        font={"color": GREY, "size": 13},
    )
    return fig


def _together(points: Sequence[Point]) -> dict[tuple[float, float], list[int]]:
    """The numbers of the frontier's members by their place: those that measured the same share a mark."""
    found: dict[tuple[float, float], list[int]] = {}
    for point in points:
        if point.rank is not None:
            found.setdefault((point.gain.value, point.rate.value), []).append(point.rank)
    return {place: sorted(numbers) for place, numbers in found.items()}


def _number(trace: Any, points: Sequence[Point], together: Mapping[tuple[float, float], list[int]]) -> None:
    """Write the numbers of ``points`` into their marks, and those of a shared mark beside it."""
    texts, where, colors = [], [], []
    for point in points:
        numbers = together[point.gain.value, point.rate.value]
        shared = len(numbers) > 1
        text = ", ".join(map(str, numbers)) if point.rank == numbers[0] else ""
        texts.append(text)
        where.append("top right" if shared else "middle center")
        colors.append(BLUE if shared else "white")
    trace.update(mode="markers+text", text=texts, textposition=where, textfont={"color": colors, "size": 11})


def _points(points: list[Point], group: Group, look: dict[str, Any], x_scale: float, y_scale: float) -> Any:
    blue = "rgba(0,114,178,0.75)"
    shade = {"frontier": blue, "sure": blue, "start": INK}.get(group, "rgba(120,120,120,0.28)")
    return go.Scatter(
        x=[x_scale * p.gain.value for p in points],
        y=[y_scale * p.rate.value for p in points],
        error_x=bars([p.gain for p in points], x_scale, shade),
        error_y=bars([p.rate for p in points], y_scale, shade),
        mode="markers",
        marker=look,
        hovertext=[lines_of(p.hover) for p in points],
        hoverinfo="text",
        name=NAMES[group],
    )


def draw_heat(data: HeatFigure) -> Any:
    """Draw grids of learning rate × batch size, one per step and averaging, on one colour scale."""
    rows, columns = len(data.panels), len(data.panels[0])
    each, gap = max(92, 46 * len(data.batch_sizes)), 36
    fig = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=gap / (rows * (each + gap)),
        subplot_titles=[escape(panel.title) for line in data.panels for panel in line],
        x_title="Learning rate",
        y_title="Batch size",
    )
    harm = data.quantity == "rate"
    values = [
        c.measured.value for line in data.panels for p in line for row in p.cells for c in row if c.measured
    ]
    reach = max([abs(v) for v in values] + [abs(data.start), 1e-9])
    for i, line in enumerate(data.panels, start=1):
        for j, panel in enumerate(line, start=1):
            absent = "" if data.sparse else "not run"
            for trace in _heat_panel(panel.cells, data.axis.scale, reach, harm, absent):
                fig.add_trace(trace, row=i, col=j)
    fig.update_layout(
        **figure(
            rows * (each + gap) + 100,
            coloraxis={
                "colorscale": HARM_SCALE if harm else GAIN_SCALE,
                "cmin": 0 if harm else -data.axis.scale * reach,
                "cmax": data.axis.scale * reach,
                "colorbar": {
                    "title": {"text": _unit(data.axis), "side": "top"},
                    "thickness": 12,
                    "outlinewidth": 0,
                    "tickfont": {"size": 12},
                },
            },
            margin={"l": 72, "r": 20, "t": 44, "b": 64},
            showlegend=False,
        )
    )
    style_axes(fig)
    for axes in (fig.update_xaxes, fig.update_yaxes):
        axes(showgrid=False, ticks="", showline=False)
    for axes, labels in ((fig.update_xaxes, data.learning_rates), (fig.update_yaxes, data.batch_sizes)):
        places = list(range(len(labels)))
        axes(tickvals=places, ticktext=[escape(t) for t in labels], range=[-0.5, len(labels) - 0.5])
    fig.update_annotations(font_size=13)
    return fig


def _unit(axis: Axis) -> str:
    """The unit in an axis title, without what follows it."""
    return axis.title[axis.title.rindex("(") + 1 : -1].split(" ")[0]


def _heat_panel(
    cells: tuple[tuple[Cell, ...], ...], scale: float, reach: float, harm: bool, absent: str
) -> tuple[Any, Any]:
    """The colours, and the words on them."""
    squares = go.Heatmap(
        z=[[scale * c.measured.value if c.measured else None for c in line] for line in cells],
        hoverinfo="skip",
        coloraxis="coloraxis",
        xgap=2,
        ygap=2,
    )
    placed = [(x, y, c) for y, line in enumerate(cells) for x, c in enumerate(line)]
    words = go.Scatter(
        x=[x for x, _, _ in placed],
        y=[y for _, y, _ in placed],
        mode="text",
        text=[_cell_text(c, scale, absent) for _, _, c in placed],
        textfont={
            "size": 12,
            "color": [
                GREY if c.measured is None else _words_color(c.measured.value / reach, harm)
                for _, _, c in placed
            ],
        },
        hovertext=[lines_of(c.hover) for _, _, c in placed],
        hoverinfo="text",
    )
    return squares, words


def _words_color(share: float, harm: bool) -> str:
    """Black or white, what stands out more on a cell of ``share`` of the largest value: contrast 4.58 and more.

    Source: Web Content Accessibility Guidelines 2.2, relative luminance and contrast ratio.
    """
    scale, place = (HARM_SCALE, share) if harm else (GAIN_SCALE, (1 + share) / 2)
    (cell,) = sample_colorscale(scale, [min(1.0, max(0.0, place))], colortype="tuple")
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in cell]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _cell_text(cell: Cell, scale: float, absent: str) -> str:
    if cell.measured is None:
        return {"diverged": "diverged", "unscored": "no score"}.get(cell.state, absent)
    digits = 0 if scale == 100 else 2
    value, low, high = (scale * v for v in (cell.measured.value, cell.measured.low, cell.measured.high))
    return f"<b>{value:.{digits}f}</b><br>{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")


def draw_categories(data: CategoryFigure) -> Any:
    """Draw rates by category with intervals: a panel per frontier member, the start in each."""
    members: Sequence[CategoryMember | None] = data.members or (None,)
    down, across = grid(len(members))
    whole = POOLED[: len(data.start.pooled)]
    each, gap = 25 * (len(data.categories) + len(whole)) + 20, 88
    fig = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=gap / (down * (each + gap)),
        x_title=escape(data.axis.title),
        subplot_titles=[wrapped(f"{m.rank}: {m.label}", TITLE_WIDTH // across) if m else "" for m in members],
    )
    for i, member in enumerate(members):
        row, column = i // across + 1, i % across + 1
        fig.add_trace(_category_trace(data, data.start, -0.17, show=i == 0), row=row, col=column)
        if member is not None:
            fig.add_trace(_category_trace(data, member, 0.17, show=i == 0), row=row, col=column)
    names = [f"<b>{escape(name)}</b>" for name in whole]
    names += [escape(f"{c} †" if c in data.unseen else c) for c in data.categories]
    if whole:
        fig.add_hline(y=len(whole) - 0.5, line={"color": GREY, "width": 1}, row="all", col="all")
    fig.update_layout(**figure(down * (each + gap) + 70, margin={"l": 64, "r": 20, "t": 96, "b": 60}))
    fig.update_layout(legend=TOP_LEGEND)
    style_axes(fig)
    fig.update_xaxes(range=[-3, 103], tickvals=[0, 25, 50, 75, 100])
    fig.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.4, -0.6])
    fig.update_annotations(font_size=12)
    return fig


def _category_trace(data: CategoryFigure, who: CategoryMember, shift: float, show: bool) -> Any:
    whole = list(zip(POOLED, who.pooled, strict=False))
    known = [(i, c, n) for i, (c, n) in enumerate(whole)]
    known += [
        (i, c, who.counts[c]) for i, c in enumerate(data.categories, start=len(whole)) if c in who.counts
    ]
    points = [(i, c, n, Measured(n.value, n.low, n.high)) for i, c, n in known if n.value is not None]
    start = who.rank is None
    color = GREY if start else BLUE
    return go.Scatter(
        x=[data.axis.scale * m.value for _, _, _, m in points],
        y=[i + shift for i, _, _, _ in points],
        error_x=bars([m for _, _, _, m in points], data.axis.scale, color),
        mode="markers",
        marker={"color": color, "size": 9 if start else 8, "symbol": "star" if start else "circle"},
        hovertext=[
            lines_of(
                (who.label, c, f"{percent(n.value)} ({ends(n.low, n.high)})", counts_words(n, data.word))
            )
            for _, c, n, _ in points
        ],
        hoverinfo="text",
        name="start model" if start else "frontier member",
        legendgroup="start" if start else "member",
        showlegend=show,
    )


def grid(panels: int, widest: int = 4) -> tuple[int, int]:
    """Return rows and columns for ``panels``, evenly; up to one more than ``widest`` stay in one row."""
    down = 1 if panels <= widest + 1 else -(-panels // widest)
    return down, -(-panels // down)


def wrapped(title: str, width: int = 30) -> str:
    """Escape ``title`` and break it, at its dots where it has some, so that it fits above a narrow panel."""
    separator = " · " if " · " in title else " "
    lines: list[str] = []
    for part in title.split(separator):
        if lines and len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1] += separator + part
        else:
            lines.append(part)
    return lines_of(lines)
