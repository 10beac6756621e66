"""From answers to tasks to marks and scores, for every utility metric.  Pure; knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.data.rows import Row
from ftstab.evaluation import choice
from ftstab.evaluation.exact import AnswerForm
from ftstab.evaluation.harness import LoadedTask
from ftstab.evaluation.instruction import follows_all, rules_label
from ftstab.evaluation.judges import Answer, Judge
from ftstab.evaluation.marking import VerdictRow, mark_hits, mark_tasks
from ftstab.evaluation.rates import exact_match_score, match_score, win_rate_score
from ftstab.evaluation.values import value_score
from ftstab.outcome import Score
from ftstab.spec import Utility
from ftstab.stats import Method


def mark_utility(
    utility: Utility, rows: Sequence[Row], answers: Sequence[Answer], judge: Judge
) -> tuple[str, list[VerdictRow]]:
    """Return the marks (1, 0, R, I) of generated answers to ``rows``, and a row for each.

    Args:
        utility: the metric and how right answers are read.
        rows: the tasks.
        answers: the answers to them.
        judge: sees whether the model refused.

    Raises:
        StudyError: the judge doesn't see refusals, or gave another number of verdicts than it was asked for.
        DataError: a right answer can't be read.
    """
    if utility.metric == "instruction_following":
        hits = [follows_all(row, answer.text) for row, answer in zip(rows, answers, strict=True)]
        return mark_hits(answers, hits, judge)
    form: AnswerForm = utility.data.answer
    return mark_tasks(answers, [row.response or "" for row in rows], judge, form)


def task_score(
    utility: Utility,
    rows: Sequence[Row],
    marks: str,
    benchmark_label: str,
    interval: Method = "wilson",
    reader: str | None = None,
) -> Score:
    """Return the score of ``marks`` on ``rows``, with what a blind guess would score.

    ``reader`` is the label of who compared the answers, where they were compared.

    Where the study's metric is the held-out loss, this is its second metric: exact match.
    """
    if utility.metric == "multiple_choice":
        return match_score(
            utility.metric,
            marks,
            benchmark_label,
            choice.random_baseline(rows),
            choice.method(utility.normalise),
            interval,
        )
    if utility.metric == "win_rate":
        return win_rate_score(marks, benchmark_label, reader or "nobody")
    if utility.metric == "instruction_following":
        return match_score(
            utility.metric,
            marks,
            benchmark_label,
            method=f"all instructions of a prompt, strict, {rules_label()}",
            interval=interval,
        )
    return exact_match_score(marks, benchmark_label, interval)


def harness_score(
    loaded: LoadedTask,
    rows: Sequence[int],
    values: Sequence[float],
    weights: Sequence[float],
    benchmark_label: str,
    interval: Method = "wilson",
) -> Score:
    """Return the score of a task of lm-evaluation-harness.

    Args:
        loaded: the task.
        rows: indexes of the documents asked.
        values: what each scores.
        weights: what each weighs; none: all alike.
        benchmark_label: benchmark@hash.
        interval: how the interval of a share is made.
    """
    return value_score(
        values,
        weights,
        loaded.spec.direction,
        benchmark_label,
        loaded.method,
        loaded.baseline(list(rows)),
        interval,
    )
