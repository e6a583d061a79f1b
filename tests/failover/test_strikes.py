"""Every command that the daemon sends meets everything that may become of it on its way; the oracle judges.

The daemon's own life is struck while batches go on, one after the other, by three daemons side by side, since
most of the time is spent waiting for answers that never come.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from tests.e2e.conftest import folder
from tests.e2e.process import Daemon
from tests.failover.conftest import judged
from tests.failover.members import NAME, ReplicaSet
from tests.failover.place import ONCE, FailoverPlace
from tests.failover.strikes import Fate, Volley, table
from tests.failover.way import Way, way_to
from tests.failover.wire import Key

TIMEOUT = timedelta(seconds=1)
INTERVAL = timedelta(milliseconds=500)
SHARES: Sequence[Sequence[Fate]] = (
    (Fate.SILENT, Fate.UNHEARD, Fate.LATE),
    (Fate.RESET, Fate.LOST, Fate.NOT_PRIMARY, Fate.STEPPED_DOWN, Fate.SHUTTING_DOWN),
    (Fate.OVERDUE, Fate.EXCEEDED, Fate.INTERRUPTED, Fate.NOT_ALL_HEARD, Fate.LEFT_MEANWHILE),
)
"""Of each daemon."""
PATIENT, IMPATIENT, TRIES = timedelta(seconds=20), timedelta(seconds=1), 5
"""For a start: one that is never answered need not take long."""
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
def a_life(members: ReplicaSet, fates: Sequence[Fate]) -> Iterator[Life]:
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
        volley = Volley(fates, random.Random(1))
        way.judge = volley.judge
        yield Life(place, way, volley, place.start(wait=False))


def test_every_command_of_a_life_is_struck(members: ReplicaSet) -> None:
    """Nothing hangs, is lost or runs twice; and no (command, collection, fate) is left out."""
    members.healed()
    with ExitStack() as stack:
        lives = [stack.enter_context(a_life(members, share)) for share in SHARES]
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

AT_A_START = frozenset(
    {"buildinfo", "create", "createIndexes", "collMod", "listCollections", "endSessions", "killCursors"}
)
AT_ONCE = 6
"""Starts side by side, each on a database of its own: most of the time they wait."""


def at_a_start(key: Key) -> bool:
    """Whether a start sends this, and hardly anything else does."""
    return key[0] in AT_A_START or key in {("insert", "meta"), ("findAndModify", "meta")}
