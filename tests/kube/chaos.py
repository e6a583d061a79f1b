"""Faults drawn from a seed, one after the other, on a control plane of their own and two replicas.

``test_chaos`` runs it. A seed says which faults come, in which order and with which pauses; machines differ
in how far the batch has come by then, so a seed that fails is a hint where to look, not a replay.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.control_plane.admin import Refused
from tests.control_plane.plane import API_SERVER, ETCD
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace
from tests.kube.storm import sent_away
from tests.kube.way import Fate, Way

PAUSES = (0.0, 1.5)
"""Seconds between two faults."""
LASTS = (0.2, 5.0)
"""Seconds that a fault lasts, on both sides of a term's length."""
WRITES = [("POST", r"/jobs(\?|$)"), ("PATCH", r"/jobs/"), ("DELETE", r"/jobs/"), ("PUT", r"/leases/")]


class Chaos:
    """Two replicas, each on a way of its own, and what befalls them."""

    def __init__(self, place: KubePlace, ways: list[Way], replicas: list[Daemon], seed: int) -> None:
        self.place = place
        self.ways = ways
        self.replicas = replicas
        self.dice = random.Random(seed)
        self.story: list[str] = []
        """What was done, in its order."""

    def go(self, faults: int) -> None:
        """So many faults, drawn from the seed."""
        kinds: list[Callable[[], None]] = [
            self.kill_server,
            self.expire_watches,
            self.rotate,
            self.storm,
            self.lose_replies,
            self.lose_replies,
            self.cut_off,
            self.cut_off,
            self.freeze,
            self.freeze,
            self.kill_replica,
        ]
        for _ in range(faults):
            fault = self.dice.choice(kinds)
            self.story.append(fault.__name__)
            fault()
            time.sleep(self.dice.uniform(*PAUSES))

    def heal(self) -> None:
        """All is well from here on."""
        for way in self.ways:
            way.clear()

    # ---------------------------------------------------------------------------------- the faults

    def kill_server(self) -> None:
        """``kill -9`` of the API server or of etcd, and up again after a while."""
        name = self.dice.choice([API_SERVER, ETCD])
        self.place.plane.kill(name)
        with self.place.out_of_reach():
            self._last()
        self.place.plane.start(name)
        wait_for("the control plane works", self._works)

    def expire_watches(self) -> None:
        """410 for everybody."""
        self.place.plane.expire_watches()

    def rotate(self) -> None:
        """A new token; the old one is refused soon."""
        self.place.account.rotate()

    def storm(self) -> None:
        """Both are sent away with 429 for a while."""
        with sent_away(self.place.plane, self.place.account):
            self._last()

    def lose_replies(self) -> None:
        """The next answers to some kind of write are lost, of one replica."""
        method, path = self.dice.choice(WRITES)
        self.dice.choice(self.ways).plan(Fate.LOST, method, path, times=self.dice.randint(1, 4))

    def cut_off(self) -> None:
        """One replica gets nothing but 503, or no answer at all, for a while; what hung lands late."""
        with self.dice.choice(self.ways).out(self.dice.choice([Fate.DENIED, Fate.HELD])):
            self._last()

    def freeze(self) -> None:
        """One replica is stopped, perhaps with writes on their way, and goes on after a while."""
        number = self.dice.randrange(len(self.replicas))
        method, path = self.dice.choice(WRITES)
        if self.dice.random() < 0.5:
            self.ways[number].plan(Fate.HELD, method, path, times=self.dice.randint(1, 3))
        with self.replicas[number].frozen():
            self._last()
            self.ways[number].clear()

    def kill_replica(self) -> None:
        """``kill -9`` of one replica, and another one in its stead."""
        number = self.dice.randrange(len(self.replicas))
        self.replicas[number].kill()
        self._last()
        self.replicas[number] = self.begin(number)

    def begin(self, number: int) -> Daemon:
        """A replica on its way."""
        self.place.by(self.ways[number].kubeconfig)
        return self.place.start(wait=False)

    def _last(self) -> None:
        time.sleep(self.dice.uniform(*LASTS))

    def _works(self) -> bool:
        """Whether our own hand can write again."""
        try:
            self.place.plane.admin.patch(f"/api/v1/namespaces/{self.place.namespace}", {})
        except (OSError, Refused):
            return False
        return True
