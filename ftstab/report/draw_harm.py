"""Drawing what goes with harm and which axes decide it, each figure with its caption; the data come from
`ftstab.stability`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ftstab.report.draw import GREY, INK, PALETTE, TOP_LEGEND, figure, lines_of, style_axes, wrapped
from ftstab.report.escape import escape
from ftstab.stability import HARMS, Association, Associations, Importance
from ftstab.stability.associations import FALSE_DISCOVERY
from ftstab.wording.numbers import percent, trajectories_words
from ftstab.wording.rates import RATE_WORDS
from ftstab.wording.utility import METRIC_WORDS

MAX_ROWS = 24
"""Most associations that one panel shows, strongest first."""
NO_CLAIM = "no relation shown"
"""What is said of a correlation that isn't claimed."""
_WORDS = {
    "changed_share": "weights changed",
    "distance": "distance from the start",
    "first_token_kl/harmful": "first-token KL, harmful prompts",
    "first_token_kl/ordinary": "first-token KL, ordinary prompts",
    "grad_norm": "gradient norm",
    "noise_scale": "gradient-noise scale",
    "relative_distance": "relative distance",
    "spike_rate": "loss-spike rate",
    "train_loss": "training loss",
    "update_ratio": "update-to-weight ratio",
}


@dataclass(frozen=True)
class Plot:
    """A drawn figure: its name on the page, the figure, and its caption (plain text)."""

    name: str
    figure: Any
    text: str


def association_plot(data: Associations) -> Plot | None:
    """Draw correlations with their intervals, a panel per measure of harm; None where there are none."""
    if not data.found:
        return None
    panels = {h: [a for a in data.found if a.harm == h] for h in HARMS}
    panels = {h: rows for h, rows in panels.items() if rows}
    most = max(min(len(rows), MAX_ROWS) for rows in panels.values())
    fig = make_subplots(
        rows=1,
        cols=len(panels),
        horizontal_spacing=0.22 if len(panels) > 1 else 0.0,
        subplot_titles=[f"with the {measure_words(_measure(data, h))}" for h in panels],
    )
    for column, rows in enumerate(panels.values(), start=1):
        shown = rows[:MAX_ROWS]
        for claimed in (True, False):
            some = [(y, a) for y, a in enumerate(shown) if (a.claim != "not shown") == claimed]
            fig.add_trace(_association_trace(some, claimed, show=column == 1), row=1, col=column)
        fig.add_vline(x=0, line={"color": INK, "width": 1}, row=1, col=column)
        fig.update_yaxes(
            tickvals=list(range(len(shown))),
            ticktext=[escape(diagnostic_words(a.diagnostic)) for a in shown],
            range=[most - 0.4, -0.6],
            row=1,
            col=column,
        )
    fig.update_xaxes(range=[-1.05, 1.05], title_text="Spearman's correlation<br>within learning rate")
    fig.update_layout(**figure(22 * most + 190, margin={"l": 64, "r": 20, "t": 92, "b": 70}))
    fig.update_layout(legend=TOP_LEGEND)
    style_axes(fig)
    fig.update_annotations(font_size=13)
    return Plot("associations", fig, association_text(data))


def association_text(data: Associations) -> str:
    """Return the caption of the correlations, or why there are none."""
    if data.none_because is not None:
        return f"Diagnostics against harm: {data.none_because}."
    units = data.units
    where, within = f"step {units.step}", "learning rate"
    if units.examples is not None:
        where = f"{units.examples} examples"
    elif units.step is None:
        where, within = "each trajectory's last step", "learning rate and step"
    text = (
        f"Diagnostics of {len(units.units)} trajectories against their harm, last weights at {where}: Spearman's "
        f"correlation within {within}, combined, with 95 % intervals over trajectories. Filled: the interval "
        f"leaves 0 out and the permutation test holds at a false-discovery rate of {percent(FALSE_DISCOVERY, 0)} over "
        f"all {len(data.found)} correlations. Hollow: no relation shown, which doesn't say that there is none."
    )
    if any(abs(a.rho) == 1 for a in data.found):
        text += (
            " The interval of a correlation of 1 (or −1) ends there, and begins where that of the next smaller one "
            "begins which so many trajectories can have."
        )
    counts = {h: sum(a.harm == h for a in data.found) for h in HARMS}
    cut = [(h, count) for h, count in counts.items() if count > MAX_ROWS]
    if cut:
        told = " and of ".join(f"{count} with the {measure_words(_measure(data, h))}" for h, count in cut)
        text += f" Only the {MAX_ROWS} strongest are drawn of {told}."
    if units.early is not None:
        text += f" Diagnostics were read at step {units.early}."
    if units.step is not None and len({unit.batch_size for unit in units.units}) > 1:
        text += " Batch sizes are compared at equal steps, so larger ones have seen more examples."
    for count, why in (
        (units.diverged, "diverged"),
        (units.unmeasured, "without a number for their last weights"),
    ):
        if count:
            text += f" {count} trainings {why} are left out."
    if units.branches:
        text += (
            f" {units.branches} more trajectories share a trunk with one of these, so they are left out too."
        )
    return text


