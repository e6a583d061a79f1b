"""What the tests of /rpc share: a real server on loopback, a real database, three users and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bson import json_util
from pymongo import MongoClient

from controller.core.model import Attempt, Status, Verdict
from tests.api.place import ADA, BOB, ROOT, Place, place
from tests.api.rpc.client import Ee2Client, Raw, ServerError, post
from tests.contract.store_world import StoreWorld

__all__ = ["ADA", "BOB", "ROOT", "RpcWorld", "open_world"]

REFUSALS = {("Server error", -32000), ("Invalid params", -32602)}


T = TypeVar("T")
_CLIENTS = ThreadPoolExecutor(16, "client")
"""The clients wait in threads of their own, not in those that the server in this process works with."""


async def _elsewhere(call: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_CLIENTS, call, *args)


@dataclass
class RpcWorld:
    """A server with its database: ada's batch is in it, bob is another user, root an administrator."""

    url: str
    here: Place
    records: StoreWorld
    database: Any

    async def call(self, method: str, *params: Any, token: str | None = ADA) -> Any:
        """What the method gives to a client with this token."""
        return await _elsewhere(Ee2Client(self.url, token).call, method, *params)

    async def refusal(self, method: str, *params: Any, token: str | None = ADA) -> str:
        """The message of the error that the client gets; nothing was written."""
        before = self.dump()
        with pytest.raises(ServerError) as caught:
            await self.call(method, *params, token=token)
        assert self.dump() == before
        assert (caught.value.name, caught.value.code) in REFUSALS
        return caught.value.message

    async def send(
        self, body: bytes | Mapping[str, Any], token: str | None = ADA, verb: str = "POST", **more: Any
    ) -> Raw:
        """What comes back for a body as it is; ``more``: ``query`` of the URL, more ``headers``."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if token is None else {"Authorization": token}
        url = self.url + more.get("query", "")
        return await _elsewhere(post, url, content, {**headers, **more.get("headers", {})}, verb)

    async def failed(self, **fields: Any) -> Attempt:
        """A job of ada's that ended with an error."""
        return await self.records.put(Status.ERROR, verdict=Verdict.APPLICATION_ERROR, **fields)

    def dump(self) -> str:
        """All records and gates: what is equal was not written to."""
        found = [list(self.database[name].find().sort("_id")) for name in ("jobs", "gates")]
        return json_util.dumps(found, sort_keys=True)


@contextlib.asynccontextmanager
async def open_world(folder: Path, mongo_uri: str, name: str, **sections: Any) -> AsyncIterator[RpcWorld]:
    """Server, store and one batch of ada's, in a database that holds nothing else and is emptied again."""
    async with place(folder, mongo_uri, name, **sections) as here:
        records = StoreWorld(here.store, lambda: asyncio.sleep(0.006), await here.store.now())
        await records.add_batch()
        with MongoClient[dict[str, Any]](mongo_uri) as client:
            yield RpcWorld(f"{here.url}/rpc", here, records, client[name])
            for collection in ("jobs", "gates"):
                client[name][collection].delete_many({})
