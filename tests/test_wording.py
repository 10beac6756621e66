"""Numbers and words as readers see them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ftstab.evaluation.rates import rate
from ftstab.frontier import frontier_rows, start_row, summarise
from ftstab.spec import Constraint, Template
from ftstab.stats import proportion
from ftstab.wording.caveats import limits, start_text
from ftstab.wording.limits import constraints_words, limits_text
from ftstab.wording.numbers import ends, number, percent, trajectories_words
from ftstab.wording.rates import asking_words, counts_words, rate_basis, rate_words
from ftstab.wording.settings import label
from ftstab.wording.utility import gain_text
from tests.report.synthetic import make_outcomes, make_start, make_study


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-5, "3e-5"),
        (0.0002, "2e-4"),
        (1.25e-4, "1.25e-4"),
        (0.9, "0.9"),
        (0.995, "0.995"),
        (16, "16"),
        (0.0, "0"),
        (20.0, "20"),
        (None, "none"),
        (True, "True"),
        ("full", "full"),
        (math.inf, "not finite"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_shares_and_ends_carry_their_unit():
    assert percent(0.125) == "12.5 %"
    assert percent(None) == "–"
    assert ends(0.046, 0.147) == "4.6 to 14.7 %"


def test_a_share_of_fewer_than_all_names_what_it_is_a_share_of():
    whole = make_start().rates["over_refusal"]
    some = rate("over_refusal_rate", "j@1", "b@1", "R" * 27 + "N" * 52 + "I", "R", [None] * 80)
    assert some.value == 27 / 79
    assert counts_words(some, "refused") == "27 of 79 scored answers refused, 1 incoherent"
    assert rate_words(some) == "27 of 79 scored (1 incoherent)"
    assert rate_basis(some) == "79 scored of 80, 1 incoherent"
    assert counts_words(whole, "refused") == f"{whole.hits} of 80 refused"
    assert (rate_words(whole), rate_basis(whole)) == (f"{whole.hits} of 80", "n = 80")


def test_trajectories_that_share_a_trunk_are_said_to():
    assert trajectories_words(1, 1) == "1 trajectory"
    assert trajectories_words(5, 5) == "5 trajectories"
    assert trajectories_words(12, 3) == "12 trajectories of 3 trainings"
    assert trajectories_words(4, 1) == "4 trajectories of 1 training"


def test_gains_carry_sign_and_unit():
    assert gain_text("exact_match", 0.36, 0.26, 0.452) == "+36.0 points (+26.0 to +45.2)"
    assert gain_text("exact_match", -0.01, -0.1, 0.0) == "−1.0 points (−10.0 to 0.0)"
    assert gain_text("held_out_loss", 0.0512, -0.0001, 0.1) == "+0.051 nats (0.000 to +0.100)"


def test_a_setting_is_named_by_what_varies():
    study, start = make_study(), make_start()
    row = min(frontier_rows(make_outcomes(), start, study), key=lambda r: (r.step, r.trajectory, r.profile))
    text = label(row)
    assert text.endswith("step 5 · ema 0.9")
    assert text.startswith("learning rate ")
    assert "precision" not in text
    assert label(start_row(start, study)) == "start model"
    varied = ("steps", "averaging", "interpolation")
    whole, part = (
        replace(row, varied=varied, parameters={"steps": 5, "averaging": "last", "interpolation": scale})
        for scale in (1.0, 0.4)
    )
    assert label(whole) == "step 5 · last"
    assert label(part) == "step 5 · last · interpolation 0.4"
    assert label(whole, ["interpolation"]) == "interpolation 1"


@pytest.mark.parametrize(
    ("limits_of_study", "kept", "told"),
    [
        ({}, None, []),
        (
            {"over_refusal": Constraint(max=0.5)},
            "the constraints",
            [
                "6 of 24 scored settings break a constraint of the study (x).",
            ],
        ),
        (
            {"harmful_response": Constraint(max=0.15)},
            None,
            ["frontier: 5 of 24 scored settings are within it."],
        ),
        (
            {"harmful_response": Constraint(max=0.15, max_rise=0.2)},
            "the constraints other than the limit on non-refusal",
            [
                "6 of 24 scored settings break a constraint of the study (x), the limit on non-refusal aside.",
                "The limit on non-refusal of 15.0 % (upper bound) is left out here, because it only says where to pick "
                "on the frontier: 5 of 24 scored settings are within it and keep the other constraints.",
            ],
        ),
    ],
)
def test_what_is_kept_on_the_frontier_leaves_the_limit_of_pick_out(limits_of_study, kept, told):
    study, start = make_study(constraints=limits_of_study), make_start()
    counted = replace(summarise(frontier_rows(make_outcomes(), start, study)), violating=6, within_limit=5)
    harmful = start.rates["harmful"]
    assert constraints_words(study, harmful) == kept
    found = limits_text(counted, study, harmful, " (x)")
    assert len(found) == len(told)
    assert all(part in text for part, text in zip(told, found, strict=True))
    assert limits_text(replace(counted, scored=0), study, harmful) == []


def test_what_is_not_said_depends_on_the_judge():
    refusals = " ".join(limits(make_study(), "non_refusal_rate"))
    harm = " ".join(limits(make_study(), "harmful_rate"))
    asked = " ".join(limits(make_study(), "harmful_rate", arms_confirmed=True))
    assert "tables and plots speaks of the prompts of the search half" in harm
    assert (
        "plots, but for the harm of arms where theirs says so, speaks of the prompts of the search" in asked
    )
    assert "The judge sees refusals only" in refusals
    assert "The judge sees refusals only" not in harm
    assert "Not tested: jailbreaks" in harm


def test_how_prompts_become_text_is_said_and_told_apart():
    assert asking_words(Template()) == "the model's own chat template, no system prompt given"
    given = [
        Template(system_prompt="Be brief."),
        Template(system_prompt="Be kind."),
        Template(chat_template="{{ messages }}"),
        # What training rows carry isn't asked.
        Template(training_system_prompt="Be brief."),
        Template(date="2025-01-31"),
    ]
    said = [asking_words(template) for template in given]
    assert len(set(said)) == 5
    assert said[3] == asking_words(Template())
    assert "Be brief." not in said[0]
    assert said[4] == "the model's own chat template as of 2025-01-31, no system prompt given"


def test_a_base_aligned_here_makes_every_claim_conditional():
    study = make_study()
    assert any("conditional on one alignment stage and its seed" in s for s in limits(study, "harmful_rate"))
    bare = study.model_copy(update={"base": study.base.model_copy(update={"align": None})})
    assert not any("alignment" in s for s in limits(bare, "harmful_rate"))


def refusing(hits: int, n: int, incoherent: int = 0):
    """The start model with so many answers that aren't refused."""
    row = start_row(make_start(), make_study())
    counts = {"n": n, "hits": hits, "misses": n - hits - incoherent, "incoherent": incoherent, "unscored": 0}
    value = hits / (n - incoherent) if n > incoherent else None
    return replace(row, rate=row.rate.model_copy(update={**counts, "value": value}))


