"""A chat server on this machine that behaves as it is told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "sk-do-not-tell-4711"
"""Stands in whatever the server says that isn't a verdict."""


@dataclass
class Say:
    """One reply: its status, body, headers, and how it is sent."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drip: float = 0.0
    hang_up: bool = False


def chat(text: Any, end: str = "stop", **more: Any) -> Say:
    """A well-formed reply."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": end}
    usage = {"prompt_tokens": 100, "completion_tokens": 2}
    return Say(json.dumps({"model": "served-1", "choices": [choice], "usage": usage}).encode(), **more)


def error(status: int, **headers: str) -> Say:
    """A fault, with a body that tells secrets."""
    body = json.dumps({"error": {"message": f"bad key {SECRET}"}}).encode()
    return Say(body, status, {k.replace("_", "-"): v for k, v in headers.items()})


def answer_of(request: dict[str, Any]) -> str:
    """The answer that a request asks about; of two the first."""
    text = request["messages"][-1]["content"]
    found = re.search(r"(?s)<(answer|first) id=(\w+)>\n(.*)\n</\1 \2>", text)
    assert found is not None
    return found[3]


@dataclass
class Server:
    """What a running server has seen.

    Attributes:
        behave: from a request, its answer and how often that answer was asked about to a reply.
        url: base address.
        seen: requests, in the order in which they came, with their headers and times.
        most: requests under way at a time, at most; one is under way until its reply begins.
    """

    behave: Callable[[dict[str, Any], str, int], Say]
    url: str = ""
    seen: list[tuple[dict[str, Any], dict[str, str], float]] = field(default_factory=list)
    most: int = 0
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counts(self) -> dict[str, int]:
        """Requests by answer."""
        asked = [answer_of(request) for request, _, _ in self.seen]
        return {text: asked.count(text) for text in dict.fromkeys(asked)}

    def times(self) -> list[float]:
        return [when for _, _, when in self.seen]


@contextmanager
def serving(behave: Callable[[dict[str, Any], str, int], Say]) -> Iterator[Server]:
    """Run a server while the block lasts."""
    state = Server(behave)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            when = time.monotonic()
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(raw)
            with state.lock:
                state.under_way += 1
                state.most = max(state.most, state.under_way)
                state.seen.append((request, {**self.headers, "path": self.path}, when))
                text = answer_of(request)
                count = state.counts()[text]
            try:
                say = state.behave(request, text, count)
            finally:
                # Before the reply: whoever has it may send the next request at once.
                with state.lock:
                    state.under_way -= 1
            try:
                self._reply(say)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _reply(self, say: Say) -> None:
            time.sleep(say.wait)
            if say.hang_up:
                self.close_connection = True
                return
            self.send_response(say.status)
            for name, value in ({"Content-Length": str(len(say.body))} | say.headers).items():
                self.send_header(name, value)
            self.end_headers()
            for byte in [say.body] if not say.drip else [say.body[i : i + 1] for i in range(len(say.body))]:
                self.wfile.write(byte)
                time.sleep(say.drip)

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
