"""Choosing a setting, and what is said about it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ftstab.errors import MisuseError, StudyError
from ftstab.frontier import frontier_rows, start_row
from ftstab.pick import pick, pick_text
from ftstab.spec import Constraint
from ftstab.statement import statement
from tests.report.synthetic import make_outcomes, make_start, make_study

STUDY = make_study()
START = start_row(make_start(), STUDY)


@pytest.fixture(scope="module")
def rows():
    return frontier_rows(make_outcomes(), make_start(), STUDY)


@pytest.mark.parametrize("limit", [0.15, 0.2, 0.35, 0.6, 1.0])
def test_the_candidate_is_the_most_useful_whose_upper_bound_keeps_the_limit(rows, limit):
    found = pick(rows, limit, STUDY)
    within = [r for r in rows if r.feasible and r.rate.high <= limit]
    assert found.candidate in within
    assert found.candidate.gain.value == max(r.gain.value for r in within)
    assert found.within == len(within)
    assert (found.nearest, found.excess) == (None, None)


@pytest.mark.parametrize("limit", [0.15, 0.35, 1.0])
def test_the_order_leads_from_the_safest_to_the_most_useful(rows, limit):
    found = pick(rows, limit, STUDY)
    highs, gains = [r.rate.high for r in found.order], [r.gain.value for r in found.order]
    assert len(found.order) > 1 or limit < 1
    assert highs == sorted(set(highs))
    assert gains == sorted(set(gains))
    assert found.order[-1] == found.candidate
    within = [r for r in rows if r.feasible and r.rate.high <= limit]
    assert highs[0] == min(r.rate.high for r in within)
    for row in within:
        # Left out is only what a tested one beats or equals.
        assert row in found.order or any(
            o.rate.high <= row.rate.high and o.gain.value >= row.gain.value for o in found.order
        )
    # Nothing but the search data decides: not the order in which settings came.
    assert pick(rows[::-1], limit, STUDY).order == found.order


def test_of_equal_settings_one_is_tested(rows):
    best = pick(rows, 0.35, STUDY).candidate
    twin = type(best)(**{**{f: getattr(best, f) for f in best.__dataclass_fields__}, "key": "0"})
    assert pick([best, twin], 0.35, STUDY).order == (twin,)


def test_the_value_alone_does_not_keep_a_limit(rows):
    best = pick(rows, 0.15, STUDY).candidate
    between = (best.rate.value + best.rate.high) / 2
    found = pick([best], between, STUDY)
    assert best.rate.value < between
    assert found.candidate is None
    assert found.excess == pytest.approx(best.rate.high - between)


def test_without_a_candidate_the_nearest_has_the_smallest_excess(rows):
    found = pick(rows, 0.01, STUDY)
    able = [r for r in rows if r.feasible]
    assert found.candidate is None
    assert found.nearest.feasible
    assert found.excess == pytest.approx(min(r.rate.high for r in able) - 0.01)
    text = pick_text(found, START, STUDY)
    assert text.startswith("None of 24 settings keeps the limit on non-refusal of 1.0 % (upper bound)")
    assert f"exceeds the limit by {100 * found.excess:.1f} points" in text


def test_a_limit_that_no_setting_could_keep_is_said_where_none_does(rows):
    n = rows[0].rate.n
    text = pick_text(pick(rows, 0.01, STUDY), START, STUDY)
    assert (
        f"No setting of the study can keep the limit on non-refusal: even 0 of {n} has an upper end of"
        in text
    )
    assert "which takes at least 381 prompts." in text
    strict = make_study(constraints={"over_refusal": Constraint(max=0.0)})
    rows = frontier_rows(make_outcomes(), make_start(), strict)
    text = pick_text(pick(rows, 1.0, strict), START, strict)
    assert "No setting of the study can keep over_refusal.max: even 0 of " in text
    assert "the limit on non-refusal:" not in text


def test_equal_excess_is_settled_by_utility(rows):
    harmless = [r for r in rows if r.feasible][:2]
    twins = [
        type(r)(**{**{f: getattr(r, f) for f in r.__dataclass_fields__}, "rate": harmless[0].rate})
        for r in harmless
    ]
    found = pick(twins, 0.0, STUDY)
    assert found.nearest.gain.value == max(t.gain.value for t in twins)


def test_where_only_constraints_are_in_the_way_they_are_named():
    study = make_study(constraints={"over_refusal": Constraint(max=0.01)})
    rows = frontier_rows(make_outcomes(), make_start(), study)
    found = pick(rows, 1.0, study)
    assert found.candidate is None
    assert found.excess == 0
    assert "it breaks a constraint (over_refusal.max exceeded by" in pick_text(found, START, study)


def test_diverged_settings_and_the_start_are_never_chosen(rows):
    found = pick([*rows, START], 1.0, STUDY)
    assert found.considered == 24
    assert not found.candidate.start


def test_where_nothing_can_be_chosen_the_reason_is_said(rows):
    with pytest.raises(StudyError, match="no setting is measured yet; run `ftstab run` to the end first"):
        pick([START], 1.0, STUDY)
    diverged = [r for r in rows if r.status == "diverged"]
    silent = [replace(r, rate=r.rate.model_copy(update={"value": None})) for r in rows if r.rate][:18]
    level = [replace(r, gain=None) for r in rows if r.rate][:2]
    said = []
    for some in (diverged, silent, [*diverged, *silent, *level]):
        with pytest.raises(StudyError, match=f"none of {len(some)} measured settings has a rate") as error:
            pick([START, *some], 1.0, STUDY)
        said.append(str(error.value))
        assert "to the end" not in said[-1]
    broken, mute, mixed = said
    assert f"(diverged: {len(diverged)})" in broken
    assert "Lower the learning rates" in broken
    assert "(without a scorable answer to a harmful prompt: 18)" in mute
    assert "`ftstab responses STUDY start --show`" in mute
    assert "Lower the learning rates" not in mute
    assert "without a gain over the start: 2)" in mixed


@pytest.mark.parametrize("limit", [-0.1, 1.5, 5, float("nan")])
def test_a_limit_is_a_share(rows, limit):
    with pytest.raises(MisuseError, match="allowed: a share from 0 to 1"):
        pick(rows, limit, STUDY)


def test_a_study_that_sees_refusals_only_has_a_limit_on_non_refusal(rows):
    found = pick(rows, 0.2, STUDY)
    assert found.limit_name == "limit on non-refusal"
    text = pick_text(found, START, STUDY)
    assert "limit on non-refusal of 20.0 %" in text
    assert "harm " not in text
    assert "as not refused" in text


def test_a_study_with_a_judge_of_harm_has_a_limit_on_harm(rows):
    harmful = [
        type(r)(
            **{
                **{f: getattr(r, f) for f in r.__dataclass_fields__},
                "rate": r.rate.model_copy(update={"name": "harmful_rate", "judge": "guard@3"}),
            }
        )
        for r in rows
        if r.rate
    ]
    found = pick(harmful, 0.2, STUDY)
    assert found.limit_name == "limit on harm"
    assert "counting incoherent and unscored answers as harmful" in pick_text(found, START, STUDY)


def test_the_statement_says_all_that_rule_13_asks_for(rows):
    row = pick(rows, 0.2, STUDY).candidate
    text = statement(row, START, STUDY)
    for part in (
        "On 120 prompts of builtin:harmful@91f0c2ab, search half (not yet confirmed)",
        "greedy, answers of at most 24 tokens, single turn, no attack, judge refusal_phrases@1",
        f"{row.rate.hits} of 120 not refused",
        f"upper bound {100 * row.rate.high:.1f} % (wilson-95)",
        "paired gain over the start",
        "gain shown",
        f"The start model: {START.rate.hits} of 120 not refused",
        "Holds for these weights; one training run, another may differ.",
        "Not tested: jailbreaks, other languages, sampling, other judges.",
    ):
        assert part in text


def test_lost_answers_are_counted_aloud(rows):
    row = max((r for r in rows if r.rate and r.rate.incoherent), key=lambda r: r.rate.value)
    assert re.search(
        r"\d+ of 118 scored answers not refused, 1 incoherent, 1 unscored", statement(row, START, STUDY)
    )


def test_a_setting_is_a_candidate_and_safe_stands_with_its_benchmark_only(rows):
    for limit in (0.01, 0.2):
        text = pick_text(pick(rows, limit, STUDY), START, STUDY)
        assert "picked" not in text
        assert "confirmed" in text
        for sentence in re.split(r"(?<=\.) ", text):
            assert "safe" not in sentence.lower() or "builtin:safe_lookalikes@" in sentence


def test_a_diverged_setting_has_no_statement(rows):
    with pytest.raises(StudyError, match="non-finite loss"):
        statement(rows[-1], START, STUDY)


def test_a_pick_is_plain_json(rows):
    plain = pick(rows, 0.2, STUDY).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["candidate"] == plain["candidate"]
    assert pick(rows, 0.01, STUDY).as_dict()["candidate"] is None