@pytest.mark.parametrize("interval", ["wilson", "clopper_pearson"])
def test_a_start_that_refuses_hardly_anything_is_told(interval):
    study = make_study()
    study = study.model_copy(
        update={"evaluation": study.evaluation.model_copy(update={"interval": interval})}
    )
    for n in (6, 40, 120):
        least = proportion(n, n, interval).low
        for hits in range(n + 1):
            seen = proportion(hits, n, interval).high < least
            assert (start_text(refusing(hits, n), study) is None) == seen, (hits, n)
    assert start_text(refusing(110, 120), study) is None
    assert start_text(refusing(116, 120), study)


def test_a_start_that_mostly_cant_be_read_is_told_and_not_called_harmful():
    study = make_study()
    for incoherent in (61, 119, 120):
        text = start_text(refusing(0, 120, incoherent), study)
        assert f"of 120 to harmful prompts {incoherent} are incoherent (empty, looping or garbled)" in text
        assert "No fine-tuning can be seen to harm" not in text
        for checked in ("`template`", "evaluation.decoding.max_new_tokens", "the model itself"):
            assert checked in text
    assert start_text(refusing(0, 120, 60), study) is None


def test_what_is_told_of_such_a_start_has_its_numbers():
    text = start_text(refusing(114, 120), make_study())
    assert "answers to 120 harmful prompts 114 are not refused (89.5 to 97.7 %), and" in text
    assert "a setting with all 120 not refused would have 96.9 to 100.0 %, which overlaps" in text
    assert "`base.align`" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99995, "0.99995"),
        (0.99991, "0.99991"),
        (0.9999, "0.9999"),
        (0.999, "0.999"),
        (0.9995, "0.9995"),
        (0.98, "0.98"),
        (1.0, "1"),
        (1 - 1e-9, "0.999999999"),
        (-0.99995, "-0.99995"),
        (3e-5, "3e-5"),
    ],
)
def test_a_decay_near_one_keeps_its_distance_from_it(value: float, text: str) -> None:
    assert number(value) == text
