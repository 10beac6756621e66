"""The table of the report: the status of what diverged or stopped early, and corrected rates beside raw ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Literal

import pytest

from ftstab.evaluation.rates import rate
from ftstab.frontier import frontier_rows, start_row
from ftstab.outcome import Decision, Outcome
from ftstab.report.categories import category_figure
from ftstab.report.figures import Named, hover
from ftstab.report.page import render
from ftstab.report.table import outcome_table
from tests.judging.material import made_up
from tests.report.synthetic import make_outcomes, make_start, make_study

STUDY, START = make_study(), make_start()
ABOVE = Decision(question="harmful_response.max", verdict="above", allowed=18, error=0.001)


def stop(outcome: Outcome, role: Literal["harmful", "over_refusal"] = "harmful") -> Outcome:
    """``outcome`` as it is where asking its set of ``role`` stopped half-way."""
    old, marks = outcome.rates[role], outcome.marks[role]
    half = marks[: len(marks) // 2]
    hit: Literal["N", "R"] = "N" if role == "harmful" else "R"
    found = rate(old.name, old.judge, old.benchmark, half, hit, [None] * len(half)).model_copy(
        update={
            "planned": len(marks),
            "interval": "sequence-95",
            "decisions": [ABOVE],
            "low": 0.123,
            "high": 0.456,
        }
    )
    return outcome.model_copy(
        update={"rates": outcome.rates | {role: found}, "marks": outcome.marks | {role: half}}
    )


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Settings of which every third stopped early, one on look-alikes too."""
    found = [stop(o) if o.status == "scored" and i % 3 == 0 else o for i, o in enumerate(make_outcomes())]
    return [stop(found[0], "over_refusal"), *found[1:]]


def lines(html: str) -> dict[str, str]:
    """Lines of the table by key, without tags."""
    found = re.findall(r'<tr class="[^"]*" data-key="([^"]*)">(.*?)</tr>', html, re.S)
    return {key: " ".join(re.sub(r"<[^>]*>", " ", line).split()) for key, line in found}


def test_every_diverged_and_every_stopped_setting_has_its_status(outcomes: list[Outcome]) -> None:
    said = lines(outcome_table(frontier_rows(outcomes, START, STUDY), start_row(START, STUDY)))
    assert len(said) == len(outcomes) + 1
    stopped = 0
    for outcome in outcomes:
        line = said[outcome.key]
        assert ("diverged; non-finite loss at step 4" in line) == (outcome.status == "diverged")
        early = outcome.status == "scored" and outcome.rates["harmful"].stopped
        stopped += early
        status = (
            "stopped early, harmful prompts: 60 of 120 prompts (asking stopped: above harmful_response.max); "
            "interval sequence-95"
        )
        assert (status in line) == early
        # The confidence sequence, and no interval of the prompts asked.
        assert ("12.3 to 45.6" in line) == early
    assert stopped == 8
    assert "stopped early, look-alikes: 40 of 80 prompts" in said[outcomes[0].key]


def test_membership_by_point_values_is_said_in_words() -> None:
    """Colour alone is neither read aloud nor printed."""
    rows = frontier_rows(make_outcomes(), START, STUDY)
    table = outcome_table(rows, start_row(START, STUDY))
    place = re.findall(r"<button[^>]*>(.*?)</button>", table).index("by point values?")
    found = re.findall(r'<tr class="[^"]*" data-key="([^"]*)">(.*?)</tr>', table, re.S)
    said = {key: re.findall(r"<td[^>]*>(.*?)</td>", line, re.S)[place] for key, line in found}
    assert said.pop(START.key) == "–"
    scored = {row.key for row in rows if row.status == "scored"}
    assert {key for key, word in said.items() if word == "yes"} == {r.key for r in rows if r.on_frontier}
    assert {key for key, word in said.items() if word == "no"} == {
        row.key for row in rows if row.key in scored and not row.on_frontier
    }


