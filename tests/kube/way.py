"""A way to the API server that does to requests what a test asks: an answer is lost, a request is held.

Plain HTTP comes in, so that requests can be told apart, and TLS goes out, with the caller's own token.
Used by tests of the daemon as a process; what works on bytes alone is ``lossy``.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.control_plane.plane import ServiceAccount

CHUNK = 2**16
SILENCE = 90.0
"""Seconds after which a watch that says nothing is given up: bookmarks come every minute."""


class Fate(StrEnum):
    """What becomes of a request."""

    LOST = "the server does it, and its answer is lost"
    DENIED = "503, and the server never hears of it"
    HELD = "it waits here until it is let go, and goes on then"


@dataclass
class Plan:
    """What becomes of the next requests of a kind. ``method`` and ``path`` are regular expressions."""

    fate: Fate
    method: str = ".*"
    path: str = ".*"
    times: int = 10**9
    met: int = 0
    """How many requests it befell so far."""

    def befalls(self, method: str, path: str) -> bool:
        """Whether it befalls this one; counts it if so."""
        if self.met >= self.times or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.met += 1
        return True


class Way(ThreadingHTTPServer):
    """Listens on loopback; ``plans`` says what happens, the first that fits, else a request goes through."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, url: str, ca: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        place = urlsplit(url)
        assert place.hostname
        assert place.port
        self.there = (place.hostname, place.port)
        self.kubeconfig = Path()
        """By which an account goes this way."""
        self.context = ssl.create_default_context(cafile=ca)
        self._lock = threading.Lock()
        self._plans: list[Plan] = []
        self._let_go = threading.Event()
        self._under_way = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes in the middle is no error here."""

    def plan(self, fate: Fate, method: str = ".*", path: str = ".*", times: int = 10**9) -> Plan:
        """From now on this befalls requests of that kind, until so many were met."""
        made = Plan(fate, method, path, times)
        with self._lock:
            if fate is Fate.HELD:
                self._let_go.clear()
            self._plans.append(made)
        return made

    def clear(self) -> None:
        """All is well again; what was held goes on."""
        with self._lock:
            self._plans.clear()
            self._let_go.set()

    def fate(self, method: str, path: str) -> Fate | None:
        """What becomes of a request; None: it goes through."""
        with self._lock:
            return next((plan.fate for plan in self._plans if plan.befalls(method, path)), None)

    def wait(self) -> None:
        """Return once what is held is let go."""
        self._let_go.wait()

    @property
    def idle(self) -> bool:
        """Whether no write is on its way."""
        return self._under_way == 0

    @contextmanager
    def writing(self, method: str) -> Iterator[None]:
        """A request of this method is on its way meanwhile."""
        n = int(method != "GET")
        with self._lock:
            self._under_way += n
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= n

    @contextmanager
    def out(self, fate: Fate) -> Iterator[Plan]:
        """This befalls everything meanwhile, the watches that are under way included."""
        try:
            yield self.plan(fate)
        finally:
            self.clear()


class _Request(BaseHTTPRequestHandler):
    """One connection of a caller's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Way

    def _handle(self) -> None:
        with self.server.writing(self.command):
            self._take()

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate(self.command, self.path)
        if fate is Fate.DENIED:
            self._deny()
            return
        if fate is Fate.HELD:
            self.server.wait()
        there = http.client.HTTPSConnection(*self.server.there, timeout=SILENCE, context=self.server.context)
        try:
            headers = {
                key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")
            }
            there.request(self.command, self.path, body or None, headers)
            answer = there.getresponse()
            if fate is Fate.LOST:
                answer.read()
                self.close_connection = True
                return
            self._pass_on(answer)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            there.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  as the base class calls them

    def _deny(self) -> None:
        told = {"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "no way through"}
        said = json.dumps(told).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(key, value)
        if "watch=true" not in self.path:
            said = answer.read()
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._pass_on_events(answer)

    def _pass_on_events(self, answer: http.client.HTTPResponse) -> None:
        while said := answer.read1(CHUNK):
            match self.server.fate("EVENT", self.path):
                case Fate.HELD:
                    self.server.wait()
                case Fate.DENIED | Fate.LOST:
                    self.close_connection = True
                    return
            self.wfile.write(f"{len(said):x}\r\n".encode() + said + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as the base class calls it
        """Quiet."""


Kind = TypeVar("Kind", bound=Way)


@contextmanager
def way_of(account: ServiceAccount) -> Iterator[Way]:
    """A way for this account."""
    with a_way_of(account, Way) as way:
        yield way


@contextmanager
def a_way_of(account: ServiceAccount, kind: type[Kind]) -> Iterator[Kind]:
    """A way of this kind for this account."""
    way = kind(account.plane.url, account.plane.ca)
    config = json.loads(account.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": way.url}
    way.kubeconfig = account.token_file.with_suffix(f".{way.server_address[1]}.kubeconfig")
    way.kubeconfig.write_text(json.dumps(config), encoding="utf-8")
    serving = threading.Thread(target=way.serve_forever, args=(0.05,), name="way", daemon=True)
    serving.start()
    try:
        yield way
    finally:
        way.clear()
        with suppress(OSError):
            way.socket.shutdown(socket.SHUT_RDWR)
        way.shutdown()
        way.server_close()
        serving.join()
