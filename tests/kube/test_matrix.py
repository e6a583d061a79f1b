"""The fault matrix: each (verb, resource) that the daemon uses meets each fault, and nothing comes of it.

Two replicas see a batch from its spec in a ConfigMap to its end, with failures, retries, cancels, a bulk
retry, others' pods and a stolen Lease, on a way that strikes every kind of request with every fault that it
can meet (``strikes``). The list is not written down here: it is what the daemon was seen to use, and it must
be all that the Role allows. ``REAL_TIMES=100`` plays it so often, each time in another order; ``-s`` prints
the table.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.adapters.kube_access import (
    EVENT_RULES,
    REVIEW_RULES,
    RULES,
    SPEC_RULES,
    check_access,
    lease_rules,
)
from controller.adapters.kube_client import KubeClient, Refused
from controller.ports import Unavailable
from tests.chart.rights import OUR_LEASE
from tests.control_plane import admin
from tests.e2e.history import starts
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import QUICK, KubePlace, spec
from tests.kube.strikes import TOMBSTONE, Fault, Pair, Striking
from tests.kube.test_config_map_daemon import Shelf
from tests.kube.way import a_way_of
from tests.kube.world import settings

TIMES = int(os.environ.get("REAL_TIMES", "1"))
MOST = 30
ENDS = {
    "good": "completed",
    "again": "completed",
    "wrong": "error",
    "stop": "terminated",
    "never": "terminated",
}
TASKS: dict[str, dict[str, str]] = {
    **{f"good{n}": {"RUN_SECONDS": "0.5"} for n in range(24)},
    **{f"again{n}": {"RUN_SECONDS": "0.3", "END": "exit-2,exit-0"} for n in range(4)},
    **{f"wrong{n}": {"RUN_SECONDS": "0.3", "END": "exit-1"} for n in range(12)},
    **{f"stop{n}": {"END": "never"} for n in range(11)},
    "stop99": {"END": "mount-failure"},
    **{f"never{n}": {"END": "never"} for n in range(10)},
}
"""Sixty tasks: of ``never`` no create gets through, so that their names are buried by a cancel."""
LEASE = {"duration": "6s", "renew": "4s", "retry": "500ms"}
ASKED_AT_START = {("create", "selfsubjectaccessreviews"), ("create", "selfsubjectreviews")}


def allowed() -> set[Pair]:
    """What the Role allows, as the matrix calls it; tombstones are Jobs of a kind of their own."""
    rights = (*RULES, *EVENT_RULES, *lease_rules(OUR_LEASE), *SPEC_RULES, *REVIEW_RULES)
    events = {"events.k8s.io": "events.k8s.io/"}
    pairs = {(verb, events.get(right.group, "") + right.resource) for right in rights for verb in right.verbs}
    return {*pairs, ("create", TOMBSTONE)}


@dataclass
class Life:
    """Two replicas on one way, and what people do meanwhile."""

    place: KubePlace
    way: Striking
    shelf: Shelf
    daemons: list[Daemon] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Of the batches."""
    pods: int = 0
    asked: int = 0

    def begin(self) -> None:
        """Both replicas, and all goes well until some tasks have ended."""
        self.put("scan", TASKS)
        self.daemons += [self.place.start(wait=False), self.place.start(wait=False)]
        self.place.until("some have ended", lambda: len(self.place.jobs("scan", status="completed")) >= 4)

    def put(self, name: str, tasks: dict[str, dict[str, str]]) -> None:
        """A batch, as a ConfigMap."""
        self.names.append(name)
        self.shelf.put(name, **{f"{name}_json": spec(name, tasks, MOST, retry=QUICK)})

    def put_lent(self) -> None:
        """A batch that is open until it is resumed: others' pods come and go under its name."""
        self.names.insert(0, "lent")
        tasks = {"good": TASKS["good0"]}
        self.shelf.put("lent", lent_json=spec("lent", tasks, MOST, retry=QUICK, paused=True))
        self.place.until("it is taken in", lambda: self.place.jobs("lent"))
        self.place.until("it was looked at", lambda: not self.place.gate("lent").get("hold"))

    # -------------------------------------------------------------------------- what people do meanwhile

    def provoke(self, missing: dict[Pair, list[Fault]]) -> None:
        """Do what makes the daemon ask for what was not struck with everything yet."""
        deeds = {
            **dict.fromkeys(ASKED_AT_START, self.ask_for_rights),
            ("create", "tokenreviews"): self.ask,
            ("get", "pods"): self.lend_pod,
            ("create", "leases"): self.delete_lease,
            ("create", "events.k8s.io/events"): self.one_more,
            ("patch", "configmaps"): self.one_more,
            ("get", "pods/log"): self.one_more,
            ("list", "events"): self.one_more,
            ("create", "jobs"): self.one_more,
            ("patch", "jobs"): self.one_more,
            ("delete", "jobs"): self.one_more,
            ("get", "jobs"): self.one_more,
        }
        for deed in dict.fromkeys(deeds[pair] for pair in missing if pair in deeds):
            deed()

    def ask(self) -> None:
        """Somebody with a token that nobody has asked about yet."""
        for _ in range(4):
            self.asked += 1
            said = urllib.request.Request(f"{self.daemons[0].url}/api/v1/batches")
            said.add_header("Authorization", f"Bearer nobody-{self.asked}")
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(said, timeout=30).close()

    def ask_for_rights(self) -> None:
        """As at a daemon's start. No answer is no "may not"."""

        async def asked() -> None:
            namespace = self.place.namespace
            access = settings(self.way.kubeconfig, namespace).access
            client = KubeClient(replace(access, timeout=timedelta(seconds=2)))
            await client.open()
            try:
                for _ in range(4):
                    with suppress(Unavailable, Refused):
                        await check_access(client, (), [namespace], (namespace, OUR_LEASE), namespace)
            finally:
                await client.close()

        asyncio.run(asked())

    def lend_pod(self) -> None:
        """A pod of somebody else's under a batch's prefix, for a while."""
        if "lent" not in self.names:
            self.put_lent()
        pods = f"/api/v1/namespaces/{self.place.namespace}/pods"
        self.pods += 1
        name = f"lent-{self.pods}"
        container = {"name": "main", "image": "x", "env": [{"name": "END", "value": "never"}]}
        body = {"metadata": {"name": name}, "spec": {"containers": [container], "restartPolicy": "Never"}}
        self.place.plane.admin.create(pods, body)
        wait_for("it counts", lambda: any(one["name"] == name for one in self.place.gate("lent")["foreign"]))
        self.place.plane.tear_out(self.place.namespace, name)

    def delete_lease(self) -> None:
        """Somebody deletes it."""
        with suppress(admin.Refused):
            self.place.plane.admin.delete(self.lease)

    def steal_lease(self) -> None:
        """Somebody else has it until it runs out: whoever leads steps down."""
        self.place.plane.admin.patch(self.lease, {"spec": {"holderIdentity": "somebody else"}})

    @property
    def lease(self) -> str:
        """Its path."""
        there = f"/apis/coordination.k8s.io/v1/namespaces/{self.place.namespace}/leases"
        return f"{there}/batchkeeper-default"

    def one_more(self) -> None:
        """A small batch with one of each end, unless the last one still goes on."""
        if self.place.jobs(self.names[-1], status={"$in": ["waiting", "created"]}):
            return
        name = f"more{len(self.names)}"
        self.put(
            name,
            {
                "good": TASKS["good0"],
                "wrong": TASKS["wrong0"],
                "stop": TASKS["stop0"],
                "none": TASKS["stop99"],
            },
        )
        self.place.until(f"{name} runs", lambda: self.place.job(f"{name}-stop").get("status") == "running")
        assert self.place.cli("cancel", "--as-admin", f"{name}-stop", f"{name}-none").code == 0

    def cancel(self, kind: str) -> None:
        """All tasks of a kind, in one order."""
        names = [f"scan-{task}" for task in TASKS if task.startswith(kind)]
        assert self.place.cli("cancel", "--as-admin", *names).code == 0


