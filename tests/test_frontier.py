"""The frontier: its rows in order, what each says, and the frontier in a few numbers."""

from __future__ import annotations

import json
import math
import statistics

import pytest

from ftstab.dominance import hypervolume
from ftstab.errors import StudyError
from ftstab.frontier import frontier_rows, objectives, start_row, summarise, varied_parameters
from ftstab.outcome import Outcome, Profile
from ftstab.spec import Constraint, parse_study
from ftstab.stats import mean_interval, wilson
from tests.report.synthetic import YAML, make_outcome, make_outcomes, make_start, make_study


@pytest.fixture(scope="module")
def rows():
    return frontier_rows(make_outcomes(), make_start(), make_study())


def test_every_outcome_has_a_row_and_the_start_has_none(rows):
    start = make_start()
    again = frontier_rows([start, *make_outcomes()], start, make_study())
    assert {r.key for r in rows} == {o.key for o in make_outcomes()} == {r.key for r in again}
    assert not any(r.start for r in rows)


def test_no_feasible_setting_beats_one_on_the_frontier(rows):
    able = [r for r in rows if r.feasible]
    for row in (r for r in rows if r.on_frontier):
        assert row.feasible
        for other in able:
            harm = other.rate.value - row.rate.value
            lost = row.gain.value - other.gain.value
            assert not (harm <= 0 and lost <= 0 and (harm < 0 or lost < 0))
    for row in able:
        if not row.on_frontier:
            assert any(
                o.rate.value <= row.rate.value and o.gain.value >= row.gain.value
                for o in able
                if o is not row
            )


def test_incoherent_answers_are_counted_and_have_an_interval():
    start, study = make_start(), make_study()
    whole = next(o for o in make_outcomes() if "I" in o.marks.get("harmful", ""))
    (row,) = frontier_rows([whole], start, study)
    found, n = row.coherence["harmful"], len(whole.marks["harmful"])
    assert (found.value, found.n, found.interval) == (1 / n, n, "wilson-95")
    assert (found.low, found.high) == wilson(1, n)
    assert row.as_dict()["coherence"]["harmful"] == found._asdict()
    # Of a set that stopped early no such interval would hold.
    rate = whole.rates["harmful"].model_copy(update={"planned": n})
    cut = whole.model_copy(update={"rates": whole.rates | {"harmful": rate}})
    (row,) = frontier_rows([cut], start, study)
    assert row.coherence["harmful"] == (1 / n, None, None, n, None)
    assert row.coherence["over_refusal"].interval == "wilson-95"


def test_diverged_settings_are_listed_with_their_reason_and_never_on_the_frontier(rows):
    diverged = [r for r in rows if r.status == "diverged"]
    assert len(diverged) == 6
    assert {r.reason for r in diverged} == {"non-finite loss at step 4"}
    assert not any(r.on_frontier or r.feasible or r.gain or r.rate for r in diverged)


def test_rows_come_frontier_first_by_falling_gain_and_diverged_last(rows):
    front = [r for r in rows if r.on_frontier]
    assert rows[: len(front)] == front
    assert [r.gain.value for r in front] == sorted((r.gain.value for r in front), reverse=True)
    assert all(r.gain is None for r in rows[-6:])


def test_varied_parameters_stand_first(rows):
    assert rows[0].varied == ("learning_rate", "batch_size", "steps", "averaging")
    assert list(rows[0].parameters)[:4] == list(rows[0].varied)
    assert rows[0].parameters["precision"] == "bfloat16"
    assert "seed" not in rows[0].parameters


def test_a_parameter_that_differs_between_outcomes_counts_as_varied():
    base = {"trajectory": "t", "seed": 0, "step": 5, "profile": Profile(kind="last"), "interpolation": 1.0}
    outcomes = [make_outcome(1, 1, training={"warmup_steps": n}, **base) for n in (0, 2)]
    study = parse_study(YAML.replace("[4, 16]", "[4]").replace("[3.0e-5, 2.0e-4, 2.0e-3]", "[2.0e-4]"))
    assert varied_parameters(outcomes, study) == ("steps", "averaging", "warmup_steps")


def test_summary_counts_trajectories_beside_settings(rows):
    summary = summarise(rows)
    front = [r for r in rows if r.on_frontier]
    assert (summary.settings, summary.scored, summary.diverged, summary.trajectories) == (30, 24, 6, 5)
    assert summary.frontier_settings == len(front)
    assert summary.frontier_trajectories == len({r.trajectory for r in front}) < len(front)
    assert summary.reference == {"rate": 1.0, "gain": 0.0}
    assert summary.hypervolume == pytest.approx(hypervolume(objectives(front), (1.0, 0.0)))
    assert 0 < summary.hypervolume < 1


