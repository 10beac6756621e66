"""The sections of the report that show figures, and what stands under each figure.

Each adds itself to the page; what a figure shows is worked out elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from ftstab.arms.comparison import ArmsComparison
from ftstab.constraints import pick_limit
from ftstab.frontier import FrontierRow, Summary
from ftstab.frontier_classes import FrontierClass, FrontierClasses
from ftstab.outcome import Outcome
from ftstab.recipe_frontier import Recipes
from ftstab.report.arms import arms_section
from ftstab.report.categories import category_figure
from ftstab.report.draw import draw_categories, draw_frontier, draw_heat
from ftstab.report.draw_arms import arms_plot
from ftstab.report.draw_harm import association_plot, association_text, importance_plot
from ftstab.report.draw_rise import iso_harm_plot, levels_at_start, rise_plot
from ftstab.report.draw_runs import averages_width, draw_averages, draw_stability, draw_steps
from ftstab.report.escape import escape, prose
from ftstab.report.figures import Named, frontier_figure, gain_axis, measured_rate, named_text, rate_axis
from ftstab.report.heat import heat_figures
from ftstab.report.html import PANELS, Page
from ftstab.report.runs import Signals, average_figure, stability_figure, step_figure
from ftstab.spec import Study
from ftstab.stability import Stability
from ftstab.wording.caveats import stopped_text
from ftstab.wording.findings import classes_text
from ftstab.wording.numbers import percent
from ftstab.wording.utility import METRIC_WORDS


def add_settings(
    page: Page,
    rows: Sequence[FrontierRow],
    start: FrontierRow,
    summary: Summary,
    study: Study,
    classes: FrontierClasses | None,
    unseen: Collection[str],
    recipes: Recipes | None,
    named: Named | None,
) -> None:
    """Add the frontier, heat maps and categories; ``unseen``: categories without refusal demonstrations, ``named``: the
    setting that the report names."""
    page.section("The frontier" if len(study.seeds.search) == 1 else "The frontier of single runs")
    text = (
        "Each point is a setting, with 95 % intervals over prompts on both axes; lower and further right "
        "is better. The upper end counts incoherent and unscored answers against the setting. Settings whose "
        "gain interval includes 0 show no gain."
    )
    if summary.diverged:
        text += f" {summary.diverged} diverged settings have no numbers and stand in the table."
    if stopped := stopped_text(rows):
        text += f" {stopped[0].upper()}{stopped[1:]}."
    data = frontier_figure(rows, start, pick_limit(study), named)
    if data.named is not None:
        text += f" Ringed: {named_text(*data.named)}."
    if data.limit_text:
        text += f" Dashed: the {data.limit_text}, which `pick` holds upper ends against."
    if not data.all_intervals:
        text += " Intervals are drawn for the frontier and the start; for the others, point at one."
    if classes is not None:
        text += (
            " The line joins the settings that no other beats by the values measured. A grey dot is beaten by these "
            "values only: within its bounds it may be on the frontier (possibly on)."
        )
    if data.limit is not None:
        text += (
            " The upper end of a setting's interval must not lie above the dashed line for `pick` to name it."
        )
    page.plot("frontier", draw_frontier(data), text)
    notes = [
        f"Hypervolume {summary.hypervolume:.3f}: the area between the frontier and the reference point (rate "
        f"{percent(summary.reference['rate'], 0)}, gain {summary.reference['gain']:.0f})."
    ]
    if summary.secondary_disagrees and start.secondary:
        notes.append(
            f"Read with {METRIC_WORDS[start.secondary.metric]} instead, the frontier differs in "
            f"{summary.secondary_disagrees} of {summary.scored} settings."
        )
    elif summary.secondary_disagrees == 0 and start.secondary:
        notes.append(f"Read with {METRIC_WORDS[start.secondary.metric]} instead, the frontier is the same.")
    page.add(f'<p class="note">{prose(" ".join(notes))}</p>')
    if classes is not None and start.utility is not None:
        # Where recipes are compared, all runs of one carry its class.
        shared = recipes.rows if recipes is not None and classes.about == "recipes" else rows
        count = Counter(row.frontier_class for row in shared)
        names: tuple[FrontierClass, ...] = ("surely on", "possibly on", "surely not")
        told = ", ".join(f"{count[name]} {name}" for name in names)
        lines = "".join(f"<li>{prose(line)}</li>" for line in classes_text(classes, start.utility.metric))
        page.add(f'<div class="note"><b>How sure: {escape(told)}.</b><ul>{lines}</ul></div>')
    heat = heat_figures(rows, start)
    if heat:
        page.section("Learning rate × batch size")
    for grids in heat:
        what = "Rate" if grids.quantity == "rate" else "Gain over the start"
        text = f"{what} by learning rate and batch size, with its 95 % interval; a column per step. "
        text += (
            f"The start model: {percent(grids.start)}." if grids.quantity == "rate" else "The start model: 0."
        )
        if grids.sparse:
            text += " Empty: not run."
        if grids.omitted:
            text += f" {grids.omitted} grids are left out here; the table has them."
        squares = len(grids.panels[0]) * len(grids.learning_rates)
        page.plot(f"heat-{grids.quantity}", draw_heat(grids), text, max(PANELS, 70 * squares + 150))
    categories = category_figure(rows, start, unseen, study.evaluation.interval)
    if categories is not None:
        page.section("Categories of harmful prompts")
        most = max(c.n for c in categories.start.counts.values())
        text = (
            "Rates by category with 95 % intervals: frontier members by number, the start beside each. At "
            f"most {most} prompts a category, so the intervals are wide"
        )
        text += "; a limit on a category needs at least 50 prompts." if most < 50 else "."
        if categories.stopped:
            text += f" {categories.stopped} frontier members stopped early and have no rates by category."
        if categories.unseen:
            text += " † no refusal demonstrations of this category in the alignment rows."
        if categories.start.pooled:
            text += (
                " In bold: all prompts of the categories with demonstrations, and of those without, pooled."
            )
        if categories.omitted:
            text += f" {categories.omitted} frontier members are left out here."
        page.plot("categories", draw_categories(categories), text, PANELS)


def add_arms(page: Page, arms: ArmsComparison | str, start: Outcome, origin: FrontierRow) -> None:
    """Add what arms came to at equal utility, or why they aren't compared."""
    if isinstance(arms, str):
        page.add(f"<p>{prose(arms)}</p>")
        return
    plot = arms_plot(arms.lines, gain_axis(origin), rate_axis(origin), arms.start)
    if plot is not None:
        page.plot(plot.name, plot.figure, plot.text)
    page.add(arms_section(arms, start))