@pytest.fixture
def life(place: KubePlace) -> Iterator[Life]:
    """Everything set up, nothing begun."""
    place.program = ("tests.kube.impatient",)
    with a_way_of(place.account, Striking) as way:
        place.kubeconfig = way.kubeconfig
        shelf = Shelf(place)
        maps = {"namespace": place.namespace, "interval": "1s"}
        place.configure(
            specs={"folder": None, "configmaps": maps}, kubernetes={"timeout": "2s", "lease": LEASE}
        )
        yield Life(place, way, shelf)


@pytest.mark.parametrize("turn", range(TIMES))
def test_every_request_meets_every_fault(life: Life, turn: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is full, every task is at its right end, each program ran once, the figures are those of the
    records, and the oracle has nothing to say."""
    place, way = life.place, life.way
    way.never = frozenset(f"scan-{task}" for task in TASKS if task.startswith("never"))
    life.begin()
    way.strike(1, turn)
    place.until(
        "their creates are lost",
        lambda: len(place.jobs("scan", task_id={"$regex": "^never"}, status="created")) == 10,
    )
    life.cancel("never")
    life.cancel("stop")
    life.steal_lease()
    until = time.monotonic() + 550
    while missing := way.missing(1, allowed()):
        assert time.monotonic() < until, f"not struck: {missing}\n{way.table()}"
        life.provoke(missing)
        time.sleep(0.2)
    place.over("scan")
    wrong = [f"scan-{task}" for task in TASKS if task.startswith("wrong")]
    assert place.cli("retry", "--as-admin", *wrong).code == 0
    if "lent" in life.names:
        assert place.cli("resume", "--as-admin", "lent").code == 0
    place.over(*life.names)
    way.spare()
    with capsys.disabled():
        sys.stderr.write(f"\n{way.table()}\n")
    assert not way.endless
    assert set(way.seen) == allowed() | ASKED_AT_START
    newest = {job["task_id"]: job["status"] for job in place.jobs("scan")}
    assert newest == {task: ENDS[task.rstrip("0123456789")] for task in TASKS}
    assert set(starts(place.history()).values()) == {1}
    attempts = Counter(job["task_id"] for job in place.jobs("scan"))
    assert attempts == {task: 2 if task.startswith(("again", "wrong")) else 1 for task in TASKS}
    labels = ("batch", "status", "verdict")
    ended = Counter((name, job["status"], job["verdict"]) for name in life.names for job in place.jobs(name))
    assert figures(life.daemons, "batchkeeper_jobs_finished_total", *labels) == ended
    assert not figures(life.daemons, "batchkeeper_invariant_violations_total")


def figures(daemons: list[Daemon], name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """A metric summed over the replicas, by these labels, where it is not nought."""
    found: dict[tuple[str, ...], float] = {}
    for daemon in daemons:
        for family in text_string_to_metric_families(daemon.get("/metrics")[1]):
            for one in family.samples:
                if one.name == name:
                    key = tuple(one.labels[label] for label in labels)
                    found[key] = found.get(key, 0) + one.value
    return {key: value for key, value in found.items() if value}
