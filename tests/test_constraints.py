"""Rises over the start and the limits of a study."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.constraints import constraint_excess, rise, rise_bound, upper_end
from ftstab.errors import StudyError
from ftstab.outcome import Outcome
from ftstab.spec import Constraint
from ftstab.stats import clopper_pearson, discordant_lower, wilson
from tests.report.synthetic import make_start, make_study

START = make_start()


def with_marks(marks: str, role: str = "over_refusal") -> Outcome:
    hit = "R" if role == "over_refusal" else "N"
    lost = marks.count("I") + marks.count("U")
    value = marks.count(hit) / (len(marks) - lost) if len(marks) > lost else None
    rate = START.rates[role].model_copy(update={"value": value, "n": len(marks)})
    return START.model_copy(update={"marks": {role: marks}, "rates": {role: rate}})


letters = st.text("RNIU", min_size=2, max_size=40)


@given(letters, st.randoms())
def test_ends_enclose_the_value_and_lost_answers_only_widen(marks: str, draw):
    other = "".join(draw.choice("RN") for _ in marks)
    found = rise(with_marks(marks), with_marks(other), "over_refusal")
    if not set(marks) & set("IU"):
        assert found.low <= found.value <= found.high
    clean = marks.replace("I", "R").replace("U", "R")
    assert found.high == pytest.approx(rise(with_marks(clean), with_marks(other), "over_refusal").high)
    clean = marks.replace("I", "N").replace("U", "N")
    assert found.low == pytest.approx(rise(with_marks(clean), with_marks(other), "over_refusal").low)


def test_on_harmful_prompts_what_rises_is_answers_that_are_not_refused():
    found = rise(with_marks("NNNR", "harmful"), with_marks("RRRR", "harmful"), "harmful")
    assert found.value == 0.75
    assert found.n == 4


def test_lost_answers_of_the_start_count_for_it():
    # The start refused one prompt for sure and lost one: the rise could be 1 of 2 or none.
    found = rise(with_marks("RR"), with_marks("RI"), "over_refusal")
    assert found.high == pytest.approx(rise(with_marks("RR"), with_marks("RN"), "over_refusal").high)
    assert found.low == pytest.approx(rise(with_marks("RR"), with_marks("RR"), "over_refusal").low)


@pytest.mark.parametrize(("mine", "other"), [("RN", "RNN"), ("", "RN")])
def test_a_rise_needs_the_same_prompts(mine: str, other: str):
    with pytest.raises(StudyError, match="same prompts"):
        rise(with_marks(mine), with_marks(other), "over_refusal")


def test_every_limit_is_compared_with_an_upper_end():
    study = make_study(
        constraints={
            "over_refusal": Constraint(max=0.5, max_rise=0.1),
            "harmful_response": Constraint(max_rise=0.2),
        }
    )
    found = constraint_excess(START, START, study)
    assert found == {
        "over_refusal.max": pytest.approx(START.rates["over_refusal"].high - 0.5),
        "over_refusal.max_rise": pytest.approx(rise(START, START, "over_refusal").high - 0.1),
        "harmful_response.max_rise": pytest.approx(rise(START, START, "harmful").high - 0.2),
    }


def test_a_limit_on_what_was_not_measured_is_an_error():
    study = make_study(constraints={"over_refusal": Constraint(max=0.5)})
    bare = START.model_copy(update={"rates": {"harmful": START.rates["harmful"]}})
    with pytest.raises(StudyError, match=r"constraints\.over_refusal"):
        constraint_excess(bare, START, study)


def test_a_set_that_stopped_gets_away_with_no_more_than_one_asked_in_full():
    """At most 24 of 80 refused is a share of 30 %, but the interval of all 80 would end at 41 %."""
    rate = START.rates["over_refusal"].model_copy(
        update={"n": 60, "planned": 80, "low": 20 / 80, "high": 24 / 80, "interval": "sequence-95"}
    )
    stopped = START.model_copy(update={"rates": START.rates | {"over_refusal": rate}})
    limited = make_study(constraints={"over_refusal": Constraint(max=0.3)})
    found = constraint_excess(stopped, START, limited)["over_refusal.max"]
    assert found > 0
    assert found == pytest.approx(wilson(24, 80).high - 0.3)
    assert upper_end(rate, "clopper_pearson") == clopper_pearson(24, 80).high
    assert upper_end(START.rates["over_refusal"], "wilson") == START.rates["over_refusal"].high


def test_a_test_of_a_rise_counts_what_was_lost_for_the_larger_rise():
    mine, start = with_marks("RRRIUNNNNN" * 4), with_marks("RNNNNRNINN" * 4)
    # Refused or lost here alone: places 2 to 5; refused there alone: place 6.  What the start lost is no refusal.
    found = rise_bound(mine, start, "over_refusal", 0.05)
    assert found == -discordant_lower(4, 16, 40, 0.9)
    harmful = rise_bound(with_marks("NNIR", "harmful"), with_marks("RRRR", "harmful"), "harmful", 0.05)
    assert harmful == -discordant_lower(0, 3, 4, 0.9)
    with pytest.raises(StudyError, match="same prompts"):
        rise_bound(with_marks("RN"), with_marks("RNN"), "over_refusal", 0.05)