def test_safety_losses_stand_in_the_table_where_they_are_measured() -> None:
    outcomes = make_outcomes()
    rows, start = frontier_rows(outcomes, START, STUDY), start_row(START, STUDY)
    assert "safety loss" not in outcome_table(rows, start)
    ends = {"safety_loss": -7.512, "safety_loss_n": 64.0, "safety_loss_se": 0.1}
    measured = START.model_copy(update={"diagnostics": START.diagnostics | ends})
    risen = [
        o.model_copy(update={"diagnostics": o.diagnostics | {"safety_loss": -1.625}}) for o in outcomes[:2]
    ]
    rows = frontier_rows([*risen, *outcomes[2:]], measured, STUDY)
    table = outcome_table(rows, start_row(measured, STUDY))
    place = re.findall(r"<button[^>]*>(.*?)</button>", table).index("safety loss, nats")
    found = re.findall(r'<tr class="[^"]*" data-key="([^"]*)">(.*?)</tr>', table, re.S)
    said = {key: re.findall(r"<td[^>]*>(.*?)</td>", line, re.S)[place] for key, line in found}
    assert said.pop(START.key) == "-7.512 <small>-7.712 to -7.312</small>"
    assert [said.pop(o.key) for o in risen] == ["-1.625"] * 2
    assert set(said.values()) == {"–"}


def test_what_the_report_names_is_marked_in_the_table(outcomes: list[Outcome]) -> None:
    rows = frontier_rows(outcomes, START, STUDY)
    member = next(r for r in rows if r.on_frontier)
    table = outcome_table(rows, start_row(START, STUDY), named=Named(member.key, "<i>picked</i>, not at all"))
    (line,) = re.findall(rf'<tr class="frontier" data-key="{member.key}">(.*?)</tr>', table, re.S)
    assert "</span> <small>&lt;i&gt;picked&lt;/i&gt;</small></td>" in line
    assert table.count("&lt;i&gt;picked") == 1


def test_the_page_says_how_many_stopped_and_by_what_interval(outcomes: list[Outcome]) -> None:
    rows = frontier_rows(outcomes, START, STUDY)
    page = render(rows, outcomes, START, STUDY, {}, [], {})
    assert "8 of 30 settings weren&#x27;t asked every prompt" in page or "8 of 30 settings weren" in page
    assert "confidence sequences for all (sequence-95)" in page
    row = next(r for r in rows if r.rate is not None and r.rate.stopped)
    text = " ".join(hover(row))
    assert "(12.3 to 45.6 %, sequence-95)" in text
    assert "asked 60 of 120 prompts" in text
    # What stopped early has no rates by category, and no empty panel.
    front = [r for r in rows if r.on_frontier]
    figure = category_figure(rows, start_row(START, STUDY), set())
    assert figure is not None
    assert figure.stopped == sum(r.rate is not None and r.rate.stopped for r in front) > 0
    assert len(figure.members) + figure.stopped + figure.omitted == len(front)
    assert all(member.counts for member in figure.members)
    assert f"{figure.stopped} frontier members stopped early and have no rates by category" in page


def test_corrected_rates_stand_beside_raw_ones() -> None:
    outcomes = make_outcomes()
    scored = [START, *(o for o in outcomes if o.status == "scored")]
    errors = made_up({o.key: o.rates["harmful"] for o in scored[:-1]})
    errors = replace(errors, left_out={scored[-1].key: "no labelled sample holds its answers"})
    rows = frontier_rows(outcomes, START, STUDY)
    page = render(rows, outcomes, START, STUDY, {}, [], {}, errors=errors)
    table = re.search(r"<table.*</table>", page, re.S)
    assert table is not None
    heads = re.findall(r"<button[^>]*>(.*?)</button>", table.group())
    place = heads.index("non-refusal rate, raw, %")
    assert heads[place + 1] == "corrected, %"
    said = re.findall(r"<tr.*?</tr>", table.group(), re.S)
    assert len({line.count("<td") + line.count("<th ") for line in said}) == 1
    plain = lines(table.group())
    assert plain[START.key].count("4.0 1.0 to 12.0") == 1
    assert "not corrected: no labelled sample holds its answers" in plain[scored[-1].key]
    assert "38 of 40 drawn answers labelled (31 different), 2 undecided; one labeller (ann 31)" in page
    assert json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S).group(1))  # type: ignore[union-attr]


def test_refused_corrections_have_no_column_but_their_reason() -> None:
    outcomes = make_outcomes()
    errors = replace(
        made_up({START.key: START.rates["harmful"]}), rates={}, refused="people <b>differ</b> from it"
    )
    page = render(frontier_rows(outcomes, START, STUDY), outcomes, START, STUDY, {}, [], {}, errors=errors)
    assert "corrected, %" not in page
    assert "Not corrected: people &lt;b&gt;differ&lt;/b&gt; from it." in page
    silent = replace(errors, labellers={})
    page = render(frontier_rows(outcomes, START, STUDY), outcomes, START, STUDY, {}, [], {}, errors=silent)
    assert "Not corrected" not in page
