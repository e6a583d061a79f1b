"""The systems that are measured beside Batchkeeper, each as its logic on the same control plane.

A predecessor's logic is told again here in few lines: what it counts, how long it waits, that it goes one by
one. What else it did has no part in what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.bench.beside_work import HEALS, WRONG, Done, Work, fate
from tests.bench.cluster_bare import Bare, bare, job_over, on_pods, pod_over
from tests.bench.cluster_bare import indexed as whole
from tests.bench.cluster_place import account_of, empty_namespace, equal_jobs, kube_place, story
from tests.bench.place import Place
from tests.bench.slots import JOBS, PODS, slots
from tests.control_plane.commands import ADMIN
from tests.control_plane.jobs import jobs_path, manifest
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec

Document = dict[str, Any]
PATIENCE = 1800.0
POLL_SECONDS, GAP_SECONDS = 30.0, 2.0
"""What the bash script waits when it counts no place, and after each submission."""
RETRIES = [
    {"on": {"verdict": "mount-failure"}, "limit": 3, "backoff": {"base": "1s", "factor": 2, "max": "10s"}}
]
"""The built-in rule begins with 30 s; here nobody wants to wait."""


# --------------------------------------------------------------------------------------- Batchkeeper


def _ours(there: KubePlace, work: Work) -> Done:
    there.start()
    time.sleep(2)  # the start's own passes are over
    account = account_of(there.namespace)
    before = _asked(there.plane, there.namespace, account)
    there.drop(_spec(work))
    if work.measured:
        wait_for("so many ends", lambda: _ended(there, work) >= work.measured, PATIENCE)
    else:
        wait_for("the end", lambda: there.parent("beside").get("batch_status") == "finished", PATIENCE)
    told = slots(there.plane.audit(there.namespace), JOBS, work.at_once)
    asked = _asked(there.plane, there.namespace, account) - before
    failures = fate(there.pods()) if work.ends else ""
    return Done(work, "Batchkeeper", told, asked / len(told.ends), failures)


def _spec(work: Work) -> Document:
    if not work.ends:
        return equal_jobs("beside", work.n, work.at_once, work.env())
    tasks = {f"t{k}": {**work.env(k), "TASK": f"{k}"} for k in range(work.n)}
    return spec("beside", tasks, work.at_once, retry=RETRIES)


def _ended(there: KubePlace, work: Work) -> int:
    time.sleep(0.5)  # what asks must not be what is measured
    counts = there.parent("beside").get("counts", {}).get("status", {})
    return sum(counts.get(status, 0) for status in ("completed", "error", "terminated"))


async def batchkeeper(place: Place, work: Work) -> Done:
    """The daemon as a process, with the rights of its Role."""
    with kube_place(place) as there:
        return await asyncio.to_thread(_ours, there, work)


# --------------------------------------------------------------------------------------------- loops


async def alone(
    place: Place,
    work: Work,
    by: str,
    what: str,
    loop: Callable[[Bare], Awaitable[object]],
    *,
    of: int = 0,
    account: str = "",
) -> Done:
    """What a loop did in a namespace of its own, until it ended or as many jobs as are measured.

    ``what``: whose creates take places. ``account``: whose requests count beside those of the loop.
    """
    plane = place.plane
    assert plane is not None
    async with empty_namespace(place) as namespace, bare(plane, namespace) as hands:
        going = asyncio.ensure_future(loop(hands))
        enough = asyncio.ensure_future(ended(hands, work.measured)) if work.measured else going
        try:
            done, _ = await asyncio.wait({going, enough}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            await enough
        finally:
            going.cancel()
            enough.cancel()
        return await asyncio.to_thread(_done, plane, namespace, work, by, what, of, account)


def _done(plane: ControlPlane, namespace: str, work: Work, by: str, what: str, of: int, account: str) -> Done:
    told = slots(plane.audit(namespace), what, work.at_once)
    asked = _asked(plane, namespace, ADMIN) + (_asked(plane, namespace, account) if account else 0)
    pods = plane.admin.get(f"/api/v1/namespaces/{namespace}/pods")["items"] if work.ends else ()
    return Done(work, by, told, asked / max(1, len(told.ends)), fate(pods) if work.ends else "", of)


async def ended(hands: Bare, n: int) -> None:
    """Until so many pods have ended."""
    gone = set[str]()
    async for pod in hands.watch(f"/api/v1/namespaces/{hands.namespace}/pods"):
        if pod_over(pod):
            gone.add(pod["metadata"]["uid"])
        if len(gone) >= n:
            return


def jobs_of(work: Work, n: int = 0) -> list[Document]:
    """Jobs as the program submits them, all of the work or the first n."""
    return [manifest(f"raw-{k}", {**work.env(k), "TASK": f"{k}"}) for k in range(n or work.n)]


async def pod_watch(place: Place, work: Work) -> Done:
    """The raw limit: a loop that watches pods and creates the next Job, and nothing else."""
    return await alone(
        place,
        work,
        "a bare loop on a watch of pods",
        JOBS,
        lambda hands: on_pods(hands, jobs_of(work), work.at_once),
    )


async def script(place: Place, work: Work, of: int = 0) -> Done:
    """The bash script's logic: count Running pods; below the cap submit one and wait 2 s, else wait 30 s.

    ``of``: only so many of the jobs.
    """

    async def loop(hands: Bare) -> None:
        waiting = jobs_of(work, of)[::-1]
        while waiting:
            pods = await hands.listed(f"/api/v1/namespaces/{hands.namespace}/pods")
            running = sum(pod.get("status", {}).get("phase") == "Running" for pod in pods)
            if running >= work.at_once:
                await asyncio.sleep(POLL_SECONDS)
                continue
            await hands.create(waiting.pop())
            await asyncio.sleep(GAP_SECONDS)
        await ended(hands, of or work.n)

    return await alone(place, work, "the bash script's logic", JOBS, loop, of=of)


# ------------------------------------------------------------------------------------------- indexed


def per_index(job: Document, n: int = 1, at_once: int = 1) -> Document:
    """The Job as an Indexed one whose indexes are retried, each 3 times, none of them after exit 1."""
    del job["spec"]["backoffLimit"]
    codes = {"containerName": "main", "operator": "In", "values": [1]}
    job["spec"] |= {
        "completionMode": "Indexed",
        "completions": n,
        "parallelism": min(n, at_once),
        "backoffLimitPerIndex": 3,
        "podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": codes}]},
    }
    return job


async def indexed(place: Place, work: Work) -> Done:
    """One Indexed Job, which refills by itself. All its pods are of one template, so those that fail are two
    Jobs of their own, and don't count in the places."""
    by = "an Indexed Job"
    if not work.ends:
        env = work.env()
        return await alone(place, work, by, PODS, lambda hands: whole(hands, work.n, work.at_once, env))

    async def plain(hands: Bare) -> None:
        await hands.create(per_index(manifest("plain", work.env()), work.n - len(work.ends), work.at_once))
        await over(hands, 1)

    async def failing(hands: Bare) -> None:
        ends = list(work.ends.values())
        for name, end in (("heals", HEALS), ("wrong", WRONG)):
            job = manifest(name, work.env() | {"END": end})
            await hands.create(per_index(job, ends.count(end), work.at_once))
        await over(hands, 2)

    well, ill = await asyncio.gather(
        alone(place, work, by, PODS, plain), alone(place, work, by, PODS, failing)
    )
    return Done(replace(work, n=work.n - len(work.ends)), by, well.slots, well.requests, ill.failures)


async def over(hands: Bare, n: int) -> None:
    """Until n Jobs have come to their end."""
    over = set[str]()
    async for job in hands.watch(jobs_path(hands.namespace)):
        if job_over(job):
            over.add(job["metadata"]["uid"])
        if len(over) == n:
            return


def _asked(plane: ControlPlane, namespace: str, account: str) -> int:
    """Requests of this user there, without the Lease's and those that a new namespace takes."""
    counts = story(plane, namespace).by(account)
    besides = ("leases", "namespaces", "serviceaccounts")
    return sum(n for (_, resource), n in counts.items() if resource not in besides)
