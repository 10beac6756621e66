"""The report of a study: what stands on the page, and in which order.

Every text from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ftstab.arms.comparison import ArmsComparison
from ftstab.constraints import pick_limit
from ftstab.fresh_rows import FreshRecipe
from ftstab.frontier import FrontierRow, numbers, start_row, summarise, with_classes
from ftstab.judging.study import Correction
from ftstab.judging.wording import correction_text
from ftstab.outcome import Outcome
from ftstab.recipe_frontier import recipe_frontier
from ftstab.report.boxes import facts_box, missing_box, statement_box
from ftstab.report.draw import draw_frontier
from ftstab.report.escape import escape, prose
from ftstab.report.figures import Named
from ftstab.report.fresh import FRESH_TEXT, fresh_table
from ftstab.report.html import Page, write_page
from ftstab.report.recipes import recipes_caption, recipes_figure, recipes_table
from ftstab.report.record import answer, question, record, shared_fields
from ftstab.report.runs import Signals
from ftstab.report.searched import search_plot, search_table
from ftstab.report.sections import add_arms, add_harm, add_settings, add_training
from ftstab.report.table import outcome_table
from ftstab.search.history import History
from ftstab.spec import Study
from ftstab.stability import Stability
from ftstab.unfinished import Unfinished
from ftstab.wording.caveats import caption, limits
from ftstab.wording.findings import recipes_text, search_text
from ftstab.wording.limits import limits_text


def write_report(
    rows: Sequence[FrontierRow],
    outcomes: Sequence[Outcome],
    start: Outcome,
    study: Study,
    signals: Signals,
    path: str | Path,
    statements: Sequence[str],
    made_with: Mapping[str, str],
    unseen_categories: Collection[str] = (),
    errors: Correction | None = None,
    arms: ArmsComparison | str | None = None,
    stability: Stability | None = None,
    searched: History | None = None,
    unfinished: Unfinished | None = None,
    fresh: Sequence[FreshRecipe] = (),
    named: Named | None = None,
) -> None:
    """Write the report of a study to ``path``, replacing a file there at once or not at all.

    Args:
        rows: what `frontier.frontier_rows` made of ``outcomes``.
        outcomes: the settings, for what their records share.
        start: the outcome of the start model.
        study: the study.
        signals: training signals by trajectory.
        path: the file; its folder is made if need be.
        statements: sentences to show at the top, such as those of `pick.pick_text`.
        made_with: version, command and the like, as shown in the record.
        unseen_categories: categories of harmful prompts without refusal demonstrations.
        errors: what labels of the answers say of the judge; None where there are none.
        arms: the study's arms at equal utility, or why they aren't compared; None where it defines none.
        stability: what goes with harm; None leaves it out.
        searched: what the study's search has asked; None where it doesn't search.
        unfinished: what is planned and not measured; None says nothing of a plan.
        fresh: recipes that were trained again with fresh seeds.
        named: the setting that the statements name, ringed on the frontier.
    """
    measured = (rows, outcomes, start, study, signals, statements, made_with)
    write_page(
        render(*measured, unseen_categories, errors, arms, stability, searched, unfinished, fresh, named),
        path,
    )


def render(
    rows: Sequence[FrontierRow],
    outcomes: Sequence[Outcome],
    start: Outcome,
    study: Study,
    signals: Signals,
    statements: Sequence[str],
    made_with: Mapping[str, str],
    unseen_categories: Collection[str] = (),
    errors: Correction | None = None,
    arms: ArmsComparison | str | None = None,
    stability: Stability | None = None,
    searched: History | None = None,
    unfinished: Unfinished | None = None,
    fresh: Sequence[FreshRecipe] = (),
    named: Named | None = None,
) -> str:
    """Return the page of `write_report` as text."""
    origin = start_row(start, study)
    rows, classes = with_classes(rows, outcomes, study)
    summary = summarise(rows)
    page = Page()
    page.add(f'<h1>{escape(study.study)}</h1><p class="question">{escape(question(origin))}</p>')
    if unfinished is not None and unfinished.trajectories:
        page.add(missing_box(unfinished))
    recipes = recipe_frontier(rows, outcomes, start, study)
    if recipes is not None:
        page.add(f'<p class="answer">{prose(recipes_text(recipes, origin))}</p>')
    page.add(f'<p class="answer">{prose(answer(rows, origin, summary, study))}</p>')
    if origin.rate is not None and (told := " ".join(limits_text(summary, study, origin.rate))):
        page.add(f"<p>{prose(told)}</p>")
    demonstration = caption(study)
    if demonstration:
        page.add(f'<p class="demonstration">{prose(demonstration)}</p>')
    for text in statements:
        page.add(statement_box(text))
    page.add(
        facts_box(origin, summary, study, summary.settings if unfinished is None else unfinished.planned)
    )
    if recipes is not None:
        page.section("The frontier of recipes")
        data = recipes_figure(recipes, origin, pick_limit(study))
        page.plot("recipes", draw_frontier(data), recipes_caption(recipes, origin))
        page.add(recipes_table(recipes, origin))
    add_settings(page, rows, origin, summary, study, classes, unseen_categories, recipes, named)
    if searched is not None and searched.asked:
        page.section("The search", search_text(searched))
        plot = search_plot(searched)
        page.plot(plot.name, plot.figure, plot.text)
        page.add(search_table(searched))
    if arms is not None:
        page.section("Arms at equal utility")
        add_arms(page, arms, start, origin)
    add_training(page, rows, origin, signals)
    if stability is not None:
        add_harm(page, stability)
    if fresh:
        page.section("Fresh seeds", FRESH_TEXT)
        page.add(fresh_table(fresh, numbers(rows), origin))
    page.section(
        "All settings",
        "Sort by any column. The start model stays on top; settings on the frontier by point values are shaded "
        'and have a yes under "by point values?".',
    )
    if errors is not None and errors.labellers:
        told = " ".join(correction_text(errors))
        page.add(f'<p class="note"><b>The judge\'s own errors.</b> {prose(told)}</p>')
    page.add(outcome_table(rows, origin, errors, unseen_categories, study.evaluation.interval, named))
    page.section("How it was measured")
    page.add(_terms(record(rows, start, study, made_with)))
    if fields := shared_fields(start, outcomes):
        page.add(
            f"<details><summary>{len(fields)} fields of the settings' records</summary>{_terms(fields)}</details>"
        )
    page.section("What this doesn't say")
    name = start.rates["harmful"].name
    asked = isinstance(arms, ArmsComparison) and any(pair.look is not None for pair in arms.pairs)
    page.add("<ul>" + "".join(f"<li>{prose(text)}</li>" for text in limits(study, name, asked)) + "</ul>")
    return page.html(f"{study.study}: frontier")


def _terms(pairs: Sequence[tuple[str, str]]) -> str:
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in pairs)
    return f'<dl class="record">{terms}</dl>'
