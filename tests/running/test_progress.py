"""What the person at the terminal sees."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ftstab.frontier import frontier_rows, start_row
from ftstab.frontier_row import SafetyLoss
from ftstab.results import Results
from ftstab.running.launcher import Event
from ftstab.running.pace import Pace
from ftstab.running.progress import Show, clock
from ftstab.wording.numbers import number
from tests.lab import Finished


@pytest.fixture
def results(finished: Finished) -> Results:
    return finished.lab.results(finished.study)


def make(results: Results, terminal: bool) -> tuple[Show, io.StringIO, list[float]]:
    """A study of eight settings, two of which were there before; its clock stands at the number in the list."""
    out, at = io.StringIO(), [0.0]
    console = Console(file=out, force_terminal=terminal, width=200, color_system=None)
    show = Show(console, results.study, Pace(lambda: at[0]))
    show.expect(8, 2, {o.setting: 1.0 for o in results.outcomes[2:]}, jobs=2)
    return show, out, at


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (1e6, "277.8 h")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("terminal", [True, False])
def test_one_line_per_setting_and_the_time_left(results: Results, terminal: bool) -> None:
    start, job = results.need_start(), results.plan.jobs[0]
    rows = {r.key: r for r in frontier_rows(results.outcomes, start, results.study)}
    show, out, at = make(results, terminal)
    with show:
        assert show.left() == "time left unknown"
        show.event(results.plan.start_job, Event("phase", start.trajectory, message="loading the model"))
        show.start(start_row(start, results.study))
        show.ended(results.plan.start_job)
        at[0] = 300.0
        show.event(job, Event("update", job.key, 3, 9, loss=1.25))
        assert show.left() == "time left unknown"
        at[0] = 320.0
        show.setting(job, rows[results.outcomes[2].key])
        # Five more like this one: what came before the trajectory began counts nothing.
        assert show.left() == f"about {clock(100)} left"
        show.note("[bold]careful[/bold]")
    said = out.getvalue()
    assert "start model: non-refusal rate 0.0 %" in said
    assert said.count("measuring the start model") == 1
    assert "[3/8] " in said
    assert "[bold]careful[/bold]" in said
    assert ("trajectory 1: step 3/9, loss 1.250" in said) == terminal


def test_the_safety_loss_of_the_start_is_said(results: Results) -> None:
    """A bound on it can't be set without that."""
    show, out, _ = make(results, terminal=False)
    row = start_row(results.need_start(), results.study)
    with show:
        show.start(row)
        show.start(replace(row, safety_loss=SafetyLoss(-7.512, -7.9, -7.124, 64, "t-95")))
        show.start(replace(row, safety_loss=SafetyLoss(-7.512, None, None, 1, None)))
    plain, measured, single = (
        line for line in out.getvalue().splitlines() if line.startswith("start model:")
    )
    assert measured == f"{plain}, safety loss −7.51 [−7.90, −7.12] nats"
    assert single == f"{plain}, safety loss −7.51 nats"


def test_a_trajectory_is_said_in_words_when_it_begins(results: Results) -> None:
    show, out, _ = make(results, terminal=False)
    first, second = results.plan.jobs
    for _ in range(2):
        for job in (second, first):
            show.event(job, Event("phase", job.key, message="loading the model"))
    show.event(first, Event("resumed", first.key, 4))
    show.failed(first, "out of memory")
    rates = [job.trunk.training.learning_rate for job in (second, first)]
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("A trajectory is one training run; a setting is")
    assert lines[1:] == [
        *(f"trajectory {i} of 2: learning rate {number(rate)}, seed 0" for i, rate in enumerate(rates, 1)),
        "trajectory 2: continuing from step 4",
        "trajectory 2 failed: out of memory",
    ]


def test_without_a_terminal_it_speaks_now_and_then(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftstab.running.progress.QUIET_SECONDS", 0.0)
    show, out, _ = make(results, terminal=False)
    job = results.plan.jobs[0]
    with show:
        show.event(job, Event("update", job.key, 3, 9, loss=1.25))
        show.event(job, Event("phase", job.key, message="answering step 9, last"))
        show.ended(job)
    assert "trajectory 1: step 3/9, loss 1.250; 2 of 8 settings, time left unknown" in out.getvalue()
    assert "trajectory 1: answering step 9, last" in out.getvalue()
    assert out.getvalue().splitlines()[-1].startswith("  waiting; 2 of 8 settings")


def test_what_a_search_has_not_asked_yet_is_like_what_it_has(results: Results) -> None:
    """Of twelve settings four are known; each takes ten seconds."""
    rows = frontier_rows(results.outcomes, results.need_start(), results.study)
    at = [0.0]
    show = Show(Console(file=io.StringIO()), results.study, Pace(lambda: at[0]))
    show.expect(12, 0, {}, jobs=0)
    show.asked(4, {row.setting: 2.0 for row in rows[:4]}, bounded=True)
    job = results.plan.jobs[0]
    show.event(job, Event("phase", job.key, message="loading the model"))
    for row in rows[:2]:
        at[0] += 10
        show.setting(job, row)
    assert show.left() == f"about {clock(100)} left"
    # Nobody knows how many there will be.
    show.asked(13, {}, bounded=False)
    assert show.left() == "time left unknown"


def test_what_a_trajectory_could_not_do_is_not_waited_for(results: Results) -> None:
    first, second = results.plan.jobs
    start = results.need_start()
    rows = {r.setting: r for r in frontier_rows(results.outcomes, start, results.study)}
    at = [0.0]
    show = Show(Console(file=io.StringIO()), results.study, Pace(lambda: at[0]))
    show.expect(8, 0, {s.key: 1.0 for s in results.plan.settings}, jobs=2)
    show.event(first, Event("phase", first.key, message="loading the model"))
    at[0] = 20
    show.setting(first, rows[first.settings[0].key])
    assert show.left() == f"about {clock(20 * 7)} left"
    show.failed(first, "out of memory")
    show.ended(first)
    assert show.left() == f"about {clock(20 * len(second.settings))} left"
