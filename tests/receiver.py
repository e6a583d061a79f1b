"""A receiver of webhooks on loopback: real HTTP, and whatever answer a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The message."""
        return str(json.loads(self.body)["text"])


class Receiver(ThreadingHTTPServer):
    """Takes everything with 200 after ``answers``, each of which is given once. ``hold``: answers nobody."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int = 0, tls: SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.answers: list[Answer] = []
        self.got: list[Got] = []
        self.hold = False
        self.let_go = threading.Event()
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def texts(self) -> list[str]:
        """What it was told."""
        return [got.text for got in self.got]

    def close(self) -> None:
        """From now on nobody listens there."""
        self.let_go.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes in the middle is no error here."""


class _Request(BaseHTTPRequestHandler):
    server: Receiver

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.got.append(Got(self.command, self.path, dict(self.headers.items()), body))
        if self.server.hold:
            self.server.let_go.wait()
            self.close_connection = True
            return
        status, headers, said = self.server.answers.pop(0) if self.server.answers else (200, {}, b"ok")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = _take  # noqa: N815  as the base class calls them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class calls it
        """Quiet."""


@contextmanager
def receiver(port: int = 0, tls: SSLContext | None = None) -> Iterator[Receiver]:
    """One that listens meanwhile."""
    found = Receiver(port, tls)
    serving = threading.Thread(target=found.serve_forever, args=(0.02,), name="receiver", daemon=True)
    serving.start()
    try:
        yield found
    finally:
        found.close()
        serving.join()
