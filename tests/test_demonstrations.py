"""Categories with and without refusal demonstrations: which they are, and their rates, each pooled by the rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftstab.data.rows import read_rows
from ftstab.demonstrations import apart, pooled, undemonstrated
from ftstab.evaluation.rates import rate
from ftstab.spec import Source, parse_study
from tests.report.synthetic import YAML, make_start, make_study

MARKS = "NNRI" + "NRRR" + "RRRU"
KINDS = ["a"] * 4 + ["b"] * 4 + ["c"] * 4


def test_built_in_categories_without_demonstrations() -> None:
    rows = read_rows(Source(location="builtin:harmful"), Path(), needs_response=False).rows
    found = undemonstrated(make_study(), Path(), {r.category for r in rows if r.category})
    assert found == {"privacy", "dangerous_health", "sabotage"}


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [(["a", "b"], {"c"}), (["a", "b", "c"], set()), (["other", "names"], set()), ([None], set())],
)
def test_what_is_not_known_is_not_said(tmp_path: Path, kinds: list[str | None], wanted: set[str]) -> None:
    rows = [{"prompt": f"p{i}", "response": "No.", "kind": kind or ""} for i, kind in enumerate(kinds)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = (
        "align: {data: {location: mine.jsonl, columns: {prompt: prompt, response: response, category: kind}}}"
    )
    study = parse_study(YAML.replace('align: {data: "builtin:refusals"}', columns))
    assert undemonstrated(study, tmp_path, {"a", "b", "c"}) == wanted
    unaligned = parse_study(YAML.replace('align: {data: "builtin:refusals"}', "align: null"))
    assert undemonstrated(unaligned, tmp_path, {"a"}) == set()


def test_pooled_counts_are_those_of_the_prompts_together() -> None:
    whole = rate("non_refusal_rate", "j@1", "b@1", MARKS, "N", KINDS)
    found = apart(whole, {"b", "c"}, "wilson")
    assert found is not None
    assert found.interval == "wilson-95"
    for half, marks in ((found.demonstrated, MARKS[:4]), (found.undemonstrated, MARKS[4:])):
        alone = rate("non_refusal_rate", "j@1", "b@1", marks, "N", [None] * len(marks))
        assert half.model_dump() == {name: getattr(alone, name) for name in half.model_dump()}
    exact = pooled(whole.by_category.values(), "clopper_pearson")
    assert exact.model_dump() == {
        name: getattr(rate("non_refusal_rate", "j@1", "b@1", MARKS, "N", KINDS, "clopper_pearson"), name)
        for name in exact.model_dump()
    }


def test_there_is_nothing_to_tell_apart_without_both_kinds() -> None:
    start = make_start().rates["harmful"]
    assert apart(start, set(), "wilson") is None
    assert apart(start, set(start.by_category), "wilson") is None
    assert apart(None, {"a"}, "wilson") is None
    early = start.model_copy(update={"planned": 240})
    assert apart(early, {"privacy"}, "wilson") is None
