"""Arms as lines: what the figure draws is what a comparison reads, and wide jumps are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ftstab.arms.comparison import compare_arms
from ftstab.arms.lines import ArmLine, Gap, StartPoint
from ftstab.arms.words import basis
from ftstab.evaluation.rates import rate
from ftstab.report.draw_arms import arms_plot
from ftstab.report.figures import Axis
from tests.arms.test_candidates import ARMS, STEPS, results_of

GAIN, RATE = Axis("Gain (points)", 100.0), Axis("Rate (%)", 100.0)
START = StartPoint(rate("non_refusal_rate", "j@1", "b@1", "NRRRRRRRRR", "N", [None] * 10), "search")


def line(name: str = "a", strength: str | None = "steps") -> ArmLine:
    return ArmLine(
        name, strength, (2, 8), (0, 1), ((0.1, 0.5), (0.3, 0.7)), ((0.0, 0.4), (0.2, 0.8)), "confirm"
    )


def test_lines_are_the_settings_that_are_compared(tmp_path: Path) -> None:
    # One task fewer is solved at the last step: it lies beyond the peak.
    right = {step: step for step in STEPS} | {12: 9}
    found = compare_arms(results_of(tmp_path, right), ["earlier", "large"], strict=False)
    first, second = found.lines
    assert (first.name, first.strength, first.half) == ("earlier", "steps", "search")
    assert first.strengths == second.strengths == (2, 4, 6, 8, 10)
    assert first.seeds == (0, 1, 2, 3, 4)
    for gains, rates in zip(first.gains, first.rates, strict=True):
        assert gains == pytest.approx([step / 20 for step in first.strengths])
        assert rates == pytest.approx([step / 40 for step in first.strengths])
    assert json.loads(json.dumps(found.as_dict()))["lines"][0]["strengths"] == [2, 4, 6, 8, 10]


def test_the_steepest_step_is_found() -> None:
    assert line().steepest() == Gap((2, 8), pytest.approx(0.5), pytest.approx(0.4))
    named = ArmLine("b", None, (0.0,), (0,), ((0.1,),), ((0.2,),), "search")
    assert named.steepest() is None


def test_a_wide_jump_is_told_and_a_narrow_one_isnt(tmp_path: Path) -> None:
    results = results_of(tmp_path, arms={"a": ARMS["earlier"], "b": ARMS["earlier"]})
    assert not any("jumps" in text for text in basis(compare_arms(results, ["a", "b"]), results.need_start()))
    steep = results_of(tmp_path, arms={"a": ARMS["earlier"], "b": ARMS["earlier"]}, refused={2: 38, 4: 20})
    (told,) = [t for t in basis(compare_arms(steep, ["a", "b"]), steep.need_start()) if "jumps" in t]
    assert "a +45.0 points over +10.0 points (steps 2 to 4); b +45.0 points over" in told


def test_what_could_not_be_scored_is_no_rate() -> None:
    rates = ((0.0, None, 0.4), (0.2, None, None))
    some = ArmLine("a", "steps", (2, 4, 8), (0, 1), ((0.1, 0.2, 0.3),) * 2, rates, "confirm")
    assert some.means() == (pytest.approx([0.1, 0.2, 0.3]), [pytest.approx(0.1), None, 0.4])
    assert some.steepest() is None
    plot = arms_plot([some], GAIN, RATE, START)
    assert plot is not None
    thick = json.loads(plot.figure.to_json())["data"][-2]
    assert thick["y"] == [pytest.approx(10), None, pytest.approx(40)]
    assert thick["hovertext"][1] == "a: steps 4<br>nothing could be scored"


def test_no_two_arms_look_alike() -> None:
    plot = arms_plot([line(str(i)) for i in range(12)], GAIN, RATE, START)
    assert plot is not None
    thick = [t for t in json.loads(plot.figure.to_json())["data"] if t["mode"] == "lines+markers"]
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in thick}) == 12


def test_the_figure_draws_means_and_seeds() -> None:
    assert arms_plot([], GAIN, RATE, START) is None
    plot = arms_plot([line(), line("<b>one", None)], GAIN, RATE, START)
    assert plot is not None
    data = json.loads(plot.figure.to_json())["data"]
    thick = [t for t in data if t["mode"] == "lines+markers"]
    thin = [t for t in data if t["mode"] == "lines"]
    assert len(thin) == 4
    assert thick[0]["x"] == pytest.approx([20, 60])
    assert thick[0]["y"] == pytest.approx([10, 60])
    assert thick[0]["name"] == "a (steps 2 to 8)"
    assert thick[1]["name"] == "&lt;b&gt;one"
    assert thick[0]["hovertext"][1] == "a: steps 8<br>mean of 2 seeds 60.0 %, from 40.0 % to 80.0 %"
    assert "rate on the confirmation half" in plot.text


def test_the_start_stands_at_no_gain() -> None:
    search, confirm = START, replace(START, half="confirm")
    for half, start, name in (
        ("search", search, "start model"),
        ("confirm", confirm, "start model"),
        ("confirm", search, "start model (search half)"),
    ):
        plot = arms_plot([replace(line(), half=half)], GAIN, RATE, start)
        assert plot is not None
        (star,) = [t for t in json.loads(plot.figure.to_json())["data"] if t["mode"] == "markers"]
        assert (star["x"], star["y"], star["name"]) == ([0.0], [pytest.approx(10)], name)
