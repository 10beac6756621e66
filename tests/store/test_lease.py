"""A driver's lease: one holder at a time, takeover of stale leases, races, loss."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ftstab.errors import LeaseError, StoreError
from ftstab.store import FolderStore, Holder, Lease, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / "store", create=True)


def _holder_of(store: FolderStore, generation: int) -> Holder:
    return Holder(**store.get(f"s/lease/{generation:09d}").json("lease.json"))


def _leave(store: FolderStore, **changes: object) -> Holder:
    """Leave a lease as if a driver had, with ``changes`` to what this process would write."""
    with Lease(store, "like-s") as lease:
        left = dataclasses.replace(lease.holder(), **changes)
    _write(store, left)
    return left


def _write(store: FolderStore, left: Holder, study: str = "s") -> None:
    content = json.dumps(dataclasses.asdict(left)).encode()
    store.put(f"{study}/lease/000000005", {"lease.json": content})


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_holder_at_a_time(store: FolderStore):
    second = Lease(store, "s")
    assert second.holder() is None
    with Lease(store, "s") as first:
        with pytest.raises(LeaseError) as caught:
            second.acquire()
        message = str(caught.value)
        assert "study 's'" in message
        assert f"process {os.getpid()} on host {os.uname().nodename} since 20" in message
        assert "UTC" in message
        assert "Ctrl-C" in message
        assert second.holder().driver == first.driver != second.driver
        first.check()
        with Lease(store, "another"):
            pass
    assert second.holder() is None
    with second:
        second.check()
        assert first.holder().driver == second.driver


def test_given_back_after_an_error_and_taken_again(store: FolderStore):
    lease = Lease(store, "s")
    with pytest.raises(ZeroDivisionError), lease:
        raise ZeroDivisionError
    assert lease.holder() is None
    with lease:
        assert lease.holder().driver == lease.driver
    lease.release()
    assert lease.holder() is None


def test_a_driver_name_can_be_part_of_a_key(store: FolderStore):
    store.put(f"s/stop/{Lease(store, 's').driver}", {})


def test_signs_of_life_go_on(store: FolderStore):
    with Lease(store, "s", beat_seconds=0.02) as lease:
        first = lease.holder()
        _eventually(lambda: lease.holder().heartbeat > first.heartbeat + 0.1)
        assert lease.holder().since == first.since
    time.sleep(0.1)
    assert _holder_of(store, 1).released
    assert store.list("s") == ["s/lease/000000001"]


@contextmanager
def _living(store: FolderStore, left: Holder, every: float = 0.05) -> Iterator[None]:
    """Give signs of life of ``left``, a driver of another machine, by that machine's clock."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every):
            nonlocal left
            left = dataclasses.replace(left, heartbeat=left.heartbeat + every)
            _write(store, left)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    over.set()
    thread.join()


CLOCKS = {"like ours": 0.0, "behind": -600.0, "ahead": 600.0}
"""Seconds that the clock of another machine is ahead of ours."""


@pytest.mark.parametrize("ahead", CLOCKS.values(), ids=CLOCKS)
def test_signs_of_life_of_another_machine_count_whatever_its_clock_says(store: FolderStore, ahead: float):
    left = _leave(store, host="elsewhere", heartbeat=time.time() + ahead, pid=1)
    with _living(store, left), pytest.raises(LeaseError, match=r"process 1 on host elsewhere.* is alive"):
        Lease(store, "s", stale_seconds=5).acquire()


@pytest.mark.parametrize("ahead", CLOCKS.values(), ids=CLOCKS)
def test_a_lease_of_another_machine_without_signs_of_life_is_stale(store: FolderStore, ahead: float):
    left = _leave(store, host="elsewhere", heartbeat=time.time() + ahead, pid=1)
    said: list[str] = []
    lease = Lease(store, "s", stale_seconds=1, say=said.append)
    assert lease.holder() == left
    began = time.monotonic()
    with lease:
        assert time.monotonic() - began >= 1
        assert lease.holder().driver == lease.driver
    assert len(said) == 1
    assert "process 1 on host elsewhere: waiting up to 1 s for a sign of life" in said[0]


def test_what_seems_dead_for_hours_is_not_waited_for(store: FolderStore):
    _leave(store, host="elsewhere", heartbeat=time.time() - 3601, pid=1)
    with Lease(store, "s", stale_seconds=1000) as lease:
        assert lease.holder().driver == lease.driver


def test_a_living_process_of_this_machine_holds_it_however_long_it_is_silent(store: FolderStore):
    left = _leave(store, heartbeat=time.time() - 7200)
    with pytest.raises(LeaseError, match=f"kill -9 {os.getpid()}"):
        Lease(store, "s", stale_seconds=0.1).acquire()
    assert Lease(store, "s", stale_seconds=0.1).holder() == left


def test_a_dead_process_of_this_machine_is_stale_at_once(store: FolderStore):
    _leave(store, pid=_dead_pid())
    with Lease(store, "s") as lease:
        lease.check()


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"machine": "another start or container"}])
def test_a_process_of_another_machine_is_not_judged_by_its_pid(store: FolderStore, change: dict[str, str]):
    left = _leave(store, pid=_dead_pid(), **change)
    with _living(store, left), pytest.raises(LeaseError):
        Lease(store, "s", stale_seconds=5).acquire()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc: starts of processes are unknown")
def test_a_pid_used_again_is_stale(store: FolderStore):
    left = _leave(store)
    with pytest.raises(LeaseError):
        Lease(store, "s").acquire()
    _leave(store, started=left.started - 1)
    with Lease(store, "s") as lease:
        lease.check()


