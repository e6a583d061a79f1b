"""Every command that the daemon sends meets everything that may become of it on its way; the oracle judges.

The daemon's own life is struck while batches go on, one after the other, by three daemons side by side, since
most of the time is spent waiting for answers that never come. What only a start sends is struck at starts.
``REAL_TIMES=100`` does all of it so often, each time in another order.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.database import Database
from pymongo.errors import CollectionInvalid

from controller.adapters.mongo import open_store
from controller.ports import Unavailable
from tests.e2e.conftest import folder
from tests.e2e.process import Daemon
from tests.failover.conftest import judged
from tests.failover.members import NAME, ReplicaSet
from tests.failover.place import ONCE, FailoverPlace
from tests.failover.strikes import UNASKED, Fate, Strike, Volley, befits, table
from tests.failover.way import Way, way_to
from tests.failover.wire import NO_COLLECTION, Key, Message

TIMEOUT = timedelta(seconds=1)
INTERVAL = timedelta(milliseconds=500)
SHARES: Sequence[Sequence[Fate]] = (
    (Fate.SILENT, Fate.UNHEARD, Fate.LATE),
    (Fate.RESET, Fate.LOST, Fate.NOT_PRIMARY, Fate.STEPPED_DOWN, Fate.SHUTTING_DOWN),
    (Fate.OVERDUE, Fate.EXCEEDED, Fate.INTERRUPTED, Fate.NOT_ALL_HEARD, Fate.LEFT_MEANWHILE),
)
"""Of each daemon."""
TIMES = int(os.environ.get("REAL_TIMES", "1"))
PATIENCE = 300.0
"""Seconds in which all must be struck, on a busy machine."""


@dataclass
class Life:
    """One daemon on a way of its own, and batch after batch for as long as something is left to strike."""

    place: FailoverPlace
    way: Way
    volley: Volley
    daemon: Daemon
    batches: int = 0

    def begin(self) -> None:
        """From here on everything is struck."""
        self.daemon.says("leading")
        self.volley.armed = True
        self.next()

    def next(self) -> None:
        """Another small batch, and a spec that is refused again, or no more."""
        self.batches += 1
        self.place.batch(self.newest, ["true", ONCE, "exit 1"], 2)
        bad = self.place.specs / "bad.json"
        bad.write_text(f'{{"never": {self.batches}}}') if self.batches % 2 else bad.unlink(missing_ok=True)

    @property
    def newest(self) -> str:
        """The batch under way."""
        return f"b{self.batches}"

    def goes_on(self) -> bool:
        """Whether something is left to strike; a batch that is over is followed by another one then."""
        if not self.place.closed(self.newest):
            return True
        if self.volley.owed():
            self.next()
        return bool(self.volley.owed())


@contextmanager
def a_life(members: ReplicaSet, fates: Sequence[Fate], turn: int) -> Iterator[Life]:
    """A daemon that is starting, judged at its end."""
    addresses = [one.address for one in members.members]
    with (
        way_to(addresses) as way,
        folder() as root,
        judged(FailoverPlace(root, members, uri=way.uri(NAME))) as place,
    ):
        place.configure(
            store={"timeout": f"{TIMEOUT.total_seconds():g}s"},
            reconcile={"interval": f"{INTERVAL / timedelta(milliseconds=1):g}ms"},
        )
        place.know(list_age=1.5 * INTERVAL)
        volley = Volley(fates, random.Random(1 + turn))
        way.judge = lambda key, message: None if key in ONCE_A_LEAD else volley.judge(key, message)
        yield Life(place, way, volley, place.start(wait=False))


@pytest.mark.parametrize("turn", range(TIMES))
def test_every_command_of_a_life_is_struck(turn: int, members: ReplicaSet) -> None:
    """Nothing hangs, is lost or runs twice; and no (command, collection, fate) is left out."""
    members.healed()
    with ExitStack() as stack:
        lives = [stack.enter_context(a_life(members, share, turn)) for share in SHARES]
        for life in lives:
            life.begin()
        until = time.monotonic() + PATIENCE
        while sum(life.goes_on() for life in lives) and time.monotonic() < until:  # each is to go on
            time.sleep(0.05)
        for life in lives:
            life.volley.armed = False
        struck = {strike for life in lives for strike in life.volley.struck}
        told = table(struck)
        print(told)  # noqa: T201  shown with -s, and when it fails
        owed = [(key, fate.name) for life in lives for key, fate in life.volley.owed()]
        assert not owed, f"left out: {owed}\n{told}"
        seen = {key for life in lives for key in life.way.seen}
        assert not {key for key in seen - {key for key, _ in struck} if not at_a_start(key)}
        for life in lives:
            life.place.as_expected()
            life.daemon.ready()


# -------------------------------------------------------------------------------------------- starts

ONCE_A_LEAD = frozenset({("insert", "meta"), ("findAndModify", "meta"), ("find", "quarantine")})
"""Sent by whoever begins to lead, and then no more."""
AT_A_START = frozenset(
    {"buildinfo", "create", "createIndexes", "collMod", "listCollections", "listIndexes", *UNASKED}
)
AT_ONCE = 6
"""Starts side by side, each on a database of its own: most of the time they wait."""
ALIKE = (
    *(Fate.NOT_PRIMARY, Fate.OVERDUE, Fate.INTERRUPTED),
    *(Fate.SHUTTING_DOWN, Fate.EXCEEDED, Fate.STEPPED_DOWN),
)
"""Refused, each in words of its own: a third of them in one turn, of each command another third."""
PATIENT, IMPATIENT, TRIES = timedelta(seconds=20), timedelta(seconds=1), 5
"""For a start: one that is never answered need not take long."""


def at_a_start(key: Key) -> bool:
    """Whether a start sends this, and hardly anything else does."""
    return key[0] in AT_A_START or key in ONCE_A_LEAD


@pytest.mark.parametrize("turn", range(TIMES))
async def test_every_command_of_a_start_is_struck(turn: int, members: ReplicaSet) -> None:
    """It succeeds, or says that the store is unavailable and succeeds the next time: the schema is whole
    then, and no epoch is given twice."""
    await asyncio.to_thread(members.healed)
    with starting(members) as first:
        await first.start()
        for key in [("collMod", "jobs"), ("collMod", "gates")]:
            first.unmade(key)
        await first.start()
        keys = [key for key in first.way.seen if at_a_start(key) and key[0] not in UNASKED]
        whole = {key[1]: first.made(key[1]) for key in keys}
    due = [
        (key, fate)
        for number, key in enumerate(sorted(keys))
        for fate in Fate
        if befits(fate, key) and (fate not in ALIKE or ALIKE.index(fate) % 3 == (number + turn) % 3)
    ]
    print(table(due))  # noqa: T201  shown with -s, and when it fails
    assert {command for command, _ in keys} >= AT_A_START - UNASKED
    random.Random(1 + turn).shuffle(due)
    shares = [due[number::AT_ONCE] for number in range(AT_ONCE)]
    await asyncio.gather(*(struck(members, share, whole) for share in shares))


async def struck(members: ReplicaSet, due: Sequence[Strike], whole: Mapping[str, Any]) -> None:
    """One struck start after the other, on one database. ``whole``: what a good one makes, by collection."""
    with starting(members) as one:
        await one.start()
        for strike in due:
            await asyncio.to_thread(one.unmade, strike[0])
            one.armed = strike
            hangs = strike[1] in (Fate.SILENT, Fate.UNHEARD, Fate.LATE)
            for number in range(TRIES):  # on a busy machine another call of the start may take too long
                with suppress(Unavailable):
                    await one.start(IMPATIENT * 2**number if hangs else PATIENT)
                    made = await asyncio.to_thread(one.made, strike[0][1])
                    assert made == whole[strike[0][1]], f"{strike}: a start was content with {made}"
                if not one.armed:
                    break
            assert not one.armed, f"a start does not send {strike[0]}"
            while one.way.late:
                await asyncio.sleep(0.05)
        await one.start()
        for name, made in whole.items():
            assert await asyncio.to_thread(one.made, name) == made, f"{name} is not whole in the end"


@dataclass
class Starting:
    """What a daemon does before it decides anything, again and again on one database."""

    way: Way
    database: Database[dict[str, Any]]
    armed: Strike | None = None
    """What is to be struck next."""
    epochs: list[int] = field(default_factory=list)

    def judge(self, key: Key, message: Message) -> Fate | None:
        """See ``Way.judge``."""
        if self.armed is None or self.armed[0] != key:
            return None
        (_, fate), self.armed = self.armed, None
        return fate

    async def start(self, patience: timedelta = PATIENT) -> None:
        """One start. Raises ``Unavailable``."""
        store = await open_store(self.way.uri(NAME), self.database.name, patience)
        try:
            self.epochs.append(await store.next_epoch("struck"))
            await store.quarantine()  # what whoever led before has refused
            assert self.epochs == sorted(set(self.epochs))
        finally:
            await store.close()

    def unmade(self, key: Key) -> None:
        """Let a start have a reason to send this command."""
        command, collection = key
        if command == "create":
            self.database.drop_collection(collection)
        elif command == "collMod":
            with suppress(CollectionInvalid):  # it is there, unless the start before this one came to nothing
                self.database.create_collection(collection)
            self.database.command("collMod", collection, validator={})
        elif command == "insert":
            self.database[collection].delete_one({"_id": "schema"})

    def made(self, collection: str) -> Any:
        """What starts have made of a collection: its validator and its indexes, and the schema's version."""
        if collection == NO_COLLECTION:
            return None
        options = self.database[collection].options()
        validator = options.get("validator"), options.get("validationAction")
        return (
            validator,
            self.database[collection].index_information(),
            self.database["meta"].find_one("schema"),
        )


@contextmanager
def starting(members: ReplicaSet) -> Iterator[Starting]:
    """On a database of its own, by a way of its own."""
    database = f"starts_{uuid4().hex[:12]}"
    with (
        way_to([one.address for one in members.members]) as way,
        pymongo.MongoClient[dict[str, Any]](members.uri) as client,
    ):
        one = Starting(way, client[database])
        way.judge = one.judge
        yield one
        client.drop_database(database)
