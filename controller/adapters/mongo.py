"""The Store on MongoDB.

``open_store`` is called by ``app`` and by every command; ``MongoStore`` is ``ports.Store``, put together
from its parts: ``mongo_meta`` (clock, epoch, halts), ``mongo_gates``, ``mongo_batches``, ``mongo_standing``,
``mongo_attempts``, ``mongo_lineage``, ``mongo_listing``, ``mongo_requests``, ``mongo_notices``, and for
the API ``mongo_desk``, ``mongo_tally`` and ``mongo_kept``. ``mongo_changes`` executes the state machine's
table, ``mongo_schema`` keeps indexes and validators, ``mongo_edge`` translates errors.

Every write waits for a majority and its journals; every read is majority, from the primary.
"""

from __future__ import annotations

from datetime import UTC, timedelta

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import ConfigurationError, InvalidURI

from controller.adapters.mongo_attempts import MongoAttempts
from controller.adapters.mongo_edge import let_go, translated
from controller.adapters.mongo_kept import MongoKept
from controller.adapters.mongo_lineage import MongoLineage
from controller.adapters.mongo_listing import MongoListing
from controller.adapters.mongo_notices import MongoNotices
from controller.adapters.mongo_requests import MongoRequests
from controller.adapters.mongo_schema import prepare
from controller.adapters.mongo_shapes import Document
from controller.adapters.mongo_standing import MongoStanding
from controller.adapters.mongo_tally import MongoTally
from controller.ports import BatchkeeperError, Unavailable

DATABASE = "batchkeeper"
UNREADABLE_ADDRESS = (
    "the MongoDB address (store.uri in config.yaml, or MONGODB_URI) cannot be read: write "
    "mongodb://user:password@host:port/?replicaSet=name, with @ : / in a password as %40 %3A %2F"
)
OLDEST = (6, 0)
"""The oldest server that has what the partial indexes need (``$in`` in their filters)."""


class MongoStore(
    MongoStanding,
    MongoTally,
    MongoAttempts,
    MongoLineage,
    MongoListing,
    MongoRequests,
    MongoNotices,
    MongoKept,
):
    """``ports.Store`` and ``ports.Desk`` on one database.

    Safe for concurrent use by the tasks of one event loop.
    """

    async def close(self) -> None:
        """Let go of connections; closing twice is no error."""
        if not self._closed:
            self._closed = True
            await let_go(self._client)


def connect(uri: str, patience: timedelta, *, numbered: bool = True) -> AsyncMongoClient[Document]:
    """A client with the store's guarantees; no call takes longer than ``patience``. Asks nothing yet.

    ``numbered``: the driver retries writes, which not every server takes.
    """
    milliseconds = patience // timedelta(milliseconds=1)
    try:
        return AsyncMongoClient(
            uri,
            appname="batchkeeper",
            w="majority",
            journal=True,
            readConcernLevel="majority",
            read_preference=ReadPreference.PRIMARY,
            retryWrites=numbered,
            retryReads=True,
            tz_aware=True,
            tzinfo=UTC,
            # A date that Python has not, or text that is not UTF-8, costs no more than its own record.
            datetime_conversion="DATETIME_AUTO",
            unicode_decode_error_handler="replace",
            timeoutMS=milliseconds,
            connectTimeoutMS=min(5000, milliseconds),
        )
    except (ConfigurationError, InvalidURI, ValueError, TypeError):
        # The driver's own words may quote the address, and with it the password: not even as a cause.
        raise BatchkeeperError(UNREADABLE_ADDRESS) from None


async def open_store(
    uri: str, database: str = DATABASE, patience: timedelta = timedelta(seconds=10)
) -> MongoStore:
    """Connect, check the server, bring the schema up to date.

    Raises ``Unavailable`` when the server does not answer within ``patience`` (try again later), and
    ``BatchkeeperError`` when it never will do: too old, not a replica set, a newer schema.
    """
    client = connect(uri, patience)
    try:
        with translated("connecting"):
            await _check_server(client)
            await prepare(client[database])
    except Unavailable as error:
        await let_go(client)
        raise Unavailable(f"{error}: is the server up, and the address right? (MONGODB_URI)") from error
    except BaseException:
        await let_go(client)
        raise
    return MongoStore(client, database)


async def _check_server(client: AsyncMongoClient[Document]) -> None:
    hello = await client.admin.command("hello")
    version = (await client.server_info())["versionArray"]
    if tuple(version[:2]) < OLDEST:
        found = ".".join(map(str, version[:3]))
        raise BatchkeeperError(f"the MongoDB server is version {found}: 6.0 or newer is needed")
    if hello.get("isreplicaset"):
        raise Unavailable(
            "mongodb: its replica set is not initiated yet: if nobody does, run rs.initiate() once"
        )
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise BatchkeeperError(
            "the MongoDB server is not a member of a replica set, so a write it acknowledged can be lost: "
            "start it with --replSet and run rs.initiate() once"
        )
