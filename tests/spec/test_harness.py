"""A task of lm-evaluation-harness in a study file."""

from __future__ import annotations

import pytest

from ftstab.errors import SpecError
from ftstab.spec import parse_study, schema_text, study_text

STUDY = "{study: s, base: {model: m}, data: {train: t}, axes: {steps: [1]}, evaluation: {utility: %s}}"


def utility(text):
    return parse_study(STUDY % text).evaluation.utility


def test_a_name_alone_is_a_task():
    found = utility("{metric: lm_eval, task: arc_easy}")
    assert found.task.name == "arc_easy"
    assert (found.task.score, found.task.few_shot, found.task.direction) == (None, None, "maximize")
    assert utility("{metric: lm_eval, task: {name: arc_easy}}") == found


def test_a_study_written_out_reads_back():
    study = parse_study(STUDY % "{metric: lm_eval, task: {name: tasks/mine.yaml, score: acc_norm}}")
    assert parse_study(study_text(study)) == study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{metric: lm_eval}", "`task` belongs to the metric lm_eval, which needs it"),
        ("{metric: exact_match, task: arc_easy}", "`task` belongs to the metric lm_eval"),
        ("{metric: lm_eval, task: arc_easy, data: mine.jsonl}", "`data` has no place"),
        ("{metric: lm_eval, task: {name: a, multiturn: true}}", "`multiturn` needs `chat_template: true`"),
        ("{metric: lm_eval, task: {name: a, fewshot: 2}}", "did you mean 'few_shot'"),
        ("{metric: lm_eval, task: {name: a, direction: up}}", "direction"),
    ],
)
def test_faults(text, message):
    with pytest.raises(SpecError, match=message):
        utility(text)


def test_the_schema_says_what_a_task_may_be():
    text = schema_text()
    for word in ("few_shot", "chat_template", "arc_easy", "max_new_tokens"):
        assert word in text
