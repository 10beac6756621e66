"""MLflow in a local database: what a study looks like there, and that telling twice changes nothing."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftstab.errors import StudyError, TrackingError
from ftstab.evaluation.rates import Gain
from ftstab.plan import Plan
from ftstab.spec import Study
from ftstab.tracking import MlflowTracker
from tests.tracking import material as t

GAIN = Gain(0.1, 0.02, 0.18, 20, "newcombe-paired-95")
ATTEMPT = "20260101T000000-aaaaaa"


def tell(tracker: MlflowTracker, plan: Plan, trajectories: int = 1, gain: Gain | None = GAIN) -> None:
    """Tell the start and some trajectories whole."""
    tracker.log_start(t.start_outcome(plan))
    for trajectory in plan.trajectories[:trajectories]:
        tracker.log_trajectory(trajectory, ATTEMPT, {"device": "cpu", "versions": {"torch": "2.13.0"}})
        tracker.log_signals(trajectory.key, t.signals(trajectory.last))
        for setting in trajectory.settings:
            tracker.log_outcome(t.outcome(trajectory, setting), None, gain)
        tracker.end_trajectory(trajectory.key, "FINISHED")


def test_a_study_is_an_experiment_of_parents_and_children(study: Study, state_dir: Path) -> None:
    plan, tracker = t.plan_of(study), MlflowTracker(study, state_dir, t.STORE)
    tell(tracker, plan)
    client = t.mlflow_client(state_dir)
    runs = t.runs_of(client, study)
    parents, children, starts = (t.by_kind(runs, kind) for kind in ("trajectory", "setting", "start"))
    assert (len(parents), len(children), len(starts)) == (1, 4, 1) == (1, tracker.runs_added - 2, 1)

    trajectory = plan.trajectories[0]
    parent = parents[trajectory.key]
    assert parent.info.run_name == "lr=3e-5 batch=16"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["learning_rate"] == "3e-05"
    assert parent.data.params["seed"] == "0"
    assert parent.data.params["max_grad_norm"] == "null"
    assert parent.data.tags["ftstab.study"] == study.study
    assert parent.data.tags[f"ftstab.about.{ATTEMPT}.versions.torch"] == "2.13.0"
    losses = client.get_metric_history(parent.info.run_id, "loss")
    assert [(p.step, p.value) for p in losses] == [(s, 2 / s) for s in range(1, 11)]
    curve = client.get_metric_history(parent.info.run_id, "non_refusal_rate/ema 0.9")
    assert [p.step for p in curve] == [5, 10]
    assert parent.data.metrics["exact_match_gain/last"] == 0.1

    setting = trajectory.settings[-1]
    child, told = children[setting.key], t.outcome(trajectory, setting)
    assert child.info.run_name == "lr=3e-5 batch=16 step=10 ema 0.9"
    assert child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["ftstab.judge.harmful"] == "refusal_phrases@1"
    assert child.data.tags["ftstab.benchmark.harmful"] == "builtin:harmful@ab"
    assert child.data.tags["ftstab.status"] == "scored"
    assert child.data.tags["ftstab.record.decoding.max_new_tokens"] == "24"
    assert child.data.tags["ftstab.left_out"] == "diagnostics/half_life: inf, diagnostics/norm: nan"
    assert child.data.params["step"] == "10"
    assert child.data.params["profile"] == "ema 0.9"
    assert child.data.params["learning_rate"] == "3e-05"
    assert child.data.metrics["non_refusal_rate"] == told.rates["harmful"].value
    assert child.data.metrics["non_refusal_rate.high"] == told.rates["harmful"].high
    assert child.data.metrics["exact_match_gain.low"] == 0.02
    assert starts[plan.start.key].data.params["step"] == "0"


def test_telling_twice_changes_nothing(study: Study, state_dir: Path) -> None:
    plan = t.plan_of(study)
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tell(tracker, plan)
    before = t.everything(state_dir / "mlflow.db")
    tell_again = MlflowTracker(study, state_dir, t.STORE)
    for told in (tracker, tell_again):
        trajectory = plan.trajectories[0]
        told.log_start(t.start_outcome(plan))
        told.log_trajectory(trajectory, ATTEMPT, {"device": "cpu"}, running=False)
        told.log_signals(trajectory.key, t.signals(10))
        for setting in trajectory.settings:
            told.log_outcome(t.outcome(trajectory, setting), None, GAIN)
        told.end_trajectory(trajectory.key, "FINISHED")
    assert t.everything(state_dir / "mlflow.db") == before
    assert tell_again.runs_added == 0


def test_what_was_cut_short_is_finished(study: Study, state_dir: Path) -> None:
    """A driver died after it made a child, before it wrote to it; another after the trajectory's curves."""
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    whole = MlflowTracker(study, state_dir, t.STORE)
    tell(whole, plan)
    before = t.everything(state_dir / "mlflow.db")
    child = t.by_kind(t.runs_of(client, study), "setting")[trajectory.settings[0].key]
    for table in ("metrics", "latest_metrics", "params"):
        with closing(sqlite3.connect(state_dir / "mlflow.db")) as database, database:
            # The table names are those above.
            database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (child.info.run_id,))
    client.delete_tag(child.info.run_id, "ftstab.told")
    again = MlflowTracker(study, state_dir, t.STORE)
    tell(again, plan)
    after = t.everything(state_dir / "mlflow.db")
    assert {k: v for k, v in after.items() if k != "runs"} == {k: v for k, v in before.items() if k != "runs"}
    assert again.runs_added == 0


