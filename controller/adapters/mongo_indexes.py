"""Indexes that are missing are built, however long the server takes.

Used by ``mongo_schema`` and ``mongo_ee2`` at a start. When the time of a command is over the server drops
what it has built: a start that gave it no longer than any other command would begin anew each time, and of
enough records an index would never be there. So the command may take hours, and is given up as soon as the
server is not at work on it any more: its answer is lost then, or it was never heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import NetworkTimeout

from controller.adapters.mongo_edge import FAREWELL_SECONDS
from controller.adapters.mongo_shapes import Document

LONGEST_BUILD = 24 * 60 * 60.0
"""Seconds that the server may be at work on indexes."""
_USUAL = 10.0
"""Seconds in which commands are answered where the client has no limit."""


async def build(
    collection: AsyncCollection[Document], indexes: Sequence[IndexModel], patience: float | None = None
) -> None:
    """Make what is missing of these indexes; what is there already costs one question.

    It is enough that a majority of the members has built them: none that is away holds up a start.
    ``patience``: seconds without an answer until the server is asked what it does; None: as any command has.
    """
    if patience is None:
        patience = collection.database.client.options.timeout or _USUAL
    making = asyncio.create_task(_create(collection, indexes), name=f"indexes of {collection.name}")
    try:
        while not await _over(making, patience):
            if not await _is_at_it(collection) and not await _over(making, patience):
                raise NetworkTimeout(
                    f"no answer to createIndexes {collection.name}, and it is not being done"
                )
    finally:
        making.cancel()
        await asyncio.wait([making], timeout=FAREWELL_SECONDS)
    making.result()


async def _create(collection: AsyncCollection[Document], indexes: Sequence[IndexModel]) -> None:
    replicated = collection.database.client.topology_description.topology_type_name.startswith("ReplicaSet")
    quorum: dict[str, Any] = {"commitQuorum": "majority"} if replicated else {}
    with pymongo.timeout(LONGEST_BUILD):
        await collection.create_indexes(indexes, **quorum)


async def _over(making: asyncio.Task[None], seconds: float) -> bool:
    done, _ = await asyncio.wait([making], timeout=seconds)
    return bool(done)


async def _is_at_it(collection: AsyncCollection[Document]) -> bool:
    """Whether the server makes indexes there, for whomever: others who start at once wait for the same."""
    under_way = await collection.database.client.admin.command({"currentOp": 1, "$ownOps": True})
    named = ("createIndexes", collection.name)
    return any(
        operation.get("ns") == collection.full_name and named in operation.get("command", {}).items()
        for operation in under_way["inprog"]
    )
