"""A real MLflow server on this machine: killed while a study is told, started again, and made whole."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftstab.errors import TrackingError
from ftstab.store import Records
from ftstab.tracking import MlflowTracker, SyncReport, sync
from ftstab.tracking.address import check_reachable, local_url
from tests.tracking import material as t

SECRET = "hunter2-s3cr3t"
ATTEMPT = "20260101T000000-aaaaaa"


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """MLflow over the database in ``folder``; killed with everything it started."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        local_url(folder / "mlflow.db"),
        "--artifacts-destination",
        str(folder / "a"),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(port, process, folder)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(300):
        try:
            check_reachable(f"http://127.0.0.1:{port}", "MLflow", "")
            return
        except TrackingError:
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
    raise AssertionError((folder / "server.log").read_text())


def test_a_server_that_dies_loses_nothing(
    tmp_path: Path,
    databases: Path,
    state_dir: Path,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(databases / "mlflow.db", folder / "mlflow.db")
    (state_dir / "mlflow.db").unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://me:{SECRET}@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    study = t.make_study()
    plan = t.plan_of(study)
    t.fill_records(records, plan)
    trajectory = plan.trajectories[0]

    tracker = MlflowTracker(study, state_dir, records.store_id())
    with server(folder, port):
        tracker.log_start(t.start_outcome(plan))
        tracker.log_trajectory(trajectory, ATTEMPT, {"device": "cpu"})
        tracker.log_signals(trajectory.key, t.signals(5))
        tracker.log_outcome(t.outcome(trajectory, trajectory.settings[0]), None, None)
    began = time.monotonic()
    with pytest.raises(
        TrackingError, match=r"MLflow at http://\*\*\*@127.0.0.1:\d+ failed: .*ftstab sync"
    ) as caught:
        tracker.log_outcome(t.outcome(trajectory, trajectory.settings[1]), None, None)
    assert time.monotonic() - began < 15
    tracker.close()
    began = time.monotonic()
    with pytest.raises(TrackingError, match="can't be reached") as again:
        sync(study, plan, records, state_dir, t.Asked())
    assert time.monotonic() - began < 5

    with server(folder, port):
        # Optuna was told before MLflow was missed.
        assert sync(study, plan, records, state_dir, t.Asked()) == SyncReport(2, 8, 1 + 7, 0)
        before = t.everything(folder / "mlflow.db")
        assert sync(study, plan, records, state_dir, t.Asked()) == SyncReport(2, 8, 0, 0)
        assert t.everything(folder / "mlflow.db") == before
        client = t.mlflow_client(url)
        runs = t.runs_of(client, study)
        assert set(t.by_kind(runs, "setting")) == {s.key for s in plan.settings}
        parent = t.by_kind(runs, "trajectory")[trajectory.key]
        assert parent.info.status == "FINISHED"
        losses = client.get_metric_history(parent.info.run_id, "loss")
        assert [(p.step, p.value) for p in losses] == [(s, 2 / s) for s in range(1, 11)]
        assert client.get_experiment_by_name(study.study).artifact_location.startswith("mlflow-artifacts:")

    assert not (state_dir / "mlflow.db").exists()
    said = str(caught.value) + str(again.value) + caplog.text + "".join(capfd.readouterr())
    assert SECRET not in said
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert [f for f in files if SECRET.encode() in f.read_bytes()] == []
