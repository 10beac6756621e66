"""A driver's lease of a study: at most one driver runs a study at a time.  Writes to the store, reads /proc.

Leases of a study are numbered: ``<study>/lease/<generation>``.  The highest counts; a driver gives it
back by marking it released, and takes over by making the next one with `put_if_absent`, which one driver can.
None is ever deleted: a driver that was slow to act on an old listing then finds its number taken.

Whether a holder lives is seen by its process where that is of this machine.  Of another machine its signs of life are
watched: clocks of two machines are minutes apart at times, so how old a sign seems is not to be trusted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from ftstab.errors import LeaseError, StoreError
from ftstab.store.contract import Store, check_key, read_piece

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
LONG_DEAD_SECONDS = 3600.0
"""No two clocks are so far apart: a sign of life that seems older is not waited for."""

_FILE = "lease.json"


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes:
        driver: a name of its own, which a stop request takes.
        host: name of its machine.
        machine: this start of the machine and its process namespace, within which a pid means one process;
            empty if the system can't tell.
        pid: its process.
        started: when that process started, in clock ticks since the machine did; None if unknown.
        since: when it got the lease, in seconds since 1970.
        heartbeat: when it last gave a sign of life, likewise.
        released: whether it gave the lease back.
    """

    driver: str
    host: str
    machine: str
    pid: int
    started: int | None
    since: float
    heartbeat: float
    released: bool = False


