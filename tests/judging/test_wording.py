"""Raw and corrected rates in words: who labelled how many, and why nothing is corrected where nothing is."""

from __future__ import annotations

from dataclasses import replace

from ftstab.evaluation.rates import rate
from ftstab.judging.wording import correction_text, labels_words, side_by_side
from tests.judging.material import made_up

RATE = rate("non_refusal_rate", "j@1", "b@1", "N" * 6 + "R" * 114, "N", [None] * 120)
FOUND = made_up({"setting": RATE, "start": RATE})


def test_who_labelled_how_many_is_said() -> None:
    assert labels_words(FOUND) == (
        "38 of 40 drawn answers labelled (31 different), 2 undecided; one labeller (ann 31)"
    )
    two = replace(FOUND, labellers={"ann": 31, "bob": 12})
    assert labels_words(two).endswith("2 labellers (ann 31, bob 12)")


def test_raw_and_corrected_stand_in_one_sentence() -> None:
    text = side_by_side(FOUND, "setting", RATE, "start", RATE)
    assert text == (
        "The judge's own errors, on the search half: 38 of 40 drawn answers labelled (31 different), 2 undecided; "
        "one labeller (ann 31). Non-refusal rate, raw 5.0 % (2.3 to 10.5 %), corrected 4.0 % (1.0 to 12.0 %); the "
        "start model, raw 5.0 % (2.3 to 10.5 %), corrected 4.0 % (1.0 to 12.0 %) (rogan-gladen, jeffreys-95)."
    )


def test_what_is_left_out_says_why() -> None:
    partly = replace(FOUND, rates={}, left_out={"setting": "stopped early: not a fixed number of prompts"})
    text = side_by_side(partly, "setting", RATE, "start", RATE)
    assert "corrected not corrected" not in text
    assert "raw 5.0 % (2.3 to 10.5 %), not corrected: stopped early: not a fixed number of prompts" in text
    assert "not corrected: no numbers" in text


def test_a_refusal_says_why_and_gives_no_corrected_rate() -> None:
    refused = replace(FOUND, rates={}, refused="this judge says too little")
    text = side_by_side(refused, "setting", RATE, "start", RATE)
    assert text.endswith("one labeller (ann 31). Not corrected: this judge says too little.")
    assert correction_text(refused)[-1] == "Not corrected: this judge says too little."
    assert "Sensitivity 0.950 (0.850 to 0.990), specificity 0.980" in correction_text(refused)[1]


def test_without_labels_nothing_is_said() -> None:
    assert side_by_side(replace(FOUND, labellers={}), "setting", RATE, "start", RATE) == ""


def test_what_corrected_rates_rest_on_is_said() -> None:
    text = " ".join(correction_text(FOUND))
    assert text.startswith("Judge j@1: 38 of 40 drawn answers labelled")
    assert "non-refusal rate of all settings together 0.300 (0.200 to 0.400) (prediction-powered" in text
    assert "refused where sensitivity + specificity is below 1.3" in text