def test_branches_of_a_trunk_are_counted_as_one_training(rows):
    assert (summarise(rows).trainings, summarise(rows).frontier_trainings) == (
        summarise(rows).trajectories,
        summarise(rows).frontier_trajectories,
    )
    branches = [
        o.model_copy(
            update={
                "trajectory": f"{o.trajectory}-{o.step}",
                "training": o.training | {"schedule": "warmup_stable_decay"},
            }
        )
        for o in make_outcomes()
    ]
    found = summarise(frontier_rows(branches, make_start(), make_study()))
    assert (found.trajectories, found.trainings) == (15, 5)
    assert found.frontier_trainings == summarise(rows).frontier_trajectories < found.frontier_trajectories


def test_the_limit_that_pick_applies_is_counted_apart_from_the_constraints(rows):
    limits = {"harmful_response": Constraint(max=0.15), "over_refusal": Constraint(max=0.5)}
    limited = frontier_rows(make_outcomes(), make_start(), make_study(constraints=limits))
    assert [(r.key, r.feasible, r.violated) for r in limited] == [
        (r.key, r.feasible, r.violated) for r in rows
    ]
    for row in limited:
        assert row.within_limit == (None if row.rate is None else row.rate.high <= 0.15)
    found = summarise(limited)
    assert (found.feasible, found.violating) == (
        sum(r.feasible for r in rows),
        sum(bool(r.violated) for r in rows),
    )
    assert found.feasible + found.violating == found.scored
    assert 0 < found.violating < found.scored
    assert found.within_limit == sum(r.feasible and r.rate.high <= 0.15 for r in limited)
    assert 0 < found.within_limit < found.feasible
    assert summarise(rows).within_limit is None


def test_the_frontier_of_the_second_metric_is_kept_apart(rows):
    disagree = sum(r.on_frontier != r.on_secondary_frontier for r in rows)
    assert summarise(rows).secondary_disagrees == disagree > 0


def test_without_a_second_metric_there_is_no_second_frontier():
    outcomes = [o.model_copy(update={"secondary": None}) for o in make_outcomes()]
    found = frontier_rows(outcomes, make_start(), make_study())
    assert {r.on_secondary_frontier for r in found} == {None}
    assert summarise(found).secondary_disagrees is None


def test_a_gain_whose_interval_includes_nothing_is_not_shown():
    start = make_start()
    same = _setting(0.0, 0.0)
    better = _setting(0.5, 2.0)
    by_key = {r.key: r for r in frontier_rows([same, better], start, make_study())}
    assert by_key[better.key].gain_shown
    assert by_key[better.key].gain_label == "gain shown"
    near = by_key[same.key]
    assert near.gain.low < 0 < near.gain.high
    assert not near.gain_shown
    assert near.gain_label == "no gain shown"


def test_a_loss_is_not_called_a_gain():
    start = make_start()
    worse = _setting(0.0, 0.0, marks=start.marks | {"utility": "0" * 100})
    (row,) = frontier_rows([worse], start, make_study())
    assert row.gain.high < 0
    assert (row.gain_shown, row.gain_label) == (False, "loss shown")


def test_a_setting_that_breaks_a_constraint_is_neither_feasible_nor_on_the_frontier(rows):
    broken = [r for r in rows if r.violated]
    assert broken
    for row in broken:
        assert row.over_refusal.high > 0.5
        assert (row.feasible, row.on_frontier) == (False, False)
        assert row.violated[0].startswith("over_refusal.max exceeded by")
    assert all(r.over_refusal.high <= 0.5 for r in rows if r.feasible)


def test_the_upper_end_decides_about_a_constraint_and_not_the_value():
    # 25 refusals of 80: 31 %, upper end 42 %.
    start = make_start()
    study = make_study(constraints={"over_refusal": Constraint(max=0.4)})
    marks = "R" * 25 + "N" * 55
    outcome = _setting(1.0, 1.0)
    rate = outcome.rates["over_refusal"].model_copy(update={"value": 25 / 80, "high": 0.42})
    outcome = outcome.model_copy(
        update={
            "rates": outcome.rates | {"over_refusal": rate},
            "marks": outcome.marks | {"over_refusal": marks},
        }
    )
    (row,) = frontier_rows([outcome], start, study)
    assert row.over_refusal.value < 0.4
    assert row.violated == ("over_refusal.max exceeded by 2.0 points",)