def test_signals_that_were_half_told_stand_once(study: Study, state_dir: Path) -> None:
    """A driver died after the first batch of points, before the last one with the mark."""
    plan = t.plan_of(study)
    trajectory = plan.trajectories[0]
    rows = [{"step": s, "loss": 1.0, "grad_norm": 2.0} for s in range(600)]
    first = MlflowTracker(study, state_dir, t.STORE)
    first.log_trajectory(trajectory, ATTEMPT, {})
    first.log_signals(trajectory.key, rows)
    client = t.mlflow_client(state_dir)
    (run,) = t.runs_of(client, study)
    client.delete_tag(run.info.run_id, f"ftstab.signals.{ATTEMPT}")
    time.sleep(0.01)
    again = MlflowTracker(study, state_dir, t.STORE)
    again.log_trajectory(trajectory, ATTEMPT, {})
    again.log_signals(trajectory.key, rows)
    with closing(sqlite3.connect(state_dir / "mlflow.db")) as database:
        (points,) = database.execute("SELECT count(*) FROM metrics").fetchone()
    assert points == 1200


def test_a_step_stands_at_the_seconds_that_were_trained_until_then(study: Study, state_dir: Path) -> None:
    trajectory = t.plan_of(study).trajectories[0]
    rows = [{"step": s, "loss": 1.0 / s, "seconds": 1.5} for s in range(1, 5)]
    for some in (rows[:2], rows, rows):  # a telling that goes on takes up the time where it was
        tracker = MlflowTracker(study, state_dir, t.STORE)
        tracker.log_trajectory(trajectory, ATTEMPT, {})
        tracker.log_signals(trajectory.key, some)
    client = t.mlflow_client(state_dir)
    (run,) = t.runs_of(client, study)
    times = {
        p.step: p.timestamp - run.info.start_time for p in client.get_metric_history(run.info.run_id, "loss")
    }
    assert times == {1: 1500, 2: 3000, 3: 4500, 4: 6000}