@pytest.mark.parametrize("pid", [os.getpid(), 1], ids=["own", "1"])  # 1 is alive, perhaps of another user
def test_without_starts_signs_of_life_count(store: FolderStore, pid: int):
    left = _leave(store, started=None, pid=pid)
    with _living(store, left), pytest.raises(LeaseError):
        Lease(store, "s", stale_seconds=5).acquire()
    with Lease(store, "s", stale_seconds=0.2) as lease:
        lease.check()


_HOLD = """
import sys, time
from ftstab.store import Lease, open_store
with Lease(open_store(sys.argv[1]), "s"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_driver_loses_it_at_once(store: FolderStore):
    driver = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(store.root)], stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout.readline() == "held\n"
    with pytest.raises(LeaseError, match=f"process {driver.pid} "):
        Lease(store, "s").acquire()
    driver.send_signal(signal.SIGKILL)
    # Not waited for yet: a zombie is dead too.
    lease = Lease(store, "s")
    _eventually(lambda: lease.holder() is None)
    with lease:
        lease.check()
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL


def test_ctrl_c_gives_it_back(store: FolderStore):
    driver = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(store.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, children are born deaf to it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    driver.stdout.readline()
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=30)
    assert _holder_of(store, 1).released


def _take_over(root: Path, start: Barrier, done: Barrier, rounds: int, file: Path) -> None:
    store = open_store(root)
    outcomes = []
    for i in range(rounds):
        lease = Lease(store, f"study{i}")
        start.wait(60)
        try:
            lease.acquire()
            outcomes.append("held")
        except LeaseError:
            outcomes.append("refused")
        done.wait(60)
        lease.release()
    file.write_text(" ".join(outcomes))


@pytest.mark.parametrize("left_behind", ["stale", "nothing"])
def test_of_drivers_racing_exactly_one_wins(store: FolderStore, tmp_path: Path, left_behind: str):
    racers, rounds = 5, 8
    if left_behind == "stale":
        left = _leave(store, pid=_dead_pid())
        for i in range(rounds):
            _write(store, left, f"study{i}")
    context = multiprocessing.get_context("spawn")
    start, done = context.Barrier(racers), context.Barrier(racers)
    files = [tmp_path / f"outcomes{i}" for i in range(racers)]
    workers = [
        context.Process(target=_take_over, args=(store.root, start, done, rounds, file)) for file in files
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    outcomes = [file.read_text().split() for file in files]
    for of_round in zip(*outcomes, strict=True):
        assert sorted(of_round) == ["held"] + ["refused"] * (racers - 1)


class _SlowStore(FolderStore):
    """A store between whose listing and writing ``meanwhile`` happens, once."""

    def put_if_absent(self, key, files):
        meanwhile, self.__dict__["meanwhile"] = self.__dict__.get("meanwhile"), None
        if meanwhile:
            meanwhile()
        return super().put_if_absent(key, files)


@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_slow_driver_that_others_have_passed_is_refused(store: FolderStore, others: int):
    _leave(store, pid=_dead_pid())
    slow = _SlowStore(store.root)
    last = Lease(store, "s")

    def meanwhile() -> None:
        for _ in range(others - 1):
            with Lease(store, "s"):
                pass
        last.acquire()

    slow.__dict__["meanwhile"] = meanwhile
    with pytest.raises(LeaseError):
        Lease(slow, "s").acquire()
    last.check()
    assert last.holder().driver == last.driver
    last.release()


def _taken(store: FolderStore, lease: Lease) -> Holder:
    """Take over ``lease`` as a driver of another machine would that saw no sign of life."""
    held = lease.holder()
    taker = dataclasses.replace(held, driver="taker", host="elsewhere")
    store.put("s/lease/000000002", {"lease.json": json.dumps(dataclasses.asdict(taker)).encode()})
    return taker


def test_a_driver_learns_that_it_lost_its_lease(store: FolderStore):
    with Lease(store, "s", beat_seconds=0.05, stale_seconds=60) as sleeper:
        sleeper.check()
        taker = _taken(store, sleeper)
        _eventually(lambda: _lost(sleeper))
        assert Lease(store, "s").holder() == taker
        sleeper.release()
        assert Lease(store, "s").holder() == taker
        assert _lost(sleeper)


def _lost(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseError as error:
        return re.search(r"'s'.*no sign of life.*another one took its lease", str(error)) is not None
    return False


def test_after_a_long_sleep_the_check_itself_looks(store: FolderStore):
    with Lease(store, "s", beat_seconds=60, stale_seconds=0.2) as lease:
        lease.check()
        first = lease.holder()
        time.sleep(0.3)
        lease.check()
        assert lease.holder().heartbeat > first.heartbeat
        _taken(store, lease)
        time.sleep(0.3)
        assert _lost(lease)


def test_a_store_that_can_not_be_written_any_more_is_said(store: FolderStore):
    with Lease(store, "s", beat_seconds=0.02, stale_seconds=0.3) as lease:
        store.root.rename(store.root.with_name("unplugged"))
        lease.check()
        time.sleep(0.5)
        with pytest.raises(StoreError, match="the folder is gone"):
            lease.check()
        store.root.with_name("unplugged").rename(store.root)
        _eventually(lambda: lease.holder() is not None)
        lease.check()


def test_a_study_name_that_is_no_key(store: FolderStore):
    with pytest.raises(StoreError, match="not allowed"):
        Lease(store, "../s")
