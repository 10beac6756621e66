"""Stopping a study the polite way and the other way; the same command always goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from ftstab.errors import InterruptedStudyError
from ftstab.plan import Job
from ftstab.results import find_study
from ftstab.running import at_work
from ftstab.running.driver import run_study
from ftstab.running.inprocess import InProcessLauncher
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.store import Lease
from tests.lab import QUIET_RAY, Done, Lab, cli, measured, until

AXES = {"learning_rate": [3e-3], "batch_size": [4], "steps": [4, 150], "ema_decay": [0, 0.9]}
SAVING = {"launcher": "inprocess", "save_every": 10}


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A short path for the Ray of a command; whatever still runs in it is killed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ftstab-ray-"))
    yield folder
    for process in living(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def living(folder: Path) -> list[psutil.Process]:
    """Processes of the Ray in ``folder``, its workers among them."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in w for w in words):
            found.append(process)
    return found


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.mark.ray
def test_interrupted_then_killed_and_still_the_same_study(lab: Lab, ray_folder: Path) -> None:
    study = lab.study("stopped", axes=AXES, resources=SAVING | {"launcher": "ray"})
    lab.with_databases("stopped")
    ray = QUIET_RAY | {"RAY_TMPDIR": str(ray_folder)}

    # Ctrl-C, as a terminal sends it: to every process of the group.
    driver = lab.start("run", study, **ray)
    until(lambda: saved_states(lab), driver)
    os.killpg(driver.pid, signal.SIGINT)
    code, out, err = ended(driver)
    assert code == 1, err
    assert "stopping: workers save first" in err
    assert f"To go on:\n  ftstab run {study}" in err
    assert "Traceback" not in out + err
    until(lambda: not living(ray_folder))
    finished = lab.pieces("outcomes")
    assert len(finished) == 1 + 2
    reached = saved_states(lab)
    assert reached
    attempts = {t: list(lab.records.attempts(t)) for t in reached}
    assert all(len(names) == 1 for names in attempts.values())

    # The same command goes on, wherever it is run; meanwhile no other driver may.
    study = lab.study("stopped", axes=AXES, resources=SAVING)
    driver = lab.start("run", study)
    until(lambda: any(last_step(lab, t) > step + 3 for t, step in reached.items()), driver)
    second = cli("run", study)
    assert second.code == 1
    assert f"is being run by process {driver.pid}" in second.err
    assert cli("sync", study).code == 1

    # And without warning.
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "4 of 4 settings measured" in done.out
    after = lab.pieces("outcomes")
    assert {k: v for k, v in after.items() if k in finished} == finished
    assert {t: list(lab.records.attempts(t)) for t in reached} == attempts
    assert lab.pieces("states") == {}

    other = Lab(lab.folder / "alone", lab.model, lab._databases)
    alone = other.study("stopped", axes=AXES)
    assert other.run(alone).code == 0
    assert measured(lab.outcomes(study)) == measured(other.outcomes(alone))


def saved_states(lab: Lab) -> dict[str, int]:
    """Steps of the resume states, by trajectory."""
    keys = [k.split("/") for k in lab.records.store.list("trajectories")]
    return {k[1]: int(k[4]) for k in keys if k[2] == "states"}


def last_step(lab: Lab, trajectory: str) -> int:
    """Last step whose signals the store has."""
    keys = lab.records.store.list(f"trajectories/{trajectory}/signals")
    return max((int(k.split("/")[4].split("-")[1]) for k in keys), default=0)


def run_and_kill(lab: Lab, study: Path, when: Callable[[], bool], number: signal.Signals) -> Done:
    """Run ``study`` in this process, and send it a signal as soon as ``when`` says so."""

    def kill() -> None:
        until(when)
        os.kill(os.getpid(), number)

    lab.with_databases(study.stem)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(kill)
        done = lab.run(study)
    sent.result()
    return done


def test_a_polite_kill_of_one_process(lab: Lab) -> None:
    """What a batch system sends before it takes the machine away."""
    study = lab.study("alone", axes=AXES)

    done = run_and_kill(lab, study, lambda: len(lab.pieces("outcomes")) >= 2, signal.SIGTERM)
    assert done.code == 1
    assert f"To go on:\n  ftstab run {study}" in done.err
    assert "of 4 settings are saved" in done.err
    finished, attempts = lab.pieces("outcomes"), lab.pieces("attempts")
    (trajectory,) = {k.split("/")[1] for k in lab.pieces("states")}
    done = lab.run(study)
    assert done.code == 0, done.err
    after = lab.pieces("outcomes")
    assert {k: v for k, v in after.items() if k in finished} == finished
    assert lab.pieces("attempts") == attempts
    (attempt,) = lab.records.attempts(trajectory)
    assert [row["step"] for row in lab.records.signals(trajectory, attempt)] == list(range(1, 151))


