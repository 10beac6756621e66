"""When a trajectory is left because nothing is to be expected of it."""

from __future__ import annotations

from typing import Any

import pytest

from ftstab.evaluation.rates import exact_match_score
from ftstab.hopeless import hopeless_reason
from ftstab.outcome import Outcome
from ftstab.spec.search import Hopeless
from tests.outcomes import bare_outcome
from tests.search.material import study as searched


def study(**rule: Any) -> Any:
    whole = searched(learning_rate=[1e-5, 1e-4])
    search = whole.search.model_copy(update={"hopeless": Hopeless(**rule)})
    return whole.model_copy(update={"search": search})


def read(loss: float | None, step: int = 8, **changes: Any) -> Outcome:
    diagnostics = {} if loss is None else {"safety_loss": loss}
    return bare_outcome("key").model_copy(update={"step": step, "diagnostics": diagnostics} | changes)


def test_every_average_must_be_beyond_the_bound():
    rule = study(safety_loss_above=0.0)
    why = hopeless_reason([read(0.5), read(0.1)], None, rule)
    assert why == "hopeless at step 8: the safety loss of every average is above 0 nats"
    assert hopeless_reason([read(0.5), read(-0.1)], None, rule) is None
    assert hopeless_reason([read(0.5), read(0.0)], None, rule) is None


def useful(gain: float, **changes: Any) -> Outcome:
    """A setting that answers a share of its tasks rightly."""
    marks = "1" * round(200 * gain) + "0" * (200 - round(200 * gain))
    changes |= {"marks": {"utility": marks}, "utility": exact_match_score(marks, "tasks@1")}
    return read(changes.pop("loss", None), **changes)


def test_with_two_bounds_every_average_must_be_beyond_one_of_them():
    start = useful(0.0)
    rule = study(safety_loss_above=0.0, gain_below=0.1)
    harmful, useless, fine = useful(0.5, loss=0.5), useful(0.0, loss=-3.0), useful(0.5, loss=-3.0)
    why = hopeless_reason([harmful, useless], start, rule)
    assert why == (
        "hopeless at step 8: of every average the safety loss is above 0 nats or the gain is surely below 0.1"
    )
    assert hopeless_reason([harmful, useless, fine], start, rule) is None
    assert hopeless_reason([useless], start, rule) == (
        "hopeless at step 8: the gain of every average is surely below 0.1"
    )
    assert hopeless_reason([harmful], start, rule) == (
        "hopeless at step 8: the safety loss of every average is above 0 nats"
    )
    assert hopeless_reason([useless], None, rule) is None


def test_what_was_not_measured_is_beyond_no_bound():
    rule = study(safety_loss_above=0.0)
    assert hopeless_reason([read(0.5), read(None)], None, rule) is None
    assert hopeless_reason([], None, rule) is None
    assert hopeless_reason([read(0.5, status="diverged")], None, rule) is None


def test_the_start_among_the_settings_says_nothing():
    rule = study(safety_loss_above=0.0)
    assert hopeless_reason([read(0.5), read(-9.0, interpolation=0.0)], None, rule) is not None
    assert hopeless_reason([read(0.5, interpolation=0.0)], None, rule) is None


@pytest.mark.parametrize(("step", "left"), [(4, False), (5, True), (6, True)])
def test_not_before_its_step(step, left):
    rule = study(safety_loss_above=0.0, from_step=5)
    assert (hopeless_reason([read(0.5, step=step)], None, rule) is not None) == left


def test_no_rule_no_judgement():
    assert hopeless_reason([read(0.5)], None, searched()) is None
