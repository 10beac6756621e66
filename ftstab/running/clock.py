"""Where the time of a run goes: seconds by name, of a worker's job and of the driver.  Touches nothing."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ftstab.store import Content, Piece, Store

now = time.perf_counter
"""What clocks read."""


class Clock:
    """Shares the time since it was made out among names; what is inside another `named` counts there alone, but for
    what is inside a `whole` one.

    For one thread.
    """

    def __init__(self) -> None:
        self.began = time.time()
        self._start = self._turned = now()
        self._seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._whole = 0

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Context whose time, but for the named contexts inside it, goes to ``name``."""
        self._turn()
        self._open.append(self._open[-1] if self._whole else name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    @contextmanager
    def whole(self, name: str) -> Iterator[None]:
        """Context whose time goes to ``name``, with that of the named contexts inside it."""
        with self.named(name):
            self._whole += 1
            try:
                yield
            finally:
                self._whole -= 1

    def _turn(self) -> None:
        turned = now()
        if self._open:
            name = self._open[-1]
            self._seconds[name] = self._seconds.get(name, 0.0) + turned - self._turned
        self._turned = turned

    def reading(self) -> dict[str, float]:
        """Seconds by name; ``began`` since 1970 and ``wall`` since then are among them."""
        self._turn()
        return {"began": self.began, "wall": now() - self._start, **self._seconds}


class TimedStore:
    """A store whose time goes to the name ``store`` of a clock."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def put(self, key: str, files: Content) -> None:
        """Write a piece."""
        with self._clock.named("store"):
            self._store.put(key, files)

    def put_if_absent(self, key: str, files: Content) -> bool:
        """Write a piece unless it exists."""
        with self._clock.named("store"):
            return self._store.put_if_absent(key, files)

    def get(self, key: str) -> Piece | None:
        """Find a piece; what is read of it later isn't timed."""
        with self._clock.named("store"):
            return self._store.get(key)

    def exists(self, key: str) -> bool:
        """Whether there is a piece."""
        with self._clock.named("store"):
            return self._store.exists(key)

    def list(self, prefix: str = "") -> builtins.list[str]:
        """Keys of pieces."""
        with self._clock.named("store"):
            return self._store.list(prefix)

    def delete(self, key: str) -> None:
        """Remove a piece."""
        with self._clock.named("store"):
            self._store.delete(key)
