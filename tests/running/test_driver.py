"""The driver with a table of recorded outcomes in place of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ftstab.errors import LeaseError, StudyError
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.results import find_study
from ftstab.running.driver import Finished as Ended
from ftstab.running.driver import run_study
from ftstab.running.launcher import Context, Event, JobSource, Launcher
from ftstab.running.table import TableLauncher
from ftstab.store import Lease
from tests.flow.test_pipeline import assert_tracked
from tests.lab import Finished, Lab, measured
from tests.tracking import material


@pytest.fixture
def table(finished: Finished) -> dict[str, Outcome]:
    """What the whole study found, by setting, the start among them."""
    return {o.setting: o for o in finished.lab.outcomes(finished.study).values()}


def run(lab: Lab, study: Path, launcher: Launcher) -> Ended:
    lab.with_databases(study.stem)
    return run_study(*find_study(str(study)), f"ftstab run {study}", Console(quiet=True), launcher)


def test_a_table_is_as_good_as_training(lab: Lab, finished: Finished, table: dict[str, Outcome]) -> None:
    study = lab.study("whole", constraints={"harmful_response": {"max": 0.4}})
    ended = run(lab, study, TableLauncher(table))
    assert (ended.failures, ended.tracking_lost) == ({}, None)
    assert measured(lab.outcomes(study)) == measured(finished.lab.outcomes(finished.study))
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_what_is_missing_is_tried_again(lab: Lab, table: dict[str, Outcome]) -> None:
    study = lab.study("whole")
    known = {o.trajectory for o in table.values() if not o.start}
    lost = min(known)
    part = {k: o for k, o in table.items() if o.trajectory != lost}
    ended = run(lab, study, TableLauncher(part))
    assert list(ended.failures) == [lost]
    assert "4 of 4 settings aren't in the table" in ended.failures[lost]
    assert len(ended.results.outcomes) == 4
    # Trackers that are told anew say why.
    assert [lab.records.failure("whole", key) for key in sorted(known)] == [
        ended.failures.get(key) for key in sorted(known)
    ]
    ended = run(lab, study, TableLauncher(table))
    assert ended.failures == {}
    assert lab.records.failure("whole", lost) is None
    assert len(ended.results.outcomes) == 8
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_without_a_start_nothing_is_trained(lab: Lab, table: dict[str, Outcome]) -> None:
    study = lab.study("whole")
    ended = run(lab, study, TableLauncher({k: o for k, o in table.items() if not o.start}))
    assert list(ended.failures) == [ended.results.plan.start.trajectory]
    assert ended.results.start is None
    assert ended.results.outcomes == ()
    with pytest.raises(StudyError, match="the start model hasn't been measured yet"):
        ended.results.need_start()


def test_the_start_is_measured_before_any_other_job_is_given(lab: Lab, table: dict[str, Outcome]) -> None:
    class Greedy:
        """Asks for a second job before the first is finished."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            first = source.next_job()
            assert first is not None
            assert first.key == context.start_trajectory
            assert source.next_job() is None
            assert not source.exhausted()
            records = lab.records
            start = table[context.start_setting]
            records.put_outcome(start)
            told = Event("outcome", start.trajectory, outcome=start.key)
            on_event(first, told)
            assert source.next_job() is None
            source.finished(first, None)
            second, third = source.next_job(), source.next_job()
            assert second is not None
            assert third is not None
            assert {second.key, third.key} == {o.trajectory for o in table.values() if not o.start}
            assert source.next_job() is None
            assert source.exhausted()
            for job in (second, third):
                for setting in job.settings:
                    outcome = table[setting.key]
                    records.put_outcome(outcome)
                    # A worker that was started again says it twice.
                    for _ in range(2):
                        on_event(job, Event("outcome", outcome.trajectory, outcome=outcome.key))
                source.finished(job, None)

    study = lab.study("whole")
    ended = run(lab, study, Greedy())
    assert len(ended.results.outcomes) == 8
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_what_a_killed_worker_stored_and_never_said_is_told(lab: Lab, table: dict[str, Outcome]) -> None:
    class Mute:
        """Stores outcomes as a worker does that is killed before the driver hears of them."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            while (job := source.next_job()) is not None:
                for setting in job.settings:
                    lab.records.put_outcome(table[setting.key])
                source.finished(job, None)
            assert source.exhausted()

    study = lab.study("whole")
    ended = run(lab, study, Mute())
    assert ended.failures == {}
    assert len(ended.results.outcomes) == 8
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_a_driver_ends_what_one_that_was_killed_left(lab: Lab, table: dict[str, Outcome]) -> None:
    study = lab.study("whole")
    keys = sorted({o.trajectory for o in table.values() if not o.start})

    def leave() -> None:
        for key in keys:
            records.save_state(key, "a1", 8, {"masters": b""})
            records.put_copy(key, "a1", 4, {"shadows": b""})

    def left() -> list[str]:
        found = [k.split("/") for k in records.store.list("trajectories")]
        return sorted({f"{k[1]} {k[2]}" for k in found if k[2] in ("states", "copies")})

    run(lab, study, TableLauncher(table))
    records = lab.records
    leave()
    run(lab, study, TableLauncher(table))
    assert left() == []
    # What another study of the store has still to train is its own.
    axes = {"learning_rate": [3e-3], "batch_size": [4], "steps": [6, 12, 18], "ema_decay": [0, 0.9]}
    other = lab.study("longer", axes=axes)
    assert run(lab, other, TableLauncher(table)).failures
    (shared,) = {t.key for t in lab.results(other).plan.trajectories}
    leave()
    run(lab, study, TableLauncher(table))
    assert left() == [f"{shared} copies", f"{shared} states"]


def test_a_lost_lease_is_noticed_while_a_job_runs(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TakenOver:
        """Measures the start; then another driver takes the study over, while the first trajectory is trained."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            start = source.next_job()
            assert start is not None
            lab.records.put_outcome(table[context.start_setting])
            source.finished(start, None)
            job = source.next_job()
            assert job is not None

            def lost(self: Lease) -> None:
                raise LeaseError("taken over")

            monkeypatch.setattr(Lease, "check", lost)
            outcome = table[job.settings[0].key]
            lab.records.put_outcome(outcome)
            for told in (
                lambda: on_event(job, Event("outcome", outcome.trajectory, outcome=outcome.key)),
                lambda: source.finished(job, None),
            ):
                with pytest.raises(LeaseError):
                    told()

    study = lab.study("whole")
    run(lab, study, TakenOver())
    client = material.mlflow_client(f"sqlite:///{lab.store / 'whole' / 'state' / 'mlflow.db'}")
    assert material.by_kind(material.runs_of(client, lab.results(study).study), "setting") == {}


def test_another_driver_is_refused_before_anything_is_prepared(
    lab: Lab, table: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = lab.study("whole")
    run(lab, study, TableLauncher(table))

    def prepared(*_: object) -> None:
        raise AssertionError("prepared all the same")

    monkeypatch.setattr("ftstab.running.driver.prepare", prepared)
    with Lease(lab.records.store, "whole"), pytest.raises(LeaseError, match="is being run by process"):
        run(lab, study, TableLauncher(table))
