"""One line of the audit log for every order, whatever became of it: who, what, how many ids, the outcome.

Made by ``guard`` around each request, so that no route can forget it. Routes and ``orders`` note what they
know; the line is written before the answer is sent. No body, token or env value ever gets in here.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import Request

from controller.telemetry import get_logger

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
KEY = "audit"
"""Of the request's state."""
UNTOLD = frozenset({"too-fast"})
"""Outcomes without a line: whoever asks too fast would fill the log."""
_log = get_logger("audit")


class Entry:
    """What is known of one request so far. Only an order, a write to a documented route, gets a line."""

    def __init__(self, scope: MutableMapping[str, Any], request_id: str) -> None:
        self._scope = scope
        self._facts: dict[str, Any] = {"who": "", "how": "", "what": "", "ids": 0, "request": request_id}
        self._outcome = ""
        self._told = False

    def note(self, **facts: Any) -> None:
        """Remember this for the line."""
        self._facts.update(facts)

    @property
    def sender(self) -> dict[str, Any]:
        """Who sent it, as far as that is known, and by which id the logs have it."""
        return {name: self._facts[name] for name in ("who", "how", "request")}

    def refused(self, outcome: str) -> None:
        """It came to nothing: the kind of the problem."""
        self._outcome = outcome

    def tell(self, outcome: str = "done") -> None:
        """Write the line, once; ``outcome``: what it came to unless it was refused."""
        outcome = self._outcome or outcome
        what = _order(self._scope)
        if self._told or not what or outcome in UNTOLD:
            return
        self._told = True
        self._facts["what"] = self._facts["what"] or what
        _log.info("order", **self._facts, outcome=outcome)

    def over(self) -> None:
        """The request has been answered. What it was put into is let go: the two would hold each other."""
        self._scope, self._told = {}, True


def _order(scope: MutableMapping[str, Any]) -> str:
    """Which order a request is, by the path of its route; empty: it is none."""
    route, method = scope.get("route"), scope["method"]
    if method not in WRITING or not getattr(route, "include_in_schema", False):
        return ""
    return f"{method} {route.path}" if method in (getattr(route, "methods", None) or ()) else ""  # type: ignore[union-attr]


def entry_of(request: Request) -> Entry:
    """The entry of this request."""
    found: Entry = getattr(request.state, KEY)
    return found
