"""Ctrl-C, and the polite kill of a batch system.  Touches the signal handlers of this process and puts them back."""

from __future__ import annotations

import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Context in which the first Ctrl-C calls ``stop``, which asks the workers to save; the second gives up waiting.

    In another thread than the main one nothing is caught.

    Raises:
        KeyboardInterrupt: on the second.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_before = False

    def asked(number: int, frame: types.FrameType | None) -> None:
        nonlocal asked_before
        if asked_before:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt
        asked_before = True
        # No terminal drawing here: the handler may have interrupted it.
        sys.stderr.write("\nstopping: workers save first (Ctrl-C again to leave at once)\n")
        stop()

    before = {s: signal.signal(s, asked) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
