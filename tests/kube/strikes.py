"""A way to the API server that strikes each kind of request with each fault, and keeps the table of it.

What is struck is what comes: every (verb, resource) that a daemon is seen to use is on the list by itself,
and every fault that it can meet must befall it. A kind of request is struck every second time, so that
whoever tries again gets on. ``Striking.missing`` says what is still to come.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from controller.adapters import labels
from tests.kube.way import CHUNK, SILENCE, Way, _Request


class Fault(StrEnum):
    """What befalls a request."""

    BUSY = "429"
    BROKEN = "500"
    LATE = "504"
    LATE_AFTER = "504 after"
    CONFLICT = "409"
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    HANG_BEFORE = "hang before"
    HANG_AFTER = "hang after"
    GONE = "410"
    CUT = "cut"
    SILENT = "silent"


ANSWERS: Mapping[Fault, tuple[int, str]] = {
    Fault.BUSY: (429, "TooManyRequests"),
    Fault.BROKEN: (500, "InternalError"),
    Fault.LATE: (504, "Timeout"),
    Fault.LATE_AFTER: (504, "Timeout"),
    Fault.CONFLICT: (409, "Conflict"),
}
ANY = (
    *(Fault.BUSY, Fault.BROKEN, Fault.LATE, Fault.RESET_BEFORE, Fault.RESET_AFTER),
    *(Fault.HANG_BEFORE, Fault.HANG_AFTER),
)
"""What every request can meet."""
WRITES = (Fault.CONFLICT, Fault.LATE_AFTER)
"""What only a write can meet."""
WATCHES = (
    *(Fault.BUSY, Fault.BROKEN, Fault.LATE, Fault.RESET_BEFORE, Fault.HANG_BEFORE),
    *(Fault.GONE, Fault.CUT, Fault.SILENT),
)
READS = frozenset({"get", "list", "watch"})
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
TOMBSTONE = "jobs (tombstone)"
LONGEST = 30.0
"""Seconds after which a caller that still waits for a struck request has no limit of its own."""

Pair = tuple[str, str]
"""Verb and resource."""


def pair_of(method: str, path: str, body: bytes = b"") -> Pair:
    """What the API server would call this request; a tombstone is a resource of its own."""
    place = urlsplit(path)
    parts = place.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    name, resource = rest[1:2], "/".join([rest[0], *rest[2:]])
    resource = f"{group}/{resource}" if group == "events.k8s.io" else resource
    if method == "GET":
        watch = parse_qs(place.query).get("watch") == ["true"]
        return ("watch" if watch else "get" if name else "list"), resource
    if method == "POST" and resource == "jobs" and labels.TOMBSTONE in _labels(body):
        return "create", TOMBSTONE
    return VERBS[method], resource


def _labels(body: bytes) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(body)["metadata"].get("labels", {})
    return found


def faults_of(pair: Pair) -> Sequence[Fault]:
    """What a request of this kind can meet."""
    if pair[0] == "watch":
        return WATCHES
    return ANY if pair[0] in READS else (*ANY, *WRITES)


class Striking(Way):
    """``strike`` begins it, ``spare`` ends it. ``never``: names of Jobs whose create never gets through."""

    def __init__(self, *where: Any) -> None:
        super().__init__(*where)
        self.RequestHandlerClass = _Struck
        self.never: frozenset[str] = frozenset()
        self.seen: Counter[Pair] = Counter()
        self.struck: Counter[tuple[Pair, Fault]] = Counter()
        self.endless: list[tuple[Pair, Fault]] = []
        """Struck requests that their caller did not give up within ``LONGEST``."""
        self._times = 0
        self._turn = 0
        self._lately: set[Pair] = set()
        """Struck the last time."""
        self._table = threading.Lock()

    def strike(self, times: int = 1, first: int = 0) -> None:
        """From now on, each kind of request with each fault so many times; ``first`` turns their order."""
        self._times, self._turn = times, first

    def spare(self) -> None:
        """All is well again."""
        self._times = 0

    def befalling(self, pair: Pair) -> Fault | None:
        """What befalls this request; counts it."""
        with self._table:
            self.seen[pair] += 1
            open_ = self._open(pair) if pair not in self._lately else []
            self._lately.discard(pair)
            if not open_:
                return None
            fault = open_[self._turn % len(open_)]
            self.struck[pair, fault] += 1
            self._lately.add(pair)
            return fault

    def _open(self, pair: Pair) -> list[Fault]:
        return [fault for fault in faults_of(pair) if self.struck[pair, fault] < self._times]

    def missing(self, times: int, pairs: Iterable[Pair] = ()) -> dict[Pair, list[Fault]]:
        """What was not struck so often yet, of these and of all that was ever seen."""
        with self._table:
            open_ = {
                pair: [fault for fault in faults_of(pair) if self.struck[pair, fault] < times]
                for pair in {*self.seen, *pairs}
            }
        return {pair: faults for pair, faults in open_.items() if faults}

    def table(self) -> str:
        """Strikes by kind of request and fault; ``-``: it can't meet that."""
        rows = [["", *(fault.value for fault in Fault), "requests"]]
        for pair in sorted(self.seen):
            can = faults_of(pair)
            strikes = [str(self.struck[pair, fault]) if fault in can else "-" for fault in Fault]
            rows.append([" ".join(pair), *strikes, str(self.seen[pair])])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        )


