"""Asking the way the API and the command line do: ``controller.requests`` on a store of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.system_clock import SystemClock
from controller.people import Answer, Caller, People
from controller.ports import Unavailable
from controller.retrying import retry
from tests.e2e.place import Place


class Desk:
    """Somebody's hands on the store: the owner's, an admin's, or another user's."""

    def __init__(self, place: Place, store: MongoStore, owner: str) -> None:
        self.place = place
        self.store = store
        self.people = People(store, SystemClock())
        self.owner = Caller(owner)
        self.admin = Caller("root-of-all", admin=True)
        self.other = Caller("somebody-else")

    async def retry(self, *names: str, **more: Any) -> list[Answer]:
        """The owner's request to retry these jobs, by their cluster names."""
        return await retry(self.people, self.owner, [self.place.id(name) for name in names], **more)

    async def refusal(self, name: str, caller: Caller | None = None) -> str:
        """Why a retry of this job is refused; nothing may have been written for it."""
        (answer,) = await retry(self.people, caller or self.owner, [self.place.id(name)])
        assert answer.error, f"{name} was not refused: {answer}"
        assert (answer.stage, answer.retry_id) == ("preflight", "")
        return answer.error


@asynccontextmanager
async def desk(place: Place) -> AsyncIterator[Desk]:
    """A desk for the length of a test."""
    store = await open_store(place.uri, place.database)
    try:
        owner = place.db["jobs"].find_one({"batch_job": True}) or {"user": "nobody"}
        yield Desk(place, store, str(owner["user"]))
    finally:
        await store.close()


class Crashing:
    """A store whose caller dies right before the call of this name, once: nothing after it is written."""

    def __init__(self, store: MongoStore, before: str) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> Any:
        if name == self._before:
            raise Unavailable(f"the caller died before {name}")
        return getattr(self._store, name)