def add_training(page: Page, rows: Sequence[FrontierRow], start: FrontierRow, signals: Signals) -> None:
    """Add steps, averages and the stability of training."""
    if measured_rate(start) is None:
        page.add("<p>No answer of the start model could be scored, so nothing is compared with it here.</p>")
    steps = step_figure(rows, start)
    if steps is not None:
        page.section("Along the steps")
        text = "Rate and gain as training goes on, from the start model (★) at step 0, with 95 % intervals."
        unjoined = [line for panel in steps.panels for line in panel.lines if not line.joined]
        if any(len(line.points) > 2 for line in unjoined):
            text += " Points without a line come from separate trainings: the schedule reads its last step."
        if any(len(line.points) == 2 for line in unjoined):
            text += " An averaging with a single mark was measured at that step only."
        if steps.omitted:
            text += (
                f" {steps.omitted} choices of the trained parameters are left out here; the table has them."
            )
        page.plot("steps", draw_steps(steps), text, PANELS)
    averages = average_figure(rows, start)
    if averages is not None:
        page.section("Averaged against last weights")
        listed = averages.weights_listed
        text = (
            "Each line joins the last weights of one trajectory and step with their averages (intervals"
            f"{'' if listed else ' and the weight that each keeps on the start'}: point at a mark, or see the table). "
            f"An average that still holds part of the start model{' (right)' if listed else ''} lies closer to it: "
            "compare it with an earlier step of the same trajectory before crediting the averaging."
        )
        if averages.omitted:
            text += f" {averages.omitted} pairs are left out here; the table has them."
        page.plot("averages", draw_averages(averages), text, max(PANELS, averages_width(averages)))
    stability = stability_figure(rows, signals)
    if stability is not None:
        page.section("Stability of training")
        text = "Signals of every update; × marks a loss spike, or an update that wasn't finite."
        ended = [f"{line.title}: {line.diverged}" for line in stability.lines if line.diverged]
        if ended:
            text += f" Diverged: {'; '.join(ended)}."
        if stability.omitted:
            text += f" {stability.omitted} trajectories are left out here."
        page.plot("stability", draw_stability(stability), text, PANELS)


def add_harm(page: Page, data: Stability) -> None:
    """Add what goes with harm, how it rises, and which axes decide it."""
    page.section("What goes with harm")
    rise = None if data.exponents is None else rise_plot(data.rises, data.exponents)
    if data.associations.none_because is not None:
        page.add(f'<p class="note">{prose(association_text(data.associations))}</p>')
    if data.exponents is None:
        page.add(
            '<p class="note">The continuous safety loss wasn\'t measured (evaluation.margin), so nothing is said of '
            "the power that harm rises with.</p>"
        )
    curves = iso_harm_plot(data.curves)
    if curves is None and (had := levels_at_start(data.curves)):
        page.add(f'<p class="note">Steps until a level of harm is reached: {prose(had)}</p>')
    plots = (
        association_plot(data.associations),
        rise,
        curves,
        importance_plot(data.importances),
    )
    for plot in plots:
        if plot is not None:
            page.plot(plot.name, plot.figure, plot.text, PANELS)
