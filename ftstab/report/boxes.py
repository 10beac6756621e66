"""The boxes at the top of the report, as HTML: what isn't measured, statements, the study's numbers.  Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftstab.constraints import pick_limit
from ftstab.frontier import FrontierRow, Summary
from ftstab.report.escape import escape, prose
from ftstab.spec import Study
from ftstab.unfinished import OpenTrajectory, Unfinished
from ftstab.wording.limits import constraints_words, limit_name
from ftstab.wording.numbers import ends, percent, trajectories_words
from ftstab.wording.rates import RATE_WORDS, rate_basis
from ftstab.wording.utility import METRIC_WORDS, score_basis, score_ends, score_text


def missing_box(unfinished: Unfinished) -> str:
    """Return what isn't measured: what failed by itself, the rest folded, because there may be much of it."""

    def lines(some: Sequence[OpenTrajectory]) -> str:
        return "<ul>" + "".join(f"<li>{prose(t.line)}</li>" for t in some) + "</ul>" if some else ""

    waiting = lines(unfinished.waiting)
    if waiting:
        waiting = (
            f"<details><summary>{len(unfinished.waiting)} not run to the end</summary>{waiting}</details>"
        )
    lead = f"{unfinished.done} of {unfinished.planned} planned settings are done. {unfinished.text}"
    return f'<div class="statement"><p>{prose(lead)}</p>{lines(unfinished.failed)}{waiting}</div>'


def statement_box(text: str) -> str:
    """Return a text of ours with its first sentence as the lead and the others as a list."""
    lead, *rest = re.split(r"(?<=\.) (?=[A-Z])", text)
    lines = "".join(f"<li>{prose(line)}</li>" for line in rest)
    return f'<div class="statement"><p>{prose(lead)}</p>{f"<ul>{lines}</ul>" if lines else ""}</div>'


def facts_box(start: FrontierRow, summary: Summary, study: Study, planned: int) -> str:
    """Return counts of settings and the rates and scores of the start.

    Args:
        start: the start model.
        summary: the frontier in numbers.
        study: the study.
        planned: settings of its plan, which may be more than are measured.
    """
    rate, utility, over = start.rate, start.utility, start.over_refusal
    kept = constraints_words(study, rate) if rate is not None else None
    limit = pick_limit(study)
    facts = [
        (
            "Settings",
            str(summary.settings) + (f" of {planned}" if planned > summary.settings else ""),
            f"from {trajectories_words(summary.trajectories, summary.trainings)} (training runs); "
            f"{summary.scored} scored, {summary.diverged} diverged",
        ),
        (
            "On the frontier",
            f"{summary.frontier_settings} of {summary.feasible}",
            f"{f'settings that keep {kept}' if kept else 'scored settings'}, from "
            f"{trajectories_words(summary.frontier_trajectories, summary.frontier_trainings)}",
        ),
    ]
    if rate is not None:
        if limit is not None and summary.within_limit is not None:
            told = f"upper end at most {percent(limit)}{', the other constraints kept' if kept else ''}"
            facts.append(
                (f"Within the {limit_name(rate)}", f"{summary.within_limit} of {summary.scored}", told)
            )
        facts.append(
            (
                f"Start: {RATE_WORDS[rate.name]}",
                percent(rate.value),
                f"{ends(rate.low, rate.high)}, {rate_basis(rate)}; search half",
            )
        )
    if utility is not None:
        between = ", ".join(filter(None, (score_ends(utility), score_basis(utility))))
        facts.append(
            (f"Start: {METRIC_WORDS[utility.metric]}", score_text(utility), f"{between}; search half")
        )
    if over is not None:
        facts.append(
            (
                "Start: over-refusal",
                percent(over.value),
                f"{ends(over.low, over.high)}, {rate_basis(over)}; search half",
            )
        )
    cards = "".join(
        f"<div><dt>{escape(term)}</dt><dd><b>{escape(value)}</b><span>{escape(note)}</span></dd></div>"
        for term, value, note in facts
    )
    return f'<dl class="facts">{cards}</dl>'
