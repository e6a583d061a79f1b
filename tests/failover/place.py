"""A place whose records are on a replica set that fails, and a batch in it whose end is known beforehand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from tests.e2e.history import most_at_once, starts, under
from tests.e2e.place import ENDED, Document, Place
from tests.e2e.specs import batch
from tests.failover.members import ReplicaSet

ONCE = '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 2'
"""Fails as a lost mount does, and is well when it is tried again."""
DOES = ("sleep 0.2", "true", ONCE, "exit 1")
PATIENCE = 180.0
"""Seconds in which a batch must get on, an election included, on a busy machine."""
STORE_TIMEOUT = timedelta(seconds=2)


class FailoverPlace(Place):
    """``members``: where its records are. ``uri``: how its daemons get there, if by another way."""

    def __init__(self, root: Path, members: ReplicaSet, *, uri: str = "") -> None:
        self.set = members
        self.way = uri or members.uri
        self._does: dict[str, dict[str, str]] = {}
        self._most: dict[str, int] = {}
        super().__init__(root, members.uri, f"failover_{uuid4().hex[:12]}")

    def configure(self, **sections: Any) -> None:
        """As everywhere, with a store that is given up soon."""
        store = {"uri": self.way, "timeout": f"{STORE_TIMEOUT.total_seconds():g}s"}
        super().configure(**{**sections, "store": {**store, **sections.get("store", {})}})

    @property
    def db(self) -> Database[Document]:
        """The database as whoever leads has it."""
        if self._client is None:
            self._client = MongoClient(self.uri, tz_aware=True, serverSelectionTimeoutMS=5000, timeoutMS=8000)
        return self._client[self.database]

    def until(self, what: str, look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """As everywhere; a look that nobody answers is repeated."""

        def patient() -> Any:
            try:
                return look()
            except PyMongoError:
                return None

        return super().until(what, patient, seconds)

    # ---------------------------------------------------------------------------------- the batch

    def begin(self, name: str, tasks: int, most: int, dice: random.Random) -> None:
        """Drop a batch in which each of four kinds of task is met.

        Its first task lasts until ``let_go``, so that it is not over before something befell it.
        """
        kinds = [*DOES, *(dice.choice(DOES) for _ in range(tasks - len(DOES) - 1))]
        dice.shuffle(kinds)
        held = f"until [ -e {self._sign(name)} ]; do sleep 0.1; done"
        self.batch(name, [held, *kinds], most)

    def batch(self, name: str, does: Sequence[str], most: int) -> None:
        """Drop a batch of which ``as_expected`` knows what is to become."""
        self._does[name] = {f"t{n}": kind for n, kind in enumerate(does)}
        self._most[name] = most
        self.drop(batch(name, self._does[name], most=most))

    def closed(self, name: str) -> bool:
        """Whether a batch is over, as far as can be seen."""
        try:
            return self._closed(name)
        except PyMongoError:
            return False

    def _sign(self, name: str) -> Path:
        return self.root / f"{name}.go"

    def let_go(self, name: str) -> None:
        """Its first task may end."""
        self._sign(name).touch()

    def events(self, name: str, n: int) -> None:
        """Wait until so much more has happened in the cluster, or all but the first task is over."""
        so_far = len(self.history())
        self.until(
            f"{n} more events", lambda: len(self.history()) >= so_far + n or self._only_first_is_left(name)
        )

    def _only_first_is_left(self, name: str) -> bool:
        left = self.jobs(name, status={"$nin": ENDED})
        return bool(self.parent(name)) and [job["task_id"] for job in left] == ["t0"]

    def as_expected(self) -> None:
        """Every batch comes to its end, with the right result of each task, none of which ran twice."""
        for name in self._does:
            self.let_go(name)
        self.over(*self._does)
        for name, does in self._does.items():
            jobs = self.jobs(name)
            newest = {job["task_id"]: job["status"] for job in jobs}
            assert newest == {task: "error" if do == "exit 1" else "completed" for task, do in does.items()}
            attempts = Counter(job["task_id"] for job in jobs)
            assert attempts == {task: 2 if do == ONCE else 1 for task, do in does.items()}
            assert most_at_once(self.history(), under(f"{name}-")) <= self._most[name]
        assert set(starts(self.history()).values()) == {1}