def _measure(data: Associations, harm: str) -> str | None:
    """The name of a measure of harm: the rate has that of its judge (measurement rule 1)."""
    return data.units.rate if harm == "rate" else harm


def measure_words(name: str | None) -> str:
    """Return a measure of harm or utility in words."""
    return (RATE_WORDS | METRIC_WORDS | {"safety_loss": "safety loss"}).get(
        name or "", "rate of harmful prompts"
    )


def diagnostic_words(name: str) -> str:
    """Return what a diagnostic is called in figures."""
    if name.startswith("distance/"):
        return f"distance, {name.removeprefix('distance/')}"
    return _WORDS.get(name, name.replace("_", " "))


def _claim_words(found: Association) -> str:
    return NO_CLAIM if found.claim == "not shown" else found.claim


def _association_trace(some: Sequence[tuple[int, Association]], claimed: bool, show: bool) -> Any:
    color = PALETTE[0] if claimed else GREY
    return go.Scatter(
        x=[a.rho for _, a in some],
        y=[y for y, _ in some],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [a.high - a.rho for _, a in some],
            "arrayminus": [a.rho - a.low for _, a in some],
            "color": color,
            "thickness": 1.5,
            "width": 0,
        },
        mode="markers",
        marker={"color": color, "size": 9, "symbol": "circle" if claimed else "circle-open"},
        hovertext=[
            lines_of(
                (
                    diagnostic_words(a.diagnostic),
                    f"{a.rho:.2f} ({a.low:.2f} to {a.high:.2f}), p {a.p:.2g}, adjusted {a.adjusted:.2g}",
                    f"{a.trajectories} trajectories at {a.learning_rates} learning rates: {_claim_words(a)}",
                )
            )
            for _, a in some
        ],
        hoverinfo="text",
        name="rises or falls with harm" if claimed else NO_CLAIM,
        legendgroup=str(claimed),
        showlegend=show,
    )


def importance_plot(data: Sequence[Importance]) -> Plot | None:
    """Draw the importance of every axis, a panel per objective; None without any."""
    if not data:
        return None
    fig = make_subplots(
        rows=1,
        cols=len(data),
        shared_yaxes=False,
        horizontal_spacing=0.16,
        subplot_titles=[wrapped(measure_words(one.objective), 26) for one in data],
    )
    most = max(len(one.axes) for one in data)
    for column, one in enumerate(data, start=1):
        names = list(one.axes)
        ends = None
        if one.low:
            ends = {
                "type": "data",
                "symmetric": False,
                "array": [max(0.0, one.high[n] - one.axes[n]) for n in names],
                "arrayminus": [max(0.0, one.axes[n] - one.low[n]) for n in names],
                "color": INK,
                "thickness": 1.5,
                "width": 0,
            }
        fig.add_trace(
            go.Bar(
                x=[one.axes[n] for n in names],
                y=[escape(n.replace("_", " ")) for n in names],
                error_x=ends,
                orientation="h",
                marker={"color": PALETTE[column % len(PALETTE)]},
                hovertext=[lines_of((n, f"{one.axes[n]:.2f}")) for n in names],
                hoverinfo="text",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
    fig.update_yaxes(autorange="reversed")
    fig.update_xaxes(range=[0, 1.05], title_text="importance")
    fig.update_layout(**figure(34 * most + 150, margin={"l": 64, "r": 20, "t": 56, "b": 56}))
    style_axes(fig)
    fig.update_annotations(font_size=13)
    text = (
        "PED-ANOVA: how far one axis alone tells the best quarter of the settings (and ties) from all; by objective, "
        "shares of an objective sum to 1. "
    )
    if any(one.low for one in data):
        text += "Bars on bars: 95 % of resamples of whole trajectories, branches with their trunk. "
    text += "; ".join(
        f"{measure_words(one.objective)}: {one.best} best of {one.settings} settings, "
        f"{trajectories_words(one.trajectories, one.trainings)}"
        for one in data
    )
    return Plot("importance", fig, f"{text}.")
