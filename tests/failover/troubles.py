"""What may befall a replica set, or the daemon, in the middle of a batch; each leaves all to be healed.

Called by ``test_kills``, once each, and by ``python -m tests.failover``, again and again, drawn from a seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from controller.adapters.local_history import CREATE, DELETE, TOMBSTONE
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.failover.members import ELECTION, Member, ReplicaSet
from tests.failover.place import STORE_TIMEOUT, FailoverPlace

BY_THE_DAEMON = (CREATE, TOMBSTONE, DELETE)
TASKS, MOST = 6, 2
"""Of each batch."""
MOST_EVENTS = 6
"""Within so many events of the cluster a trouble begins."""
TAKEN_IN = 0.2
"""How often it begins already while the batch is taken in."""


@dataclass
class Run:
    """A batch under way: what befalls it is drawn from ``dice``."""

    place: FailoverPlace
    daemon: Daemon
    dice: random.Random

    @property
    def set(self) -> ReplicaSet:
        """The replica set."""
        return self.place.set

    batches: int = 0
    story: list[str] = field(default_factory=list)

    def befalls(self, trouble: str) -> None:
        """A new batch, and in the middle of it, or while it is taken in, this."""
        self.story.append(trouble)
        self.batches += 1
        self.place.begin(self.batch, TASKS, MOST, self.dice)
        if self.dice.random() < TAKEN_IN:
            time.sleep(self.dice.uniform(0, 1))
        else:
            self.goes_on()
        TROUBLES[trouble](self)
        self.place.let_go(self.batch)
        self.set.healed()

    @property
    def batch(self) -> str:
        """The newest one."""
        return f"b{self.batches}"

    def goes_on(self) -> None:
        """A little later, anywhere between two of the daemon's writes."""
        self.place.events(self.batch, self.dice.randint(1, MOST_EVENTS))
        time.sleep(self.dice.uniform(0, 0.1))

    def ends_well(self) -> None:
        """Once every member is there, every batch comes to its expected end."""
        self.set.healed()
        self.place.as_expected()
        self.daemon.ready()

    def dark(self) -> None:
        """The daemon has noticed, more than once, that it can do nothing."""
        known = len(self.daemon.said("unavailable"))
        self.place.until("passes in the dark", lambda: len(self.daemon.said("unavailable")) > known + 1)


def primary_killed(run: Run) -> None:
    """``kill -9``; another one leads, and the killed one comes back in the middle of the batch."""
    lost = run.set.primary()
    run.set.kill(lost)
    run.set.primary(but=lost)
    run.goes_on()
    run.set.start(lost)


def rolled_back(run: Run) -> None:
    """The primary dies with writes that nobody else has: when it is back, it takes them back."""
    lost = run.set.primary()
    others = [one for one in run.set.members if one is not lost]
    with run.set.stalled(*others):
        run.place.until("a write of its own", lambda: run.set.alone_with(lost, run.place.database))
        time.sleep(run.dice.uniform(0, 2 * STORE_TIMEOUT.total_seconds()))
        run.set.kill(lost)
    run.set.primary(but=lost)
    run.goes_on()
    rolled = lost.log().count("Rollback complete")
    run.set.start(lost)
    wait_for("its writes are taken back", lambda: lost.log().count("Rollback complete") > rolled)


def stepped_down(run: Run) -> None:
    """The primary is asked to leave, as before its machine is served."""
    led = run.set.primary()
    run.set.step_down()
    run.set.primary(but=led)


def primary_frozen(run: Run) -> None:
    """The primary falls silent, another one leads, and it returns and believes for a while that it leads."""
    silent = run.set.primary()
    run.set.freeze(silent)
    run.set.primary(but=silent)
    run.goes_on()
    run.set.thaw(silent)


def short_silence(run: Run) -> None:
    """The primary is silent for longer than a call may take, and not long enough to lose its place: it does
    what it was asked before, after whoever asked has given up."""
    silent = run.set.primary()
    run.set.freeze(silent)
    time.sleep(run.dice.uniform(0.5, 0.9) * ELECTION.total_seconds())
    run.set.thaw(silent)


def not_acknowledged(run: Run) -> None:
    """The primary leads on and takes writes, which reach no other member until later."""
    with run.set.stalled(*run.set.secondaries()):
        run.dark()


def no_majority(run: Run) -> None:
    """Two of three are dead: nothing is created, deleted or judged until one of them is back."""
    leads = run.set.primary()
    other = run.dice.choice([one for one in run.set.members if one is not leads])
    _in_the_dark(run, [leads, other])


def primary_left_alone(run: Run) -> None:
    """The primary's two fellows die: it lays its office down, and nothing happens until one is back."""
    _in_the_dark(run, run.set.secondaries())


def _in_the_dark(run: Run, dead: list[Member]) -> None:
    run.place.storm(out=True)
    run.set.kill(*dead)
    wait_for("unready", lambda: run.daemon.get("/readyz")[0] == 503)
    run.dark()
    assert run.daemon.get("/livez")[0] == 200
    before = {(entry.name, entry.kind) for entry in run.place.history() if entry.kind in BY_THE_DAEMON}
    run.dark()
    after = {(entry.name, entry.kind) for entry in run.place.history() if entry.kind in BY_THE_DAEMON}
    assert after == before
    run.place.storm(out=False)  # at any instant from here on
    run.set.start(run.dice.choice(dead))
    run.set.primary()


def daemon_killed(run: Run) -> None:
    """``kill -9`` of the daemon alone."""
    run.daemon.kill()
    run.daemon = run.place.start(wait=False)


def both_killed(run: Run) -> None:
    """The daemon and the primary at one instant; the new daemon finds a set without a primary."""
    lost = run.set.primary()
    deaths: list[Callable[[], None]] = [run.daemon.kill, partial(run.set.kill, lost)]
    run.dice.shuffle(deaths)
    for death in deaths:
        death()
    run.daemon = run.place.start(wait=False)
    run.set.primary(but=lost)


def all_killed(run: Run) -> None:
    """Everything loses its power: three members and the daemon."""
    run.daemon.kill()
    run.set.kill(*run.set.members)
    run.daemon = run.place.start(wait=False)
    run.set.healed()


TROUBLES: Mapping[str, Callable[[Run], None]] = {
    one.__name__: one
    for one in (
        primary_killed,
        rolled_back,
        stepped_down,
        primary_frozen,
        short_silence,
        not_acknowledged,
        no_majority,
        primary_left_alone,
        daemon_killed,
        both_killed,
        all_killed,
    )
}
