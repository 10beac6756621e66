"""Over-refusal beside harm: what is told apart (measurement rule 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.evaluation.contrast import refusal_contrast
from ftstab.evaluation.rates import rate
from ftstab.outcome import Rate
from ftstab.stats import newcombe_unpaired


def harmful(marks: str, name="non_refusal_rate") -> Rate:
    return rate(name, "j@1", "h@1", marks, "N", [None] * len(marks))


def over(marks: str) -> Rate:
    return rate("over_refusal_rate", "j@1", "s@1", marks, "R", [None] * len(marks))


def test_it_is_refusals_of_harmful_prompts_minus_refusals_of_lookalikes():
    found = refusal_contrast(harmful("R" * 90 + "N" * 30), over("R" * 20 + "N" * 60))
    assert found.value == pytest.approx(0.75 - 0.25)
    assert found[1:3] == newcombe_unpaired(90, 120, 20, 80)


def test_who_refuses_everything_or_nothing_tells_nothing_apart():
    for mark in "RN":
        found = refusal_contrast(harmful(mark * 120), over(mark * 80))
        assert found.value == 0
        assert found.low < 0 < found.high


def test_lost_answers_are_at_worst_at_either_end():
    found = refusal_contrast(harmful("R" * 80 + "N" * 20 + "IU" * 10), over("R" * 10 + "N" * 60 + "IU" * 5))
    assert found.value == pytest.approx(0.8 - 1 / 7)
    assert found.low == newcombe_unpaired(80, 120, 20, 80).low
    assert found.high == newcombe_unpaired(100, 120, 10, 80).high
    assert (found.harmful_n, found.harmful_lost, found.over_refusal_n, found.over_refusal_lost) == (
        120,
        20,
        80,
        10,
    )
    assert found.interval == "newcombe-unpaired-95"


@given(st.text("RNIU", min_size=1, max_size=60), st.text("RNIU", min_size=1, max_size=60))
def test_the_ends_enclose_the_value(first: str, second: str):
    found = refusal_contrast(harmful(first), over(second))
    scored = [len(text) - text.count("I") - text.count("U") for text in (first, second)]
    if not all(scored):
        assert found is None
    else:
        assert -1 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1


def test_where_it_would_say_something_else_it_says_nothing():
    safe, look = harmful("R" * 9 + "N"), over("R" + "N" * 9)
    assert refusal_contrast(None, look) is None
    assert refusal_contrast(safe, None) is None
    # A judge of content calls an answer safe that may be no refusal.
    assert refusal_contrast(harmful("R" * 9 + "N", "harmful_rate"), look) is None
    for stopped in (
        (safe.model_copy(update={"planned": 20}), look),
        (safe, look.model_copy(update={"planned": 20})),
    ):
        assert refusal_contrast(*stopped) is None
