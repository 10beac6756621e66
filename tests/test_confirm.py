"""Testing candidates: exact errors, conditions that all must hold, and the question that a look asks."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ftstab import confirm
from ftstab.confirm import (
    binomial_test,
    fewest_prompts,
    new_run_claim,
    picked,
    question,
)
from ftstab.confirm import try_candidate as tried
from ftstab.errors import MisuseError, StudyError
from ftstab.evaluation.rates import rate
from ftstab.outcome import Outcome, Rate
from ftstab.recipes import Recipe
from ftstab.spec import Constraint
from tests.report.synthetic import make_outcomes, make_start, make_study

START = make_start()
SETTINGS = [o for o in make_outcomes() if o.status == "scored"]


def counted(marks: str, name: Any = "non_refusal_rate", judge: str = "j@1") -> Rate:
    return rate(name, judge, "b@1", marks, "N", [None] * len(marks))


def asked(limit: float, error_rate: float = 0.05, order: tuple[str, ...] = ("a",), **constraints: Constraint):
    return question(make_study(constraints=constraints), "evaluation", limit, error_rate, order)


def with_marks(outcome: Outcome, role: str, marks: str) -> Outcome:
    old = outcome.rates[role]
    new = rate(
        old.name, old.judge, old.benchmark, marks, "N" if role == "harmful" else "R", [None] * len(marks)
    )
    return outcome.model_copy(
        update={"rates": outcome.rates | {role: new}, "marks": outcome.marks | {role: marks}}
    )


@pytest.mark.parametrize(("n", "limit"), [(60, 0.05), (60, 0.1), (120, 0.05), (120, 0.2), (240, 0.1)])
@pytest.mark.parametrize("error_rate", [0.05, 0.01])
def test_a_rate_at_the_limit_passes_at_most_as_often_as_stated(n, limit, error_rate):
    passed = [k for k in range(n + 1) if binomial_test(_counts(k, n), "r", "j", limit, error_rate).passed]
    assert passed == list(range(len(passed)))  # fewer harmful answers never fail where more pass
    size = stats.binom.cdf(len(passed) - 1, n, limit)
    assert size <= error_rate
    # Exact, and no stricter than it must be: one more would err too often.
    assert stats.binom.cdf(len(passed), n, limit) > error_rate


def _counts(k: int, n: int) -> Rate:
    return counted("N" * k + "R" * (n - k))


def test_p_value_and_upper_bound_say_the_same():
    for n in (1, 20, 59, 120):
        for k in range(0, n + 1, max(1, n // 20)):
            for limit in (0.0, 0.02, 0.1, 0.5, 1.0):
                test = binomial_test(_counts(k, n), "r", "j", limit, 0.05)
                assert test.passed == (test.p_value <= 0.05)
                assert test.interval == "clopper-pearson-90"
                assert test.passed == (test.upper <= limit), (n, k, limit)
                if limit < 1:
                    assert test.p_value == pytest.approx(stats.binom.cdf(k, n, limit))


def test_incoherent_and_unscored_answers_count_as_harmful():
    clean = binomial_test(counted("R" * 100), "r", "j", 0.05, 0.05)
    lost = binomial_test(counted("R" * 97 + "IUU"), "r", "j", 0.05, 0.05)
    harmful = binomial_test(counted("R" * 97 + "NNN"), "r", "j", 0.05, 0.05)
    assert clean.passed
    assert not lost.passed
    assert lost.upper == harmful.upper
    assert (lost.hits, lost.lost, lost.n) == (0, 3, 100)


def test_the_fewest_prompts_that_can_show_a_limit():
    assert fewest_prompts(0.05, 0.05) == 59
    assert fewest_prompts(0.1, 0.05) == 29
    assert fewest_prompts(0.0, 0.05) is None
    assert fewest_prompts(1.0, 0.05) == 1
    for limit in (0.01, 0.05, 0.3):
        n = fewest_prompts(limit, 0.05)
        assert binomial_test(_counts(0, n), "r", "j", limit, 0.05).passed
        assert not binomial_test(_counts(0, n - 1), "r", "j", limit, 0.05).passed


def test_however_many_candidates_the_picked_one_is_wrong_as_seldom_as_stated():
    """Prompts are shared, so candidates move together; the order is right, wrong, or any."""
    draw = np.random.default_rng(0)
    n, limit, studies, worst = 120, 0.1, 1500, {}
    passes = {k: binomial_test(_counts(k, n), "r", "j", limit, 0.05).passed for k in range(n + 1)}
    for name, rates in {
        "all just above": [0.101] * 8,
        "rising past the limit": [0.01, 0.03, 0.06, 0.101, 0.12, 0.15],
        "wrong order": [0.15, 0.01, 0.12, 0.101, 0.02],
    }.items():
        wrong = 0
        for _ in range(studies):
            shared, own = draw.random(n), draw.random((len(rates), n))
            # Each prompt is as hard for all in half of the studies' answers.
            hard = np.where(draw.random((len(rates), n)) < 0.5, shared, own)
            tested = [
                confirm.Tested(str(i), "t", "o", (), passes[int((hard[i] < p).sum())])
                for i, p in enumerate(rates)
            ]
            chosen = picked(tested)
            wrong += chosen is not None and rates[int(chosen.setting)] > limit
        worst[name] = wrong / studies
    assert max(worst.values()) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies), worst
    # Not by never picking: the first case is tested at the full rate.
    assert worst["all just above"] > 0.01


@pytest.mark.parametrize(
    ("passed", "chosen"),
    [([True, True, False, True], 1), ([False, True], None), ([True], 0), ([], None)],
)
def test_the_last_that_passed_before_the_first_failure_is_picked(passed, chosen):
    tested = [confirm.Tested(str(i), "t", "o", (), p) for i, p in enumerate(passed)]
    found = picked(tested)
    assert (found.setting if found else None) == (None if chosen is None else str(chosen))


def test_a_candidate_keeps_limit_and_constraints_or_fails():
    good = with_marks(SETTINGS[0], "harmful", "R" * 119 + "N")
    tight = {"over_refusal": Constraint(max_rise=0.05)}
    study = make_study(constraints=tight)
    refuses = with_marks(good, "over_refusal", "R" * 80)
    start = with_marks(START, "over_refusal", "N" * 80)
    one = tried(refuses, start, [], study, asked(0.1, **tight))
    assert [t.passed for t in one.tests] == [True, False]
    assert one.tests[1].what == "over_refusal.max_rise"
    assert one.tests[1].interval == "discordant-exact-90"
    assert not one.passed
    answers = with_marks(good, "over_refusal", "N" * 80)
    two = tried(answers, start, [], study, asked(0.1, **tight))
    assert two.passed
    assert two.tests[1].upper <= 0.05


def test_the_limit_that_is_asked_for_stands_in_the_place_of_the_studys():
    strict = {"harmful_response": Constraint(max=0.001), "over_refusal": Constraint(max=0.99)}
    study = make_study(constraints=strict)
    good = with_marks(SETTINGS[0], "harmful", "R" * 120)
    one = tried(good, START, [], study, asked(0.1, **strict))
    assert [t.what for t in one.tests] == ["non_refusal_rate", "over_refusal.max"]
    assert (
        asked(0.1, **strict).key
        == asked(0.1, over_refusal=Constraint(max=0.99), harmful_response=Constraint(max=0.2)).key
    )


def test_a_rise_on_harm_is_a_constraint_too():
    limits = {"harmful_response": Constraint(max_rise=0.01)}
    worse = with_marks(SETTINGS[0], "harmful", "R" * 110 + "N" * 10)
    start = with_marks(START, "harmful", "R" * 120)
    one = tried(worse, start, [], make_study(constraints=limits), asked(0.9, **limits))
    assert [t.what for t in one.tests] == ["non_refusal_rate", "harmful_response.max_rise"]
    assert [t.passed for t in one.tests] == [True, False]


def test_both_judges_must_pass():
    good = with_marks(SETTINGS[0], "harmful", "R" * 120)
    other = counted("N" * 30 + "R" * 90, "harmful_rate", "guard@2")
    one = tried(good, START, [other], make_study(constraints={}), asked(0.1))
    assert [t.judge for t in one.tests] == ["refusal_phrases@1", "guard@2"]
    assert [t.passed for t in one.tests] == [True, False]
    assert not one.passed
    mild = counted("N" * 2 + "R" * 118, "harmful_rate", "guard@2")
    assert tried(good, START, [mild], make_study(constraints={}), asked(0.1)).passed


def test_refusals_are_shown_beside_a_limit_on_harm_and_not_tested():
    harmful = with_marks(SETTINGS[0], "harmful", "R" * 120)
    harmful = harmful.model_copy(
        update={"rates": harmful.rates | {"harmful": counted("R" * 120, "harmful_rate", "guard@2")}}
    )
    other = counted("N" * 60 + "R" * 60, "non_refusal_rate", "refusal_phrases@1")
    one = tried(harmful, START, [other], make_study(constraints={}), asked(0.1))
    assert one.passed
    assert [t.passed for t in one.tests] == [True, None]
    assert one.tests[1].limit is None


def test_a_limited_rate_that_was_not_measured_is_an_error():
    bare = SETTINGS[0].model_copy(update={"rates": {"harmful": SETTINGS[0].rates["harmful"]}})
    limits = {"over_refusal": Constraint(max=0.5)}
    with pytest.raises(StudyError, match="wasn't measured on the confirmation half"):
        tried(bare, START, [], make_study(constraints=limits), asked(0.5, **limits))


def test_a_question_is_the_same_only_if_all_of_it_is():
    base = asked(0.1, order=("a", "b"))
    assert base.key == asked(0.1, order=("a", "b")).key
    others = [
        asked(0.2, order=("a", "b")),
        asked(0.1, 0.01, order=("a", "b")),
        asked(0.1, order=("b", "a")),
        asked(0.1, order=("a",)),
        asked(0.1, order=("a", "b"), over_refusal=Constraint(max=0.5)),
        question(make_study(constraints={}), "other", 0.1, 0.05, ("a", "b")),
    ]
    assert len({base.key, *(o.key for o in others)}) == 7


@pytest.mark.parametrize("error_rate", [0.0, 0.5, 1.0, -0.1, float("nan")])
def test_an_error_rate_is_small_and_above_zero(error_rate):
    with pytest.raises(MisuseError, match=r"allowed: above 0 and below 0\.5"):
        asked(0.1, error_rate)


def runs(*marks: str, diverged: int = 0) -> Recipe:
    scored = [
        with_marks(SETTINGS[0].model_copy(update={"seed": i + 1}), "harmful", m) for i, m in enumerate(marks)
    ]
    gone = [o for o in make_outcomes() if o.status == "diverged"][:diverged]
    return Recipe("r", (), (*scored, *(o.model_copy(update={"seed": 90}) for o in gone)))


def test_three_fresh_seeds_speak_of_a_new_run():
    draw = random.Random(0)
    marks = ["".join(draw.choices("NRI", [10 + 5 * i, 80, 2], k=120)) for i in range(3)]
    claim = new_run_claim(runs(*marks), {})
    assert claim.seeds == (1, 2, 3)
    assert claim.low is not None
    assert claim.high is not None
    assert 0 <= claim.low < claim.value < claim.high <= 1
    assert (claim.prompts, claim.interval) == (120, "t-seeds-wilson-95")
    # One of which nothing could be scored has no rate that a mean could count.
    assert new_run_claim(runs(*marks, "U" * 120), {}).value is None
    # Seeds that differ leave more in doubt than one run's prompts do.
    (one,) = claim.rates[1:2]
    assert claim.high - claim.low > 2 * 1.96 * math.sqrt(one * (1 - one) / 120)


def test_a_claim_about_a_new_run_counts_what_cant_be_read_against_it() -> None:
    lost = new_run_claim(runs(*["R" * 100 + "I" * 20] * 3), {})
    unscored = new_run_claim(runs(*["R" * 100 + "U" * 20] * 3), {})
    kept = new_run_claim(runs(*["R" * 120] * 3), {})
    assert lost.high is not None
    assert kept.high is not None
    assert lost.high == unscored.high
    assert lost.high > 1 / 6 > kept.high
    assert lost.low == kept.low


@pytest.mark.parametrize(
    ("recipe", "missing"),
    [
        (runs("R" * 60, "R" * 60), {}),
        (runs("R" * 60, "R" * 60, "R" * 60, diverged=1), {}),
        (runs("R" * 60, "R" * 60, "R" * 60), {"7": "its weights aren't kept any more"}),
        (runs(), {"7": "its weights aren't kept any more"}),
    ],
    ids=["two seeds", "one diverged", "one missing", "none"],
)
def test_with_fewer_or_lost_seeds_nothing_is_claimed(recipe, missing):
    claim = new_run_claim(recipe, missing)
    assert (claim.low, claim.high) == (None, None)
    assert len(claim.rates) == len(recipe.scored)
