"""What the tests of /rpc share: a real server on loopback, a real database, three users and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from bson import json_util
from fastapi import FastAPI
from pymongo import MongoClient

from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.system_clock import SystemClock
from controller.api.rpc import Rpc, add_rpc
from controller.api.rpc_call import SERVER_ERROR, Fault
from controller.api.rpc_methods import Asker
from controller.core.model import Attempt, Status, Verdict
from controller.http import HttpServer
from controller.people import People
from controller.ports import Store
from tests.api.rpc.client import Ee2Client, Raw, ServerError, post
from tests.contract.store_world import StoreWorld

ADA, BOB, ROOT = "token-of-ada-0123", "token-of-bob-0123", "token-of-root-0123"
USERS = {ADA: Asker("ada"), BOB: Asker("bob"), ROOT: Asker("root", admin=True)}
REFUSALS = {("Server error", -32000), ("Invalid params", -32602)}


@dataclass
class RpcWorld:
    """A server with its database: ada's batch is in it, bob is another user, root an administrator."""

    url: str
    store: MongoStore
    records: StoreWorld
    database: Any

    async def call(self, method: str, *params: Any, token: str | None = ADA) -> Any:
        """What the method gives to a client with this token."""
        return await asyncio.to_thread(Ee2Client(self.url, token).call, method, *params)

    async def refusal(self, method: str, *params: Any, token: str | None = ADA) -> str:
        """The message of the error that the client gets; nothing was written."""
        before = self.dump()
        with pytest.raises(ServerError) as caught:
            await self.call(method, *params, token=token)
        assert self.dump() == before
        assert (caught.value.name, caught.value.code) in REFUSALS
        return caught.value.message

    async def send(self, body: bytes | Mapping[str, Any], token: str | None = ADA, verb: str = "POST") -> Raw:
        """What comes back for a body as it is."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await asyncio.to_thread(post, self.url, content, token, verb)

    async def failed(self, **fields: Any) -> Attempt:
        """A job of ada's that ended with an error."""
        return await self.records.put(Status.ERROR, verdict=Verdict.APPLICATION_ERROR, **fields)

    def dump(self) -> str:
        """All records and gates: what is equal was not written to."""
        found = [list(self.database[name].find().sort("_id")) for name in ("jobs", "gates")]
        return json_util.dumps(found, sort_keys=True)


async def know(token: str) -> Asker:
    """Whose a token is."""
    if token not in USERS:
        raise Fault(SERVER_ERROR, "Token validation failed: it is nobody's")
    return USERS[token]


@contextlib.asynccontextmanager
async def serving(store: Store) -> AsyncIterator[str]:
    """The URL of the endpoint of a server over this store."""
    app = FastAPI()
    people = People(store, SystemClock())
    add_rpc(app, Rpc(lambda: people, know))
    server = HttpServer(app, "127.0.0.1", 0)
    await server.start()
    try:
        yield f"{server.url}/rpc"
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def open_world(mongo_uri: str, name: str) -> AsyncIterator[RpcWorld]:
    """Server, store and one batch of ada's, in a database that holds nothing else and is emptied again."""
    store = await open_store(mongo_uri, name)
    try:
        records = StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())
        await records.add_batch()
        with MongoClient[dict[str, Any]](mongo_uri) as client:
            async with serving(store) as url:
                yield RpcWorld(url, store, records, client[name])
            for collection in ("jobs", "gates"):
                client[name][collection].delete_many({})
    finally:
        await store.close()