def test_a_stop_does_not_wait_for_the_answers_of_a_setting(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "SECONDS_BETWEEN_LOOKS", 0.0)
    path = lab.study("waiting", axes=AXES | {"steps": [4, 6]})
    lab.with_databases("waiting")
    study, base_dir = find_study(str(path))
    events: list[Event] = []

    class Interrupted:
        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            def heard(job: Job, event: Event) -> None:
                on_event(job, event)
                events.append(event)
                if (event.message or "").startswith("answering step 4, ema"):
                    os.kill(os.getpid(), signal.SIGINT)

            InProcessLauncher().run(context, source, heard)

    with pytest.raises(InterruptedStudyError, match="1 of 4 settings are saved"):
        run_study(study, base_dir, "ftstab run waiting.yaml", Console(quiet=True), Interrupted())
    assert [e.kind for e in events if e.kind in ("outcome", "stopped")][-2:] == ["outcome", "stopped"]
    finished = lab.pieces("outcomes")
    # The start, and the setting before the one that was being asked; what was trained is saved.
    assert len(finished) == 1 + 1
    assert list(saved_states(lab).values()) == [4]
    done = lab.run(path)
    assert done.code == 0, done.err
    after = lab.pieces("outcomes")
    assert len(after) == 1 + 4
    assert {k: v for k, v in after.items() if k in finished} == finished


def test_stopping_in_a_branch_costs_nothing_of_the_trunk(lab: Lab) -> None:
    axes = {"schedule": ["warmup_stable_decay"], "batch_size": [4], "steps": [10, 50, 60]}
    training = {"learning_rate": 1e-3, "decay_fraction": 0.5}
    study = lab.study("trunk", axes=axes, training=training, resources=SAVING)

    def in_the_second_branch() -> bool:
        # Two trajectories have a state at a time only while a branch is trained.
        states = [k.split("/") for k in lab.records.store.list("trajectories") if "/states/" in k]
        return len({k[1] for k in states}) == 2 and max(int(k[4]) for k in states) >= 30

    done = run_and_kill(lab, study, in_the_second_branch, signal.SIGINT)
    assert done.code == 1, done.out
    attempts = lab.pieces("attempts")
    done = lab.run(study)
    assert done.code == 0, done.err
    plan = lab.results(study).plan
    for trajectory in plan.trajectories:
        (attempt,) = lab.records.attempts(trajectory.key)
        signals = lab.records.signals(trajectory.key, attempt)
        assert [s["step"] for s in signals] == list(range(trajectory.first + 1, trajectory.last + 1))
    assert {k: v for k, v in lab.pieces("attempts").items() if k in attempts} == attempts


@pytest.mark.parametrize("schedule", ["constant", "warmup_stable_decay"])
def test_weights_that_are_trained_again_leave_the_states_of_unfinished_training_alone(
    lab: Lab, schedule: str
) -> None:
    axes = {"schedule": [schedule], "learning_rate": [3e-3], "batch_size": [4], "steps": [5, 60]}
    study = lab.study("half", axes=axes, resources=SAVING, keep_weights="none")
    done = run_and_kill(lab, study, lambda: max(saved_states(lab).values(), default=0) > 8, signal.SIGINT)
    assert done.code == 1
    states, (trajectory,) = lab.pieces("states"), saved_states(lab)
    (attempt,) = lab.records.attempts(trajectory)
    found = cli(
        "pick", study, "--max-harmful", "1", "--retrain", "--weights", lab.folder / "w", "--unconfirmed"
    )
    assert found.code == 0, found.err
    assert (lab.folder / "w" / "model.safetensors").exists()
    assert lab.pieces("states") == states
    # So the training goes on where it was, in its own attempt.
    assert lab.run(study).code == 0
    trunk = next(t for t in lab.results(study).plan.trajectories if t.key == trajectory)
    signals = lab.records.signals(trajectory, attempt)
    assert [s["step"] for s in signals] == list(range(1, trunk.last + 1))
    last = next(o for o in lab.outcomes(study).values() if o.step == 60)
    # A branch is a training of its own, which leaves from the trunk's.
    assert (last.attempt == attempt) == (schedule == "constant")
    assert lab.pieces("states") == {}


def test_a_second_ctrl_c_leaves_at_once(lab: Lab) -> None:
    study, base_dir = find_study(str(lab.study("twice", axes=AXES)))
    lab.with_databases("twice")
    before = signal.getsignal(signal.SIGINT)

    class Impatient:
        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            assert source.next_job() is not None
            os.kill(os.getpid(), signal.SIGINT)
            assert source.exhausted()
            assert source.next_job() is None
            assert lab.records.stop_requested("twice", context.driver)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("still here")

    with pytest.raises(KeyboardInterrupt):
        run_study(study, base_dir, "ftstab run twice.yaml", Console(quiet=True), Impatient())
    assert signal.getsignal(signal.SIGINT) is before
    # Neither the lease nor the request outlives the driver.
    assert Lease(lab.records.store, "twice").holder() is None
    assert [k for k in lab.records.store.list("twice") if "/stop/" in k] == []


def test_ctrl_c_before_the_study_runs_says_how_to_go_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    study = lab.study("early")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ftstab.running.driver.prepare", interrupted)
    done = cli("run", study)
    assert done.code == 1
    assert f"To go on:\n  ftstab run {study}" in done.err
    assert not lab.store.exists()