class Lease:
    """The lease of a study, held between `acquire` and `release` or as a context manager.

    A lease is stale, and may be taken over, if it names a process of this machine that is dead; if it is of another
    machine (or the system doesn't tell when processes started, so that a pid may be another's by now), once no sign of
    life came for ``stale_seconds`` in which this object watched it, or for `LONG_DEAD_SECONDS`.

    Args:
        store: the store of the study.
        study_name: its name.
        beat_seconds: time between signs of life.
        stale_seconds: time without a sign of life after which the lease may be taken over.
        say: told what `acquire` waits for.
    """

    def __init__(
        self,
        store: Store,
        study_name: str,
        beat_seconds: float = BEAT_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._study = study_name
        self._folder = check_key(f"{study_name}/lease")
        self._beat_seconds = beat_seconds
        self._stale_seconds = stale_seconds
        self._say = say
        self._seen: Holder | None = None
        self._seen_since = 0.0
        self._generation = 0
        self._me = _this_process()
        self._beaten = 0.0
        self._lost = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def driver(self) -> str:
        """Name of this driver; a stop request takes it."""
        return self._me.driver

    def holder(self) -> Holder | None:
        """Who holds the lease, this object or another; None if it is free, released or known to be stale."""
        _, found = self._newest()
        return None if found is None or self._free(found) else found

    def acquire(self) -> None:
        """Take the lease and keep it alive.

        Waits up to ``stale_seconds`` where only signs of life can tell whether its holder lives.

        Raises:
            LeaseError: another driver holds it; the message says which.
            StoreError: the store can't be read or written.
        """
        watched: Holder | None = None
        while True:
            generation, found = self._newest()
            if found is not None and not self._free(found):
                # Whoever took it, or gave a sign of life, since it was first seen is alive.
                if self._lives(found) or watched not in (None, found):
                    raise LeaseError(self._held_by(found))
                if watched is None:
                    self._say(
                        f"study {self._study!r} has a lease of process {found.pid} on host {found.host}: waiting up to "
                        f"{self._stale_seconds:.0f} s for a sign of life"
                    )
                watched = found
                time.sleep(min(1.0, self._stale_seconds / 10))
                continue
            self._generation = generation + 1
            now = time.time()
            self._me = dataclasses.replace(self._me, since=now, heartbeat=now, released=False)
            if self._store.put_if_absent(self._key(self._generation), self._files()):
                break
        self._lost = False
        self._beaten = time.monotonic()
        self._ended.clear()
        self._thread = threading.Thread(target=self._keep, name="ftstab-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still held; a driver calls this now and then.

        Raises:
            LeaseError: another driver took it over while this one was asleep or cut off from the store.
            StoreError: no sign of life could be given for too long.
        """
        if time.monotonic() - self._beaten > self._stale_seconds:
            self._beat()
        if self._lost:
            raise LeaseError(
                f"study {self._study!r}: this driver gave no sign of life for over {self._stale_seconds:.0f} "
                "s, and another one took its lease; leave the study to that one: finished settings are kept"
            )

    def release(self) -> None:
        """Give the lease back; nothing happens if it isn't held."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._thread = None
        self._beat(released=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _keep(self) -> None:
        """Give signs of life until the end; runs in a thread."""
        while not self._ended.wait(self._beat_seconds) and not self._lost:
            try:
                self._beat()
            except StoreError:
                continue  # tried again at the next beat; `check` raises it once it has lasted too long

    def _beat(self, released: bool = False) -> None:
        """Give a sign of life, or find out that the lease is lost."""
        with self._lock:
            if max(self._generations(), default=0) > self._generation:
                self._lost = True
                return
            self._me = dataclasses.replace(self._me, heartbeat=time.time(), released=released)
            self._store.put(self._key(self._generation), self._files())
            self._beaten = time.monotonic()

    def _key(self, generation: int) -> str:
        return f"{self._folder}/{generation:09d}"

    def _files(self) -> dict[str, bytes]:
        return {_FILE: json.dumps(dataclasses.asdict(self._me)).encode()}

    def _generations(self) -> list[int]:
        return [int(k.rsplit("/", 1)[1]) for k in self._store.list(self._folder)]

    def _newest(self) -> tuple[int, Holder | None]:
        """The highest generation and its holder; 0 and None if there is none."""
        newest = max(self._generations(), default=0)
        return newest, read_piece(self._store, self._key(newest), lambda p: Holder(**p.json(_FILE)))

    def _free(self, found: Holder) -> bool:
        """Whether the lease may be taken over."""
        if found.released:
            return True
        lives = self._lives(found)
        if lives is not None:
            return not lives
        if found != self._seen:
            self._seen, self._seen_since = found, time.monotonic()
        watched = time.monotonic() - self._seen_since
        return watched > self._stale_seconds or time.time() - found.heartbeat > LONG_DEAD_SECONDS

    def _lives(self, found: Holder) -> bool | None:
        """Whether its process lives; None where only signs of life can tell."""
        here = (found.host, found.machine) == (self._me.host, self._me.machine)
        return _alive(found.pid, found.started) if here else None

    def _held_by(self, found: Holder) -> str:
        since = datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return (
            f"study {self._study!r} is being run by process {found.pid} on host {found.host} since {since}, which is "
            "alive. Wait until it ends or stop it there with Ctrl-C, then run the same command again; should it hang, "
            f"end it with `kill -9 {found.pid}` there"
        )


def _this_process() -> Holder:
    host, pid = socket.gethostname(), os.getpid()
    name = re.sub(r"[^A-Za-z0-9.-]", "-", host)[:100]
    return Holder(
        driver=f"{name}-{pid}-{secrets.token_hex(4)}",
        host=host,
        machine=_machine(),
        pid=pid,
        started=_started(pid),
        since=0.0,
        heartbeat=0.0,
    )


def _machine() -> str:
    """What tells containers and machines of one host name apart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _alive(pid: int, started: int | None) -> bool | None:
    """Whether the process that started then still runs; None where its pid does and starts are unknown."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    now = _started(pid)
    return None if now is None or started is None else now == started


def _started(pid: int) -> int | None:
    """Start of a process in clock ticks since the machine's; -1 if it has ended, None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in the second field may hold spaces and brackets; the state is the third, the start the 22nd.
    fields = stat.rpartition(b")")[2].split()
    return -1 if fields[0] in {b"Z", b"X"} else int(fields[19])
