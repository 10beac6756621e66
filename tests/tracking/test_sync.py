"""Both views made again from a real store, whole and in part, and nothing told twice."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ftstab.errors import TrackingError
from ftstab.frontier import frontier_rows
from ftstab.plan import study_plan
from ftstab.spec import Study, parse_study
from ftstab.store import Records, open_store
from ftstab.tracking import MlflowTracker, OptunaTracker, SyncReport, sync
from ftstab.tracking.address import local_url
from tests.tracking import material as t

ASKED = t.Asked()


def trials(study: Study, state_dir: Path, records: Records) -> list[tuple[str, str]]:
    tracker = OptunaTracker(study, t.plan_of(study), state_dir, ASKED.key, records.store_id())
    found = sorted((x.user_attrs["setting"], x.state.name) for x in tracker.study.get_trials(deepcopy=False))
    tracker.close()
    return found


def test_a_whole_study_is_told_once(study: Study, state_dir: Path, records: Records) -> None:
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    assert sync(study, plan, records, state_dir, ASKED) == SyncReport(2, 8, 1 + 2 + 8, 8)
    client = t.mlflow_client(state_dir)
    runs = t.runs_of(client, study)
    children = t.by_kind(runs, "setting")
    assert set(children) == {s.key for s in plan.settings}
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert trials(study, state_dir, records) == sorted((s.key, "COMPLETE") for s in plan.settings)

    outcomes = [t.outcome(x, s) for x in plan.trajectories for s in x.settings]
    rows = {r.setting: r for r in frontier_rows(outcomes, t.start_outcome(plan), study)}
    for key, child in children.items():
        assert child.data.tags["ftstab.on_frontier"] == str(rows[key].on_frontier).lower()
        gain = rows[key].gain
        assert gain is not None
        assert child.data.metrics["exact_match_gain"] == pytest.approx(gain.value)
    assert sum(r.on_frontier for r in rows.values()) > 1

    before = t.everything(state_dir / "mlflow.db")
    assert sync(study, plan, records, state_dir, ASKED) == SyncReport(2, 8, 0, 0)
    assert t.everything(state_dir / "mlflow.db") == before
    assert len(trials(study, state_dir, records)) == 8


def test_an_unfinished_study_is_told_as_far_as_it_is(study: Study, state_dir: Path, records: Records) -> None:
    plan = t.plan_of(study)
    last = plan.trajectories[-1]
    missing = [last.settings[-1].key, *(s.key for s in plan.trajectories[-2].settings)]
    t.fill_records(records, plan, leave_out=missing)
    diverged = plan.trajectories[-2]
    for setting in diverged.settings:
        records.put_outcome(t.diverged(diverged, setting))
    report = sync(study, plan, records, state_dir, ASKED)
    assert (report.outcomes, report.trials_added) == (7, 7)
    client = t.mlflow_client(state_dir)
    parents = t.by_kind(t.runs_of(client, study), "trajectory")
    assert parents[last.key].info.status == "KILLED"
    assert parents[diverged.key].info.status == "FAILED"
    assert parents[diverged.key].data.tags["ftstab.reason"] == "the loss is nan"
    records.put_outcome(t.outcome(last, last.settings[-1]))
    report = sync(study, plan, records, state_dir, ASKED)
    assert (report.outcomes, report.runs_added, report.trials_added) == (8, 1, 1)
    assert t.by_kind(t.runs_of(client, study), "trajectory")[last.key].info.status == "FINISHED"


def test_why_a_trajectory_is_not_finished_is_told_again(
    study: Study, state_dir: Path, records: Records
) -> None:
    plan = t.plan_of(study)
    done, lost = plan.trajectories
    t.fill_records(records, plan, leave_out=[lost.settings[-1].key])
    for trajectory in (done, lost):
        records.put_failure(study.study, trajectory.key, "out of memory")
    records.put_failure("another", lost.key, "judge unavailable")

    def told(key: str) -> tuple[str, str | None]:
        sync(study, plan, records, state_dir, ASKED)
        run = t.by_kind(t.runs_of(t.mlflow_client(state_dir), study), "trajectory")[key]
        return run.info.status, run.data.tags.get("ftstab.reason")

    assert told(lost.key) == ("KILLED", "out of memory")
    assert told(done.key) == ("FINISHED", None)
    records.drop_failure(study.study, lost.key)
    assert told(lost.key) == ("KILLED", "not finished yet")


def test_curves_without_a_prefix_are_those_of_the_attempt_that_outcomes_name(
    study: Study, state_dir: Path, records: Records
) -> None:
    """An older attempt that came to nothing stands under its name, whenever it is told."""
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    first = plan.trajectories[0]
    older, newer = "20250101T000000-bbbbbb", "20270101T000000-cccccc"
    for attempt in (older, newer):
        records.put_attempt(first.key, attempt, {})
        records.put_signals(first.key, attempt, [{"step": 1, "loss": 9.0}])
    sync(study, plan, records, state_dir, ASKED)
    run = t.by_kind(t.runs_of(t.mlflow_client(state_dir), study), "trajectory")[first.key]
    assert run.data.metrics["loss"] == 2.0 / first.last
    assert {run.data.metrics[f"attempt {a}/loss"] for a in (older, newer)} == {9.0}


def test_without_outcomes_they_are_those_of_the_oldest(
    study: Study, state_dir: Path, records: Records
) -> None:
    plan = t.plan_of(study)
    first = plan.trajectories[0]
    for attempt, loss in (("20270101T000000-cccccc", 9.0), ("20250101T000000-bbbbbb", 1.0)):
        records.put_attempt(first.key, attempt, {})
        records.put_signals(first.key, attempt, [{"step": 1, "loss": loss}])
    sync(study, plan, records, state_dir, ASKED)
    run = t.by_kind(t.runs_of(t.mlflow_client(state_dir), study), "trajectory")[first.key]
    assert run.data.metrics["loss"] == 1.0


def test_an_empty_store_leaves_empty_views(study: Study, state_dir: Path, records: Records) -> None:
    assert sync(study, t.plan_of(study), records, state_dir, ASKED) == SyncReport(0, 0, 0, 0)
    assert t.mlflow_client(state_dir).get_experiment_by_name(study.study) is None


def test_what_belongs_to_others_is_passed_over(study: Study, state_dir: Path, records: Records) -> None:
    """Trajectories are shared: the store has other steps and other evaluations of them."""
    wider = parse_study(t.SPEC.format(name="wider", more="").replace("[5, 10]", "[5, 10, 20]"))
    t.fill_records(records, t.plan_of(wider))
    plan = t.plan_of(study)
    for trajectory in plan.trajectories:
        for setting in trajectory.settings:
            told = t.outcome(trajectory, setting)
            rates = {r: x.model_copy(update={"judge": "another@9"}) for r, x in told.rates.items()}
            records.put_outcome(told.model_copy(update={"key": f"other-{setting.key}", "rates": rates}))
    report = sync(study, plan, records, state_dir, ASKED)
    assert (report.outcomes, report.trials_added) == (8, 8)
    children = t.by_kind(t.runs_of(t.mlflow_client(state_dir), study), "setting")
    assert {r.data.tags["ftstab.judge.harmful"] for r in children.values()} == {"refusal_phrases@1"}


def test_limits_wait_for_the_start(state_dir: Path, records: Records) -> None:
    study = t.make_study("constraints: {over_refusal: {max_rise: 0.1}}")
    plan = t.plan_of(study)
    trajectory = plan.trajectories[0]
    records.put_outcome(t.outcome(trajectory, trajectory.settings[0]))
    assert sync(study, plan, records, state_dir, ASKED) == SyncReport(1, 1, 2, 0)
    records.put_outcome(t.start_outcome(plan))
    assert sync(study, plan, records, state_dir, ASKED) == SyncReport(1, 1, 1, 1)


def test_trunks_and_branches(state_dir: Path, records: Records) -> None:
    study = t.make_study("training: {schedule: warmup_stable_decay}")
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    report = sync(study, plan, records, state_dir, ASKED)
    assert report == SyncReport(2 * 3, 8, 1 + 2 * 3 + 8, 8)
    parents = t.by_kind(t.runs_of(t.mlflow_client(state_dir), study), "trajectory")
    assert {p.info.status for p in parents.values()} == {"FINISHED"}


def test_a_second_seed_is_told_beside_the_first(state_dir: Path, records: Records) -> None:
    one, two = t.make_study(), t.make_study("seeds: {search: [0, 1]}")
    t.fill_records(records, t.plan_of(two))
    assert sync(one, t.plan_of(one), records, state_dir, ASKED).trials_added == 8
    report = sync(two, t.plan_of(two), records, state_dir, ASKED)
    assert (report.trials_added, report.runs_added) == (8, 2 + 8)


def test_no_secret_is_written(
    state_dir: Path,
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A login in the address of the storage, first of a server that is down, is in no file and no message."""
    secret = "hunter2-s3cr3t"
    study = t.make_study("tracking: {optuna: FTSTAB_TEST_STORAGE}")
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    monkeypatch.setenv("FTSTAB_TEST_STORAGE", f"postgresql://me:{secret}@127.0.0.1:1/name")
    with pytest.raises(TrackingError) as caught:
        sync(study, plan, records, state_dir, ASKED)
    url = f"sqlite:///file:{state_dir}/optuna.db?uri=true&password={secret}"
    monkeypatch.setenv("FTSTAB_TEST_STORAGE", url)
    assert sync(study, plan, records, state_dir, ASKED).trials_added == 8
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert {"mlflow.db", "optuna.db"} < {f.name for f in files}
    assert [f for f in files if secret.encode() in f.read_bytes()] == []
    assert secret not in str(caught.value) + caplog.text + "".join(capfd.readouterr())


