"""The child's side of `ftstab.evaluation.judges.process`: loads one judge and reads answers until its parent ends.

Run as ``python -m ftstab.evaluation.judges.child PARENT THREADS``.  It says nothing but its replies, and no reply
holds a prompt or an answer.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from typing import Any, Protocol

from ftstab.errors import FtstabError
from ftstab.evaluation.judges.process import Said

SECONDS_BETWEEN_LOOKS = 1.0


class Reader(Protocol):
    """A loaded judge."""

    def read(self, texts: list[tuple[str, str]]) -> list[Said]:
        """Return label and reason for each (prompt, answer), in order."""
        ...


def main() -> None:
    """Serve until the parent closes the pipe or is gone."""
    parent, threads = int(sys.argv[1]), int(sys.argv[2])
    # Whatever a library prints must not stand among the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    reader: Reader | None = None
    while True:
        message = asked.get()
        try:
            if reader is None:
                reader = _load(message, threads)
                reply: dict[str, Any] = {"ready": True}
            else:
                reply = {"verdicts": reader.read([(p, a) for p, a in message["read"]])}
        except FtstabError as error:
            reply = {"error": str(error)}
        except (RuntimeError, MemoryError, OSError, ValueError, TypeError, KeyError, ImportError) as error:
            # Its text may quote what was read.
            doing = "reading answers" if reader else "loading its model"
            reply = {"error": f"{type(error).__name__} while {doing}{_advice(error)}"}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _advice(error: BaseException) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "; lower its batch_size or max_length, or set device: cpu"
    return ""


def _listen(asked: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass on what the parent asks, and end when it stops listening, even in the middle of a batch."""
    for line in sys.stdin.buffer:
        asked.put(json.loads(line))
    os._exit(0)


def _watch(parent: int) -> None:
    """End when the parent is gone, also where another of its children keeps the pipe open."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(0)


def _load(task: dict[str, Any], threads: int) -> Reader:
    import torch

    from ftstab.evaluation.judges.classifier import ClassifierReader
    from ftstab.evaluation.judges.guard import GuardReader
    from ftstab.spec.judges import ClassifierJudge, GuardJudge

    torch.set_num_threads(threads)
    if task["spec"]["kind"] == "probe":
        from ftstab.evaluation.judges.probe_reader import ProbeReader

        return ProbeReader(task["location"])
    if task["spec"]["kind"] == "classifier":
        return ClassifierReader(ClassifierJudge.model_validate(task["spec"]), task["location"])
    return GuardReader(GuardJudge.model_validate(task["spec"]), task["location"])


if __name__ == "__main__":
    main()