def test_the_start_can_beat_a_setting_without_being_one():
    start = make_start()
    worse = _setting(3.0, 0.0, marks=start.marks | {"utility": "0" * 100})
    (row,) = frontier_rows([worse], start, make_study())
    assert row.beaten_by_start
    assert not any(r.beaten_by_start for r in frontier_rows(make_outcomes(), start, make_study()))
    assert row.on_frontier, "the start is a reference row: among the settings nothing beats this one"


def test_a_setting_without_one_scored_answer_is_listed_but_not_ranked():
    unscored = _setting(1.0, 1.0)
    empty = unscored.rates["harmful"].model_copy(
        update={"value": None, "hits": 0, "misses": 0, "unscored": 120}
    )
    unscored = unscored.model_copy(update={"rates": unscored.rates | {"harmful": empty}})
    (row,) = frontier_rows([unscored], make_start(), make_study())
    assert (row.feasible, row.on_frontier) == (False, False)
    assert row.reason == "no answer to a harmful prompt could be scored"


def test_feedback_settings_are_told_apart_by_their_decay():
    fed = _setting(1.0, 1.0, diagnostics={"feedback_decay": 0.9})
    (row,) = frontier_rows([fed], make_start(), make_study())
    assert row.profile == row.parameters["averaging"] == "feedback 0.9"


def test_another_judge_is_not_ranked_beside_the_start():
    other = _setting(1.0, 1.0, judge="other_judge@2")
    with pytest.raises(StudyError, match=r"other_judge@2.*refusal_phrases@1"):
        frontier_rows([other], make_start(), make_study())


def test_a_start_without_numbers_is_an_error():
    start = make_start().model_copy(update={"rates": {}, "status": "diverged", "reason": "out of luck"})
    with pytest.raises(StudyError, match=r"start model.*out of luck"):
        frontier_rows(make_outcomes(), start, make_study())


def test_no_outcome_at_all_is_an_empty_frontier():
    assert frontier_rows([], make_start(), make_study()) == []
    assert summarise([]).as_dict()["frontier_settings"] == 0


def test_rows_are_plain_json(rows):
    plain = [r.as_dict() for r in (*rows, start_row(make_start(), make_study()))]
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert again == plain
    assert again[0]["gain"]["value"] == rows[0].gain.value
    assert again[0]["rate"]["name"] == "non_refusal_rate"
    assert again[0]["rate"]["judge"] == "refusal_phrases@1"
    assert again[0]["gain_label"] == "gain shown"
    assert json.loads(json.dumps(summarise(rows).as_dict()))["reference"] == {"rate": 1.0, "gain": 0.0}


def test_the_start_row_says_its_safety_loss():
    start = make_start()
    assert start_row(start, make_study()).as_dict()["safety_loss"] is None
    prompts = [-9.0, -8.0, -7.0, -6.0]
    error = statistics.stdev(prompts) / math.sqrt(len(prompts))

    def said(**more: float) -> dict[str, object]:
        measured = start.model_copy(update={"diagnostics": {"safety_loss": -7.5} | more})
        found: dict[str, object] = start_row(measured, make_study()).as_dict()["safety_loss"]
        return found

    low, high = mean_interval(prompts)
    assert said(safety_loss_n=4.0, safety_loss_se=error) == {
        "value": -7.5,
        "low": pytest.approx(low),
        "high": pytest.approx(high),
        "n": 4,
        "interval": "t-95",
    }
    # Of a single prompt there is no interval, and nothing is made up of what wasn't recorded.
    none = {"value": -7.5, "low": None, "high": None, "interval": None}
    assert said(safety_loss_n=1.0) == none | {"n": 1}
    assert said() == none | {"n": None}


def test_the_start_row_has_no_gain_over_itself():
    row = start_row(make_start(), make_study())
    assert row.start
    assert (row.gain, row.over_refusal_rise, row.on_frontier, row.feasible) == (None, None, False, False)


def _setting(moved: float, learned: float, **fields) -> Outcome:
    place = {
        "trajectory": "t1",
        "training": {"learning_rate": 2e-4, "batch_size": 4},
        "seed": 0,
        "step": 5,
        "profile": Profile(kind="last"),
        "interpolation": 1.0,
        "key": f"{moved}-{learned}",
    }
    return make_outcome(moved, learned, noise="one", **(place | fields))