def test_two_stores_never_share_an_experiment(
    study: Study, state_dir: Path, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one server a study of the same name in another store would replace the runs of the first."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_url(state_dir / "mlflow.db"))
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    sync(study, plan, records, state_dir, ASKED)
    before = t.everything(state_dir / "mlflow.db")
    other = Records(open_store(tmp_path / "other", create=True))
    t.fill_records(other, plan)
    with pytest.raises(TrackingError, match="of another store") as caught:
        sync(study, plan, other, tmp_path, ASKED)
    assert records.store_id() in str(caught.value)
    assert other.store_id() in str(caught.value)
    with pytest.raises(TrackingError, match="of another store"):
        MlflowTracker(study, tmp_path, other.store_id()).check()
    assert t.everything(state_dir / "mlflow.db") == before
    # A copy of a store is that store.
    shutil.copytree(tmp_path / "store", tmp_path / "copied")
    copied = Records(open_store(tmp_path / "copied"))
    assert sync(study, plan, copied, state_dir, ASKED).runs_added == 0


def test_two_stores_never_share_an_optuna_study(
    study: Study, state_dir: Path, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSTAB_TEST_STORAGE", local_url(state_dir / "optuna.db"))
    study = t.make_study("tracking: {optuna: FTSTAB_TEST_STORAGE}")
    plan = t.plan_of(study)
    first = OptunaTracker(study, plan, state_dir, ASKED.key, records.store_id())
    number = first.ask(plan.jobs[0])
    other = OptunaTracker(study, plan, tmp_path, ASKED.key, "another")
    with pytest.raises(TrackingError, match=rf"id {records.store_id()}; this study's store has another"):
        other.check()
    # What the first has running goes on.
    assert first.study.trials[number].state.name == "RUNNING"
    first.close()
    other.close()


def test_what_names_no_store_is_adopted(study: Study, state_dir: Path, records: Records) -> None:
    """Earlier versions didn't say whose an experiment is."""
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    sync(study, plan, records, state_dir, ASKED)
    for database, table in (("mlflow", "experiment_tags"), ("optuna", "study_user_attributes")):
        with closing(sqlite3.connect(state_dir / f"{database}.db")) as connection, connection:
            # The table names are those above.
            assert connection.execute(f"DELETE FROM {table} WHERE key LIKE '%store'").rowcount > 0
    assert sync(study, plan, records, state_dir, ASKED).runs_added == 0
    with pytest.raises(TrackingError, match="of another store"):
        MlflowTracker(study, state_dir, "another").mark_frontier([])


def test_the_report_is_plain_data() -> None:
    assert json.loads(json.dumps(SyncReport(1, 2, 3, 4).as_dict())) == {
        "trajectories": 1,
        "outcomes": 2,
        "runs_added": 3,
        "trials_added": 4,
    }


def test_another_base_is_another_optuna_study(study: Study, state_dir: Path, records: Records) -> None:
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    sync(study, plan, records, state_dir, ASKED)
    other = study_plan(study, base="another", data="data")
    assert sync(study, other, records, state_dir, ASKED).trials_added == 0
    assert len(trials(study, state_dir, records)) == 8