class _Struck(_Request):
    """One connection of a caller's."""

    server: Striking
    _onwards: http.client.HTTPSConnection | None = None

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pair = pair_of(self.command, self.path, body)
        if pair == ("create", "jobs") and json.loads(body)["metadata"]["name"] in self.server.never:
            self._reset()
            return
        fault = self.server.befalling(pair)
        match fault:
            case Fault.BUSY | Fault.BROKEN | Fault.LATE | Fault.CONFLICT:
                self._refuse(*ANSWERS[fault])
            case Fault.RESET_BEFORE:
                self._reset()
            case Fault.HANG_BEFORE:
                self._hang(pair, fault)
            case _:
                self._forward(body, pair, fault)

    def _forward(self, body: bytes, pair: Pair, fault: Fault | None) -> None:
        dropped = ("host", "connection", "accept-encoding")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in dropped}
        there = self._there()
        try:
            there.request(self.command, self.path, body or None, headers)
            answer = there.getresponse()
            if pair[0] == "watch":
                self._watch(answer, pair, fault)
                there.close()
            elif fault is None:
                self._pass_on(answer)
            else:
                answer.read()
                self._after(pair, fault)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            there.close()

    def _there(self) -> http.client.HTTPSConnection:
        """This connection's own to the API server: a handshake for each request would be most of the work."""
        if self._onwards is None:
            self._onwards = http.client.HTTPSConnection(
                *self.server.there, timeout=SILENCE, context=self.server.context
            )
        return self._onwards

    def finish(self) -> None:
        """The caller has gone."""
        if self._onwards is not None:
            self._onwards.close()
        super().finish()

    def _after(self, pair: Pair, fault: Fault) -> None:
        """The server has done it."""
        if fault is Fault.LATE_AFTER:
            self._refuse(*ANSWERS[fault])
        elif fault is Fault.RESET_AFTER:
            self._reset()
        else:
            self._hang(pair, fault)

    def _watch(self, answer: http.client.HTTPResponse, pair: Pair, fault: Fault | None) -> None:
        if fault is None:
            self._pass_on(answer)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if fault is Fault.GONE:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            self._chunk(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            self._chunk(b"")
        elif fault is Fault.CUT:
            said = answer.read1(CHUNK)
            self._chunk(said[: len(said) // 2])
            self._reset()
        else:
            self._hang(pair, fault)

    def _chunk(self, said: bytes) -> None:
        self.wfile.write(f"{len(said):x}\r\n".encode() + said + b"\r\n")
        self.wfile.flush()

    def _refuse(self, code: int, reason: str) -> None:
        told = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "struck"}
        said = json.dumps(told).encode()
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _reset(self) -> None:
        """With a TCP reset, as a server that dies gives it."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()

    def _hang(self, pair: Pair, fault: Fault) -> None:
        """Say nothing until the caller has had enough."""
        self.close_connection = True
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            ready, _, _ = select.select([self.connection], [], [], 0.5)
            with suppress(OSError):
                if ready and self.connection.recv(1, socket.MSG_PEEK):
                    break  # it asks for something else on a connection that owes it an answer
            if ready:
                return
        self.server.endless.append((pair, fault))
