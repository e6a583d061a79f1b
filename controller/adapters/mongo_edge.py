"""The edge to MongoDB: pymongo's errors become ours here, once, and every part shares one connection.

Called by every ``mongo_*`` module that talks to the server; nothing of pymongo's gets past it.

A write is retried by the driver under a transaction number (``retryWrites``), for as long as
``timeoutMS`` allows. The server keeps the answer of a numbered write with its data, so a retry of one
that was applied gets the first answer again, also across a restart or a failover: a guarded update is
never applied twice and never reported as not matched because its own first try was. Writes to many
documents are not numbered; those of this adapter are idempotent. What is left open after that is
``Unavailable``: it may or may not have been applied.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import pymongo
from bson import CodecOptions, ObjectId, decode
from bson.errors import BSONError, InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)

from controller.adapters.mongo_built import ID, Built
from controller.adapters.mongo_documents import decode_attempt
from controller.adapters.mongo_shapes import Document
from controller.core.model import Attempt
from controller.ports import BatchkeeperError, Conflict, Rejected, Unavailable

P = ParamSpec("P")
R = TypeVar("R")

DUPLICATE_KEY = 11000
_REFUSALS = frozenset({2, 9, 14, 22, 52, 56, 57, 121, 10334, 17280, 17419})
"""The server's codes that say "this document or command, never": bad values, the validators of
``mongo_schema``, too large. Every other failure, also a missing permission or a full disk, may pass."""

PAGE = 200
"""Documents per round trip of a long list: each page leaves the event loop free again."""
MANY = 1000
"""Documents of a round trip in which the server has most of the work."""
FAREWELL_SECONDS = 2.0


async def let_go(client: AsyncMongoClient[Document]) -> None:
    """Close a client. Its driver tells the server which sessions are over, and would wait for ever for a
    server that has fallen silent: neither the end of a process nor its next try may hang on that."""
    with pymongo.timeout(FAREWELL_SECONDS):
        await client.close()


async def bounded(work: Iterable[Coroutine[Any, Any, R]], at_once: int) -> list[R]:
    """The results in order, so many under way at one time; the first error ends the rest."""
    free = asyncio.Semaphore(at_once)

    async def one(coroutine: Coroutine[Any, Any, R]) -> R:
        async with free:
            return await coroutine

    tasks = [asyncio.create_task(one(coroutine)) for coroutine in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn every error of pymongo's into ours, in one line that names the operation."""
    try:
        yield
    except DuplicateKeyError as error:
        raise Conflict(f"mongodb: {operation}: {_line(error)}") from error
    except BulkWriteError as error:
        raise _bulk(operation, error) from error
    except (BSONError, DocumentTooLarge, OverflowError, InvalidDocument, UnicodeEncodeError) as error:
        raise Rejected(f"mongodb: {operation}: this cannot be stored: {_line(error)}") from error
    except OperationFailure as error:
        if error.code in _REFUSALS:
            raise Rejected(f"mongodb: {operation} was refused: {_line(error)}", error.code or 0) from error
        raise Unavailable(f"mongodb: {operation} failed: {_line(error)}") from error
    except PyMongoError as error:
        raise Unavailable(f"mongodb: {operation} got no answer: {_line(error)}") from error


def _bulk(operation: str, error: BulkWriteError) -> BatchkeeperError:
    if error.details.get("writeConcernErrors"):  # nor does what was in its way last for certain
        return Unavailable(f"mongodb: {operation}: no majority acknowledged it in time")
    codes = {item.get("code") for item in error.details.get("writeErrors", ())}
    if DUPLICATE_KEY in codes and codes <= _REFUSALS | {DUPLICATE_KEY}:  # else some may yet be written
        return Conflict(f"mongodb: {operation}: {_line(error)}")
    if codes and codes <= _REFUSALS:
        return Rejected(f"mongodb: {operation} was refused: {_line(error)}", min(codes))
    return Unavailable(f"mongodb: {operation} failed: {_line(error)}")


def refusals(operation: str, error: BulkWriteError) -> dict[int, Conflict | Rejected]:
    """Which items of a bulk write were refused for good, and why; raises it again for anything else."""
    items = error.details.get("writeErrors", ())
    if error.details.get("writeConcernErrors") or any(
        item.get("code") not in _REFUSALS | {DUPLICATE_KEY} for item in items
    ):
        raise error
    refused: dict[int, Conflict | Rejected] = {}
    for item in items:
        code, why = item["code"], f"mongodb: {operation}: {str(item.get('errmsg', ''))[:300]}"
        refused[item["index"]] = Conflict(why) if code == DUPLICATE_KEY else Rejected(why, code)
    return refused


def _line(error: Exception) -> str:
    """The first line of an error, cut short: a topology description is a page long."""
    text = str(error)
    for tail in (", Timeout:", ", full error:", " (configured timeouts"):
        text = text.split(tail)[0]
    return " ".join(text.split())[:300]


def edge(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """A method of the port whose errors are translated."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with translated(method.__name__):
            return await method(*args, **kwargs)

    return call


class MongoPart:
    """What every part of the store holds: the database and its collections."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._client = client
        self._db: AsyncDatabase[Document] = client[database]
        self._jobs: AsyncCollection[Document] = self._db["jobs"]
        self._raw_jobs: AsyncCollection[RawBSONDocument] = self._jobs.with_options(
            codec_options=CodecOptions(document_class=RawBSONDocument)
        )
        self._built = Built(self._decoded)
        self._gates: AsyncCollection[Document] = self._db["gates"]
        self._meta: AsyncCollection[Document] = self._db["meta"]
        self._refused: AsyncCollection[Document] = self._db["quarantine"]
        self._kept: AsyncCollection[Document] = self._db["requests"]
        self._unreadable: dict[str, str] = {}
        self._closed = False

    def _attempt(self, document: Mapping[str, Any]) -> Attempt | None:
        """The attempt of a document; one that cannot be read is quarantined and left out (O2)."""
        try:
            job = decode_attempt(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._unreadable[str(document.get("_id"))] = f"{type(error).__name__}: {error}"
            return None
        if not job.status.active:
            self._built.forget(document["_id"])
        return job

    def _decoded(self, raw: RawBSONDocument) -> Attempt | None:
        """The same of a document as it came from the server."""
        try:
            document = decode(raw.raw, self._jobs.codec_options)
        except (BSONError, TypeError, ValueError) as error:
            self._unreadable[str(ObjectId(bytes(raw.raw[ID])))] = f"{type(error).__name__}: {error}"
            return None
        return self._attempt(document)

    async def _stream(self, cursor: AsyncCursor[Document]) -> AsyncIterator[Attempt]:
        """The readable attempts of a cursor, page by page."""
        async with cursor:
            async for document in cursor.batch_size(PAGE):
                if attempt := self._attempt(document):
                    yield attempt

    async def _attempts(self, cursor: AsyncCursor[Document]) -> list[Attempt]:
        """All readable attempts of a cursor."""
        return [attempt async for attempt in self._stream(cursor)]
