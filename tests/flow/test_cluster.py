"""A Ray cluster of two nodes and an MLflow server, all on the loopback; and a server that dies in mid-study."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.flow.test_pipeline import assert_tracked
from tests.flow.test_ray import training_workers
from tests.lab import PATIENCE, QUIET, QUIET_RAY, Finished, Lab, cli, measured, until
from tests.tracking.test_server import server


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Server:
    """An MLflow server that can be stopped and started again over the same database."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._stack.enter_context(server(self.folder, self.port))

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_databases: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow-server")
    shutil.copy(empty_databases / "mlflow.db", folder)
    made = Server(folder)
    made.start()
    yield made
    made.stop()


@dataclass(frozen=True)
class Cluster:
    address: str
    nodes: tuple[subprocess.Popen[bytes], ...]
    environment: dict[str, str]

    def workers(self) -> dict[int, psutil.Process]:
        """The worker that runs a job now, by the node of the cluster that it belongs to."""
        found = {}
        for node in self.nodes:
            for worker in training_workers(lambda raylet, node=node: os.getpgid(raylet.pid) == node.pid):
                found[node.pid] = worker
        return found

    def both_work(self, begun: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
        """Wait until both nodes work.  Once training has ``begun``, the node that is first is held until the other
        works too, or a quick one would do all of it alone."""
        held: dict[int, psutil.Process] = {}

        def both() -> bool:
            if begun():
                for node, worker in self.workers().items():
                    if node not in held:
                        worker.suspend()
                        held[node] = worker
            return len(held) == len(self.nodes)

        try:
            until(both, driver)
        finally:
            for worker in held.values():
                worker.resume()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head and another node, one CPU each, killed with everything they started."""
    folder = Path(tempfile.mkdtemp(prefix="ftstab-ray-"))
    from ftstab.running.environment import RAY

    port = free_port()
    environment = RAY | QUIET_RAY | {"RAY_TMPDIR": str(folder)}
    common = ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=80000000", "--block"]
    commands = [
        [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            f"--port={port}",
            "--include-dashboard=false",
            *common,
        ],
        [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            f"--address=127.0.0.1:{port}",
            "--node-name=second",
            *common,
        ],
    ]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            for command in commands:
                nodes.append(
                    subprocess.Popen(
                        command,
                        env=os.environ | QUIET | environment,
                        cwd=folder,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
                until(
                    lambda: (folder / "log").read_text().count("Ray runtime started") == len(nodes), nodes[-1]
                )
        yield Cluster(f"127.0.0.1:{port}", tuple(nodes), environment)
    finally:
        for node in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
def test_a_study_runs_on_a_cluster_and_a_server(
    lab: Lab, finished: Finished, cluster: Cluster, mlflow_server: Server
) -> None:
    # The model is named relative to the study file, whose folder is not that of the workers.
    model = os.path.relpath(lab.model, lab.folder)
    study = lab.study(
        "whole",
        base={"model": model},
        axes={"learning_rate": [3e-4, 3e-3], "batch_size": [4], "steps": [6, 12], "ema_decay": [0]},
        resources={"launcher": "ray", "ray_address": cluster.address},
    )
    driver = lab.start("run", study, **cluster.environment, MLFLOW_TRACKING_URI=mlflow_server.url)
    # The start model is asked before there is anything to train.
    cluster.both_work(lambda: len({k.split("/")[1] for k in lab.pieces("attempts")}) > 1, driver)
    out, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, out + err
    assert "4 of 4 settings measured" in out
    found, known = measured(lab.outcomes(study)), measured(finished.lab.outcomes(finished.study))
    assert found == {key: known[key] for key in found}
    assert_tracked(lab, study, settings=4, trajectories=2, mlflow=mlflow_server.url)
    assert not (lab.store / "whole" / "state" / "mlflow.db").exists()


def test_a_server_that_dies_in_mid_study_loses_nothing(lab: Lab, mlflow_server: Server) -> None:
    axes = {"learning_rate": [3e-4, 3e-3], "batch_size": [4], "steps": [6, 12]}
    study = lab.study("lost", axes=axes, tracking={"mlflow": mlflow_server.url})

    def kill() -> None:
        until(lambda: len(lab.pieces("outcomes")) >= 2)
        mlflow_server.stop()

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        done = cli("run", study, environment={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"})
    killed.result()
    assert done.code == 0, done.err
    assert "tracking lost, the study goes on: MLflow at" in done.out
    assert f"ftstab sync {study}" in done.out
    assert "4 of 4 settings measured" in done.out

    # A study doesn't begin while the server is named and dead; what is found is told once it is back.
    refused = cli("run", study)
    assert refused.code == 1
    assert "can't be reached" in refused.err
    mlflow_server.start()
    told = cli("sync", study, "--json").json
    assert told["outcomes"] == 4
    assert told["runs_added"] > 0
    assert_tracked(lab, study, settings=4, trajectories=2, mlflow=mlflow_server.url)
    assert cli("sync", study, "--json").json == told | {"runs_added": 0, "trials_added": 0}
