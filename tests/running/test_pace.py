"""The time left: told once it rests on something, and right where workers are steady."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftstab.plan import open_work
from ftstab.running.pace import Pace
from tests.lab import Finished


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_nothing_is_told_before_a_tenth_is_done(hand: Hand) -> None:
    pace = Pace(hand)
    hand.seconds += 500  # Ray and MLflow start, and the start model is measured
    assert pace.left(10, 1) is None
    pace.begin("a")
    hand.seconds += 30
    assert pace.left(10, 1) is None
    pace.measured("a", 1)
    assert pace.left(20, 1) is None
    hand.seconds += 30
    pace.measured("a", 1)
    assert pace.left(8, 1) == pytest.approx(240)


def test_what_was_there_before_is_no_work_of_this_run(hand: Hand) -> None:
    """Of 22 settings 20 were there: the two that are made say how long one takes, whatever was there."""
    pace = Pace(hand)
    pace.measured("elsewhere", 20)
    pace.begin("a")
    hand.seconds += 60
    pace.measured("a", 1)
    assert pace.left(1, 1) == pytest.approx(60)
    hand.seconds += 45
    assert pace.left(1, 1) == pytest.approx(15)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_steady_workers_end_when_it_says(hand: Hand, workers: int) -> None:
    """Eight jobs of three settings, 10, 20 and 30 seconds: from the first estimate on it is never far off."""
    work, jobs = (10.0, 20.0, 30.0), 8
    total = sum(work) * jobs
    end = hand.seconds + total / workers
    pace, left, told = Pace(hand), total, []
    for first in range(0, jobs, workers):
        group = [f"job {i}" for i in range(first, first + workers)]
        for job in group:
            pace.begin(job)
        for one in work:
            hand.seconds += one
            for job in group:
                pace.measured(job, one)
                left -= one
                open_jobs = jobs - first
                if left and (said := pace.left(left, open_jobs)) is not None:
                    told.append(hand.seconds + said)
        for job in group:
            pace.end(job)
    assert hand.seconds == end
    assert len(told) > 10
    assert all(abs(one - end) <= 30 for one in told)


def test_work_is_counted_from_the_setting_before(finished: Finished) -> None:
    plan = finished.lab.results(finished.study).plan
    study = finished.lab.results(finished.study).study
    whole = open_work(study, replace(plan, done=frozenset()), 16)
    assert set(whole) == {s.key for s in plan.settings}
    assert open_work(study, plan, 16) == {}
    first = plan.trajectories[0].settings
    by_step = {step: [whole[s.key] for s in first if s.step == step] for step in (6, 12)}
    # Steps 6 and 12: as far from the start as from each other; further averages of a step cost their answers alone.
    assert by_step[6] == pytest.approx(by_step[12])
    assert by_step[6][0] > by_step[6][1] > 0
    # Where the store has step 6, the updates up to there are no work of this run.
    rest = open_work(study, replace(plan, done=frozenset(s.key for s in first if s.step == 6)), 16)
    assert {k: v for k, v in whole.items() if k in rest} == rest
