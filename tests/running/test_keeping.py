"""Which weights are worth their disk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ftstab.evaluation.rates import exact_match_score, held_out_score, rate, win_rate_score
from ftstab.outcome import Outcome, Profile
from ftstab.plan import Trajectory
from ftstab.results import find_study
from ftstab.running.launcher import Context
from ftstab.running.reference import Reference
from ftstab.running.resume import Progress
from ftstab.running.weights import Keeper, surely_beaten
from ftstab.spec import Frontier
from ftstab.stats import clopper_pearson
from ftstab.store import Records, open_store
from tests.lab import Lab
from tests.outcomes import bare_outcome
from tests.report.synthetic import make_outcome, make_start

PLANNED, SPEC = 24, Frontier()
"""Settings of the study, and margin and level as they are by default."""


def outcome(
    key: str, hits: int, right: int | None, n: int = 100, lost: int = 0, planned: int | None = None
) -> Outcome:
    """A setting with so many answers not refused, so many that are lost, and so many tasks right."""
    marks = "N" * hits + "U" * lost + "R" * (n - hits - lost)
    score = None if right is None else exact_match_score("1" * right + "0" * (n - right), "u@1")
    found = rate("non_refusal_rate", "j@1", "b@1", marks, "N", [None] * n)
    return bare_outcome(
        key,
        rates={"harmful": found.model_copy(update={"planned": planned})},
        utility=score,
    )


def beaten(one: Outcome, *others: Outcome, planned: int = PLANNED, spec: Frontier = SPEC) -> bool:
    return surely_beaten(one, others, planned, spec)


POOR = outcome("poor", 80, 20)


@pytest.mark.parametrize(
    ("other", "sure"),
    [
        (outcome("better", 20, 80), True),
        (outcome("less harmful, no more useful", 20, 20), False),
        (outcome("more useful, no less harmful", 80, 80), False),
        (outcome("worse", 95, 5), False),
        (outcome("too little between them", 60, 40), False),
        (outcome("not measured", 20, None), False),
        (outcome("poor", 20, 80), False),
        (outcome("better, of few prompts", 2, 8, n=10), False),
        (outcome("better, if what is lost was harmless", 20, 80, lost=50), False),
        (outcome("better as far as it was asked", 20, 80, planned=200), False),
        (outcome("better, however it went on", 5, 80, planned=110), True),
    ],
)
def test_only_what_is_beyond_doubt(other: Outcome, sure: bool) -> None:
    assert beaten(POOR, POOR, other) == sure


def test_intervals_of_one_setting_at_a_time_would_delete_what_many_settings_leave_open() -> None:
    """Each interval alone misses once in 20; of 48 intervals some do, and the weights would be gone."""
    worse, better = outcome("worse", 52, 38), outcome("better", 28, 62)
    assert worse.utility is not None
    assert better.utility is not None
    assert better.rates["harmful"].high < worse.rates["harmful"].low
    assert (better.utility.low or 0) > (worse.utility.high or 1)
    assert not beaten(worse, better)
    # Two alone share the error with nobody else: the more settings, the more has to lie between them.
    far, near = outcome("far", 26, 66), outcome("near", 54, 36)
    assert beaten(near, far, planned=2)
    assert not beaten(near, far, planned=2000)


def test_the_error_is_shared_by_both_objectives_of_all_settings() -> None:
    """The smallest difference that is beyond doubt is the one of exact intervals at (1 - level) / (2 * planned)."""
    error = (1 - SPEC.level) / (2 * PLANNED)
    low = clopper_pearson(80, 100, 1 - error).low
    for hits in range(81):
        apart = clopper_pearson(hits, 100, 1 - error).high + SPEC.harm_margin < low
        assert beaten(POOR, outcome("other", hits, 95)) == apart, hits


def test_less_harmful_by_less_than_the_margin_is_no_frontier_lost() -> None:
    poor, other = outcome("poor", 800, 200, n=1000), outcome("other", 600, 800, n=1000)
    assert beaten(poor, other)
    assert not beaten(poor, other, spec=Frontier(harm_margin=0.2))


def losses(key: str, hits: int, mean: float) -> Outcome:
    """A setting whose utility is the loss of 100 rows around ``mean``."""
    rows = [mean + 0.1 * (-1) ** i for i in range(100)]
    found = held_out_score(rows, [5] * 100, "u@1")
    return outcome(key, hits, None).model_copy(
        update={"utility": found, "losses": rows, "loss_tokens": [5] * 100}
    )


def test_a_loss_is_better_lower() -> None:
    high, low = losses("high", 80, 2.0), losses("low", 20, 1.0)
    assert beaten(high, low)
    assert not beaten(low, high)
    # Of the t interval, half width 0.033 at this level, little must lie between them.
    assert not beaten(losses("high", 80, 1.05), low)


def test_a_win_rate_counts_ties_half_and_unscored_rows_either_way() -> None:
    def wins(key: str, hits: int, marks: str) -> Outcome:
        return outcome(key, hits, None).model_copy(update={"utility": win_rate_score(marks, "u@1", "c@1")})

    poor = wins("poor", 80, "0" * 60 + "T" * 40)
    assert beaten(poor, wins("better", 20, "1" * 60 + "T" * 40))
    assert not beaten(poor, wins("ties", 20, "0" * 40 + "T" * 60))
    assert not beaten(poor, wins("unscored", 20, "1" * 10 + "U" * 50 + "T" * 40))


def test_weights_stay_that_only_a_setting_beats_which_is_no_candidate(lab: Lab) -> None:
    """What breaks a constraint can't be picked, so it makes no other setting's weights needless."""
    kept = {}
    for name, limits in (("free", {}), ("bound", {"over_refusal": {"max": 0.9}})):
        study = find_study(str(lab.study(name, axes={"batch_size": [4], "steps": [1]}, constraints=limits)))[
            0
        ]
        trajectory = Trajectory("t", study.training, 0, None, None, 0, 1, ())
        context = Context(study, str(lab.folder), str(lab.store), "s", "t0", "d", "c")
        records = Records(open_store(lab.store, create=True))
        questions: Any = SimpleNamespace(outcome_key=lambda setting: setting)
        keeper = Keeper(study, records, Reference(context, questions, records).outcome)
        start = make_start()
        records.put_outcome(start.model_copy(update={"key": "s", "trajectory": "t0"}))
        # Refuses every look-alike, and is otherwise better than the one beside it beyond doubt.
        place = {"trajectory": "t", "training": {}, "seed": 0, "interpolation": 1.0}
        best, poor = (
            make_outcome(harm, use, noise=noise, step=step, profile=Profile(kind="last"), **place)
            for harm, use, noise, step in ((0.0, 3.0, "best", 1), (3.0, 0.0, "poor", 2))
        )
        over = "R" * len(best.marks["over_refusal"])
        old = best.rates["over_refusal"]
        all_refused = rate(old.name, old.judge, old.benchmark, over, "R", [None] * len(over))
        best = best.model_copy(
            update={
                "rates": best.rates | {"over_refusal": all_refused},
                "marks": best.marks | {"over_refusal": over},
            }
        )
        progress = Progress(trajectory, "a", {}, outcomes=[best, poor])
        kept[name] = keeper.worth_keeping(progress, poor)
    assert beaten(poor, best)
    assert kept == {"free": False, "bound": True}
