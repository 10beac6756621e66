"""The same study on Ray workers: the same numbers, also when a worker is killed in the middle of a trajectory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from ftstab.store import open_store
from tests.flow.test_pipeline import assert_tracked, secrets
from tests.lab import Finished, Lab, measured, until

pytestmark = pytest.mark.ray


def test_a_study_on_ray_finds_what_it_finds_in_one_process(
    finished: Finished, lab: Lab, local_ray: Path
) -> None:
    study = lab.study("whole", constraints={"harmful_response": {"max": 0.4}}, resources={"launcher": "ray"})
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "8 of 8 settings measured" in done.out
    assert measured(lab.outcomes(study)) == measured(finished.lab.outcomes(finished.study))
    assert_tracked(lab, study, settings=8, trajectories=2)
    # Neither Tune's own files nor the logs of workers hold what was asked or answered.
    hidden = secrets(lab)
    files = [p for p in (*(lab.store / "whole").rglob("*"), *local_ray.rglob("logs/*")) if p.is_file()]
    assert any("ray-" in str(p) for p in files)
    assert any(p.name.startswith("worker-") for p in files)
    assert not [(p, text) for p in files for text in hidden if text in p.read_bytes()]


def training_workers(node: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Workers that run a job now and belong to a raylet for which ``node`` is true; never those of others."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::") and "train" in title:
            with suppress(psutil.NoSuchProcess):
                if any(parent.name() == "raylet" and node(parent) for parent in process.parents()):
                    found.append(process)
    return found


@contextmanager
def killing(lab: Lab, ray: Path, after: int) -> Iterator[Future[tuple[int, str]]]:
    """Kill the worker that trains once a state of ``after`` steps is saved; gives that state's step and attempt."""

    def far_enough() -> tuple[int, str] | None:
        for trajectory in {k.split("/")[1] for k in lab.records.store.list("trajectories")}:
            state = lab.records.latest_state(trajectory)
            if state is not None and state.step >= after:
                return state.step, state.attempt
        return None

    def kill() -> tuple[int, str]:
        at = until(far_enough)
        (worker,) = training_workers(lambda raylet: str(ray) in " ".join(raylet.cmdline()))
        os.kill(worker.pid, signal.SIGKILL)
        return at

    open_store(lab.store, create=True)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(kill)


def test_a_killed_worker_goes_on_from_its_last_state(
    lab: Lab, local_ray: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    axes = {"learning_rate": [3e-3], "batch_size": [4], "steps": [5, 30, 40], "ema_decay": [0, 0.9]}
    resources = {"launcher": "ray", "save_every": 1, "max_retries": 1}
    study = lab.study("killed", axes=axes, resources=resources)
    with killing(lab, local_ray, after=10) as killed:
        done = lab.run(study)
    step, attempt = killed.result()
    assert done.code == 0, done.err

    (trajectory,) = {o.trajectory for k, o in lab.outcomes(study).items() if k != "start"}
    # One attempt: it went on, it didn't begin again.
    assert list(lab.records.attempts(trajectory)) == [attempt]
    assert [row["step"] for row in lab.records.signals(trajectory, attempt)] == list(range(1, 41))
    # Each update was flushed once; the one that was under way may have been flushed and not saved.
    flushed = [k.rsplit("/", 1)[1].split("-") for k in lab.pieces("signals")]
    updates = sorted((int(n), int(first), int(last)) for first, last, n in flushed)
    steps = [s for _, first, last in updates for s in range(first, last + 1)]
    repeated = {s for s in steps if steps.count(s) > 1}
    assert len(repeated) <= 1
    assert all(s > step for s in repeated)
    # What was finished before the kill wasn't made again.
    assert len(lab.pieces("outcomes")) == 1 + 6
    assert "trajectory 1: its worker was lost" in done.out
    assert "another goes on from what is stored" in done.out
    # The person at the terminal sees no traceback of a thing that was mended.
    assert "Traceback" not in done.out + done.err + "".join(capfd.readouterr())

    alone = lab.study("killed", axes=axes)
    other = Lab(lab.folder / "alone", lab.model, lab._databases)
    text = yaml.safe_load(alone.read_text()) | {"store": str(other.store)}
    alone = other.folder / "killed.yaml"
    alone.write_text(yaml.safe_dump(text))
    assert other.run(alone).code == 0
    undisturbed = other.outcomes(alone)
    disturbed = lab.outcomes(study)
    assert measured(disturbed) == measured(undisturbed)
    for key, outcome in disturbed.items():
        assert outcome.diagnostics == undisturbed[key].diagnostics
    assert lab.pieces("states") == {}


def test_a_worker_that_is_killed_too_often_ends_in_a_reason(lab: Lab, local_ray: Path) -> None:
    study = lab.study(
        "fragile",
        axes={"learning_rate": [3e-3], "batch_size": [4], "steps": [100]},
        resources={"launcher": "ray", "save_every": 1, "max_retries": 0},
    )
    with killing(lab, local_ray, after=3) as killed:
        done = lab.run(study)
    assert killed.result()[0] >= 3
    assert done.code == 1
    assert "1 trajectory couldn't finish; the same command tries again" in done.err
    assert "worker" in done.err
    assert "Traceback" not in done.err + done.out
    # The newest state is whole before the one before it goes: a kill between the two leaves both.
    assert len(lab.pieces("states")) in (1, 2)
    study = lab.study("fragile", axes={"learning_rate": [3e-3], "batch_size": [4], "steps": [100]})
    done = lab.run(study)
    assert done.code == 0, done.err
    (trajectory,) = {o.trajectory for k, o in lab.outcomes(study).items() if k != "start"}
    assert len(lab.records.attempts(trajectory)) == 1