def test_an_outcome_measured_anew_replaces_its_run(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tell(tracker, plan)
    tracker.mark_frontier([trajectory.settings[0].key])
    told = t.outcome(trajectory, trajectory.settings[0])
    rates = dict(told.rates)
    rates["harmful"] = rates["harmful"].model_copy(update={"value": 0.75, "judge": "another@2"})
    tracker.log_outcome(told.model_copy(update={"rates": rates}), None, GAIN)
    runs = t.runs_of(client, study)
    child = t.by_kind(runs, "setting")[told.setting]
    assert child.data.metrics["non_refusal_rate"] == 0.75
    assert child.data.tags["ftstab.judge.harmful"] == "another@2"
    assert child.data.tags["ftstab.on_frontier"] == "true"
    history = client.get_metric_history(
        t.by_kind(runs, "trajectory")[trajectory.key].info.run_id, "non_refusal_rate/last"
    )
    assert [p.value for p in history if p.step == 5][-1] == 0.75


def test_a_run_that_was_made_twice_is_kept_once(study: Study, state_dir: Path) -> None:
    """A request that timed out, was carried out, and was sent again."""
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    tell(MlflowTracker(study, state_dir, t.STORE), plan)
    kept = {r.info.run_id for r in t.runs_of(client, study)}
    experiment = client.get_experiment_by_name(study.study).experiment_id
    tags = {"ftstab.kind": "setting", "ftstab.setting": plan.settings[0].key}
    client.create_run(experiment, start_time=1, tags=tags)
    tell(MlflowTracker(study, state_dir, t.STORE), plan)
    assert {r.info.run_id for r in t.runs_of(client, study)} == kept


def test_past_the_limit_only_the_frontier_gets_runs(state_dir: Path) -> None:
    study = t.make_study("tracking: {max_child_runs: 2}")
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    for _ in range(2):
        tracker = MlflowTracker(study, state_dir, t.STORE)
        tracker.log_trajectory(trajectory, ATTEMPT, {})
        for i, setting in enumerate(trajectory.settings):
            tracker.log_outcome(t.outcome(trajectory, setting), i == 3, None)
    runs = t.runs_of(client, study)
    children = t.by_kind(runs, "setting")
    assert set(children) == {trajectory.settings[i].key for i in (0, 1, 3)}
    parent = t.by_kind(runs, "trajectory")[trajectory.key]
    curves = [
        client.get_metric_history(parent.info.run_id, f"exact_match/{label}") for label in ("last", "ema 0.9")
    ]
    assert [[p.step for p in curve] for curve in curves] == [[5, 10], [5, 10]]


def test_the_frontier_is_a_tag_that_moves(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tell(tracker, plan)
    keys = [s.key for s in plan.trajectories[0].settings]
    for front in ({keys[0]}, {keys[1], keys[2]}):
        tracker.mark_frontier(front)
        children = t.by_kind(t.runs_of(client, study), "setting")
        assert {k for k, r in children.items() if r.data.tags["ftstab.on_frontier"] == "true"} == front


def test_a_gain_known_later_is_added(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    tell(MlflowTracker(study, state_dir, t.STORE), plan, gain=None)
    tell(MlflowTracker(study, state_dir, t.STORE), plan, gain=GAIN)
    runs = t.runs_of(client, study)
    assert all(r.data.metrics["exact_match_gain"] == 0.1 for r in t.by_kind(runs, "setting").values())
    parent = t.by_kind(runs, "trajectory")[plan.trajectories[0].key]
    assert len(client.get_metric_history(parent.info.run_id, "exact_match_gain/last")) == 2
    assert len(client.get_metric_history(parent.info.run_id, "exact_match/last")) == 2


def test_signals_come_once_and_by_attempt(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tracker.log_trajectory(trajectory, "first", {})
    tracker.log_signals(trajectory.key, t.signals(5))
    tracker.log_signals(
        trajectory.key, [{"step": 6, "loss": float("nan")}, {"step": 7, "loss": float("inf")}]
    )
    tracker.log_signals(trajectory.key, [])
    resumed = MlflowTracker(study, state_dir, t.STORE)
    resumed.log_trajectory(trajectory, "first", {})
    resumed.log_signals(trajectory.key, [{"step": s, "loss": 9.0, "spikes": 1} for s in range(4, 10)])
    resumed.log_trajectory(trajectory, "second", {"device": "cuda"})
    resumed.log_signals(trajectory.key, t.signals(3), "second")
    (parent,) = t.runs_of(client, study)
    points = {
        name: [(p.step, p.value) for p in client.get_metric_history(parent.info.run_id, name)]
        for name in parent.data.metrics
    }
    assert points["loss"] == [(s, 2 / s) for s in range(1, 6)] + [(8, 9.0), (9, 9.0)]
    assert points["attempt second/loss"] == [(s, 2 / s) for s in range(1, 4)]
    assert set(points) == {"loss", "grad_norm", "spikes", "attempt second/loss", "attempt second/grad_norm"}
    assert parent.data.tags["ftstab.left_out"] == "loss: nan at step 6"
    assert parent.data.tags["ftstab.attempt"] == "first"


def test_many_signals_and_tags_are_sent_in_batches(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tracker.log_trajectory(trajectory, "a", {f"name {i}": "x" * 9000 for i in range(250)})
    tracker.log_signals(trajectory.key, [{"step": s, "loss": 1.0, "grad_norm": 2.0} for s in range(1300)])
    (parent,) = t.runs_of(client, study)
    assert len(client.get_metric_history(parent.info.run_id, "loss")) == 1300
    assert sum(k.startswith("ftstab.about.a.") for k in parent.data.tags) == 250
    assert "ftstab.told" in parent.data.tags


def test_a_diverged_setting_has_a_run_with_a_reason(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tracker.log_trajectory(trajectory, ATTEMPT, {})
    tracker.log_outcome(t.diverged(trajectory, trajectory.settings[0]), False, None)
    tracker.end_trajectory(trajectory.key, "FAILED", "the loss is nan")
    runs = t.runs_of(client, study)
    (child,) = t.by_kind(runs, "setting").values()
    assert child.info.status == "FAILED"
    assert child.data.tags["ftstab.reason"] == "the loss is nan"
    assert "non_refusal_rate" not in child.data.metrics
    assert t.by_kind(runs, "trajectory")[trajectory.key].info.status == "FAILED"


def test_a_trajectory_gone_on_with_runs_again(study: Study, state_dir: Path) -> None:
    plan, client = t.plan_of(study), t.mlflow_client(state_dir)
    trajectory = plan.trajectories[0]
    tracker = MlflowTracker(study, state_dir, t.STORE)
    for end in ("KILLED", "FINISHED"):
        tracker.log_trajectory(trajectory, ATTEMPT, {})
        assert t.runs_of(client, study)[0].info.status == "RUNNING"
        tracker.end_trajectory(trajectory.key, end)
        assert t.runs_of(client, study)[0].info.status == end


def test_the_database_is_the_study_s_own(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with awkward letters, another working directory, and a file that can be copied alone."""
    monkeypatch.chdir(tmp_path)
    state = Path("a state#1 50%")
    tracker = MlflowTracker(study, state, t.STORE)
    tracker.log_start(t.start_outcome(t.plan_of(study)))
    with closing(sqlite3.connect(state / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    tracker.close()
    assert not (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "mlruns").exists()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "mlflow.db").write_bytes((state / "mlflow.db").read_bytes())
    client = t.mlflow_client(copy)
    assert len(t.runs_of(client, study)) == 1
    location = client.get_experiment_by_name(study.study).artifact_location
    assert location == (tmp_path / state / "mlflow-artifacts").as_uri()


def test_the_address_comes_from_the_study_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = t.make_study("tracking: {mlflow: 'http://host:1'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:other@there:2")
    assert MlflowTracker(named, tmp_path, t.STORE).address == "http://host:1"
    assert MlflowTracker(t.make_study(), tmp_path, t.STORE).address == "http://***@there:2"


@pytest.mark.parametrize("method", ["check", "log_start"])
def test_a_server_that_is_not_there_is_named_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cr3t@127.0.0.1:1")
    study = t.make_study()
    tracker = MlflowTracker(study, tmp_path, t.STORE)
    arguments = [t.start_outcome(t.plan_of(study))] if method == "log_start" else []
    with pytest.raises(TrackingError, match=r"\*\*\*@127.0.0.1:1 .*ftstab sync") as caught:
        getattr(tracker, method)(*arguments)
    assert "s3cr3t" not in str(caught.value)


def test_an_address_that_mlflow_refuses_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://me:s3cr3t@host")
    study = t.make_study()
    with pytest.raises(TrackingError, match="gopher") as caught:
        MlflowTracker(study, tmp_path, t.STORE).mark_frontier([])
    assert "s3cr3t" not in str(caught.value)


def test_a_deleted_experiment_is_not_filled_again(study: Study, state_dir: Path) -> None:
    client: Any = t.mlflow_client(state_dir)
    client.delete_experiment(client.create_experiment(study.study))
    with pytest.raises(TrackingError, match="was deleted; restore it"):
        MlflowTracker(study, state_dir, t.STORE).mark_frontier([])


def test_a_setting_needs_its_trajectory(study: Study, state_dir: Path) -> None:
    trajectory = t.plan_of(study).trajectories[0]
    with pytest.raises(StudyError, match="call log_trajectory first"):
        MlflowTracker(study, state_dir, t.STORE).log_outcome(
            t.outcome(trajectory, trajectory.settings[0]), None, None
        )


@pytest.mark.parametrize("name", ["0", "Default", "nan", "a..b", "A" * 64, "1e5"])
def test_any_name_of_a_study_is_an_experiment(state_dir: Path, name: str) -> None:
    study = t.make_study(name=f'"{name}"')
    tracker = MlflowTracker(study, state_dir, t.STORE)
    tracker.log_start(t.start_outcome(t.plan_of(study)))
    assert len(t.runs_of(t.mlflow_client(state_dir), study)) == 1
