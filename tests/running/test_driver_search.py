"""The driver with a search, and a table of recorded outcomes in place of training."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

import pytest
from rich.console import Console

from ftstab.errors import StudyError
from ftstab.outcome import Outcome
from ftstab.plan import Job, Point
from ftstab.results import find_study
from ftstab.running.driver import run_study
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.running.table import TableLauncher
from ftstab.search import Search, Told
from tests.flow.test_pipeline import assert_tracked
from tests.lab import Finished, Lab
from tests.running.test_driver import run
from tests.tracking import material

SEARCH = {"method": "optuna", "budget": {"trajectories": 2}, "startup": 2}
SLOW = {"learning_rate": 3e-4, "batch_size": 4}
FAST = {"learning_rate": 3e-3, "batch_size": 4}


@pytest.fixture
def table(finished: Finished) -> dict[str, Outcome]:
    """What the whole grid found, by setting, the start among them."""
    return {o.setting: o for o in finished.lab.outcomes(finished.study).values()}


def asks(monkeypatch: pytest.MonkeyPatch, points: Iterable[Point]) -> None:
    """Have the search ask these points, then nothing more."""
    left = list(points)

    def following(
        self: Search, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point] = ()
    ) -> Point | None:
        return left.pop(0) if left else None

    monkeypatch.setattr(Search, "next", following)


def test_more_steps_of_what_runs_are_trained_when_it_ends(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(monkeypatch, [Point(SLOW, 6, "sampler"), Point(SLOW, 12, "sampler")])

    class TwoWorkers:
        """Asks for a second job before the first is finished."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            def finish(job: Job) -> None:
                for setting in job.settings:
                    outcome = table[setting.key]
                    lab.records.put_outcome(outcome)
                    on_event(job, Event("outcome", outcome.trajectory, outcome=outcome.key))
                source.finished(job, None)

            start = source.next_job()
            assert start is not None
            finish(start)
            short = source.next_job()
            assert short is not None
            assert short.trunk.stops == (6,)
            assert source.next_job() is None
            assert not source.exhausted()
            finish(short)
            longer = source.next_job()
            assert longer is not None
            assert longer.trunk.stops == (6, 12)
            finish(longer)
            assert source.next_job() is None
            assert source.exhausted()

    study = lab.study("more", search=SEARCH)
    ended = run(lab, study, TwoWorkers())
    assert len(ended.results.outcomes) == 4
    assert_tracked(lab, study, settings=4, trajectories=1)


def test_a_trajectory_that_failed_and_is_asked_again_is_no_failure_any_more(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(monkeypatch, [Point(SLOW, 6, "sampler"), Point(SLOW, 12, "sampler")])

    class Recovering:
        """Loses the worker of the first trajectory."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            lost = 0
            while (job := source.next_job()) is not None:
                if len(job.settings) > 1 and not lost:
                    lost += 1
                    source.finished(job, "no memory")
                    continue
                for setting in job.settings:
                    outcome = table[setting.key]
                    lab.records.put_outcome(outcome)
                    on_event(job, Event("outcome", outcome.trajectory, outcome=outcome.key))
                source.finished(job, None)
            assert lost
            assert source.exhausted()

    study = lab.study("recovered", search=SEARCH)
    ended = run(lab, study, Recovering())
    assert ended.failures == {}
    assert len(ended.results.outcomes) == len(ended.results.plan.settings) == 4


def test_what_is_stored_is_told_as_finished(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.with_databases("stored")
    for outcome in table.values():
        lab.records.put_outcome(outcome)
    asks(monkeypatch, [Point(SLOW, 12, "sampler"), Point(FAST, 12, "sampler")])
    study = lab.study("stored", search=SEARCH)
    run(lab, study, TableLauncher({}))
    assert_tracked(lab, study, settings=8, trajectories=2)
    client = material.mlflow_client(f"sqlite:///{lab.store / 'stored' / 'state' / 'mlflow.db'}")
    runs = material.by_kind(material.runs_of(client, lab.results(study).study), "trajectory")
    assert {r.info.status for r in runs.values()} == {"FINISHED"}


def test_the_number_of_settings_grows_with_what_is_asked(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(monkeypatch, [Point(SLOW, 12, "sampler"), Point(FAST, 12, "sampler")])
    study = lab.study("hourly", search=SEARCH | {"budget": {"hours": 1.0}})
    lab.with_databases("hourly")
    said = io.StringIO()
    run_study(*find_study(str(study)), "ftstab run", Console(file=said, width=200), TableLauncher(table))
    assert [f"[{i}/{4 if i < 5 else 8}]" in said.getvalue() for i in range(1, 9)] == [True] * 8


def test_a_search_whose_trajectories_all_fail_asks_for_no_more(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"}, "steps": [6]}
    study = lab.study("failing", axes=axes, search=SEARCH | {"budget": {"hours": 1.0}})
    start = {k: o for k, o in table.items() if o.start}
    ended = run(lab, study, TableLauncher(start))
    assert len(ended.failures) == len(ended.results.plan.trajectories) == 3
    # What failed is tried again, and then there is more to ask.
    ended = run(lab, study, TableLauncher(start))
    assert len(ended.failures) == len(ended.results.plan.trajectories) == 6


def test_a_start_without_numbers_ends_a_search_before_anything_is_trained(
    lab: Lab, table: dict[str, Outcome]
) -> None:
    study = lab.study("blind", search=SEARCH)
    start = next(o for o in table.values() if o.start)
    rates = start.rates | {"harmful": start.rates["harmful"].model_copy(update={"value": None})}
    blind = {start.setting: start.model_copy(update={"rates": rates})}
    for _ in range(2):
        with pytest.raises(
            StudyError, match="objectives: harmful_response has no number for the start model"
        ):
            run(lab, study, TableLauncher(blind))


def test_narrower_axes_keep_what_was_found(lab: Lab, table: dict[str, Outcome]) -> None:
    study = lab.study("narrowed", search=SEARCH)
    assert len(run(lab, study, TableLauncher(table)).results.outcomes) == 8
    axes = {
        "learning_rate": {"low": 2e-3, "high": 2.9e-3},
        "batch_size": [4],
        "steps": [6, 12],
        "ema_decay": [0, 0.9],
    }
    study = lab.study("narrowed", axes=axes, search=SEARCH)
    assert len(run(lab, study, TableLauncher(table)).results.outcomes) == 8
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_a_fixed_field_that_becomes_an_axis_stays_what_it_was(lab: Lab, table: dict[str, Outcome]) -> None:
    axes = {"learning_rate": [3e-4, 3e-3], "steps": [6, 12], "ema_decay": [0, 0.9]}
    study = lab.study("widened", axes=axes, training={"batch_size": 4}, search=SEARCH)
    assert len(run(lab, study, TableLauncher(table)).results.outcomes) == 8
    study = lab.study("widened", axes=axes | {"batch_size": [2, 4, 16]}, search=SEARCH)
    assert len(lab.results(study).outcomes) == 8
    assert len(run(lab, study, TableLauncher(table)).results.outcomes) == 8
