"""What the API server refuses, which it says by a Status: whose word an answer is, and what it is about.

Whatever stands before it (a gateway, a proxy) answers with a 4xx of its own while it reaches no API server.
Made by ``kube_client``, read by all who ask.
"""

from __future__ import annotations

import json

from controller.core.healing import heals
from controller.ports import BatchkeeperError, Rejected, Unavailable

NOT_FOUND = 404


class Refused(BatchkeeperError):
    """A definite 4xx: nothing was changed. ``code`` and ``reason`` are the Status's.

    Of a read, without a ``reason``: it is no Status, but a path that nobody serves, or somebody else's word.
    """

    def __init__(self, code: int, reason: str, message: str, where: str) -> None:
        super().__init__(f"{where}: {message or reason or 'refused'} ({code})")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def heals(self) -> bool:
        """Whether the request is not to blame: a quota, our rights, a namespace that is not there."""
        return heals(self.message)

    @property
    def absent(self) -> bool:
        """Whether the API server itself says that the object is not there: no other 404 is an absence."""
        return self.code == NOT_FOUND and self.reason == "NotFound"


def status_of(text: str) -> tuple[str, str] | None:
    """Reason and message of a Status; None: the answer is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("kind") != "Status":
        return None
    return str(found.get("reason") or ""), " ".join(str(found.get("message") or "").split())[:500]


def of_another(where: str, code: int = 200) -> Unavailable:
    """An answer that is not the API server's: a gateway's own word that it is well makes no object gone."""
    return Unavailable(f"{where}: {code}, and not by the API server: what answers in its place?")


def rejected(error: Refused) -> Rejected:
    """The port's word for a definite refusal."""
    return Rejected(str(error), error.code)
