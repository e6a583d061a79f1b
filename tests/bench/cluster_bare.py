"""The raw limits of a control plane: loops that watch and create and do nothing else.

They record nothing, survive nothing and retry nothing. Plain HTTP over one session; no code of the program.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.control_plane.jobs import jobs_path, manifest
from tests.control_plane.plane import ControlPlane

Document = dict[str, Any]
LONGEST_LINE = 2**21


class Bare:
    """One session with an API server, in one namespace, as the admin."""

    def __init__(self, session: aiohttp.ClientSession, url: str, namespace: str) -> None:
        self._session = session
        self._url = url
        self.namespace = namespace

    async def create(self, job: Document) -> None:
        """POST a Job. Raises ``aiohttp.ClientError`` when it is refused."""
        await self.post(jobs_path(self.namespace), job)

    async def post(self, path: str, document: Document) -> None:
        """POST anything. Raises ``aiohttp.ClientError`` when it is refused."""
        async with self._session.post(f"{self._url}{path}", json=document) as answer:
            await answer.read()
            answer.raise_for_status()

    async def listed(self, path: str) -> list[Document]:
        """All of a collection. Raises ``aiohttp.ClientError``."""
        async with self._session.get(f"{self._url}{path}") as answer:
            answer.raise_for_status()
            return list((await answer.json())["items"])

    async def watch(self, path: str) -> AsyncIterator[Document]:
        """What changes from now on in an empty collection."""
        async with self._session.get(f"{self._url}{path}", params={"watch": "true"}) as answer:
            answer.raise_for_status()
            while line := await answer.content.readline():
                yield json.loads(line)["object"]


@asynccontextmanager
async def bare(plane: ControlPlane, namespace: str) -> AsyncIterator[Bare]:
    """A session that keeps its connections."""
    context = ssl.create_default_context(cafile=str(plane.ca))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        headers={"Authorization": f"Bearer {plane.admin.token}"},
        read_bufsize=LONGEST_LINE,
        timeout=aiohttp.ClientTimeout(total=None),  # a watch goes on for as long as the batch
    ) as session:
        yield Bare(session, plane.url, namespace)


def jobs(n: int, env: Callable[[int], Mapping[str, str]]) -> list[Document]:
    """So many Jobs as the program submits them."""
    return [manifest(f"raw-{number}", env(number)) for number in range(n)]


def pod_over(pod: Document) -> bool:
    """Whether this pod has come to its end."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def job_over(job: Document) -> bool:
    """Whether this Job's condition says that it has come to its end."""
    told: Iterable[Document] = job.get("status", {}).get("conditions", ())
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in told)


async def on_pods(bare: Bare, wanted: list[Document], at_once: int) -> None:
    """Run them all, so many at a time: a pod's end starts the next."""
    await _loop(bare, wanted, at_once, f"/api/v1/namespaces/{bare.namespace}/pods", pod_over)


async def on_conditions(bare: Bare, wanted: list[Document], at_once: int) -> None:
    """The same, with the Job's condition for its end."""
    await _loop(bare, wanted, at_once, jobs_path(bare.namespace), job_over)


async def _loop(
    bare: Bare, wanted: list[Document], at_once: int, path: str, is_over: Callable[[Document], bool]
) -> None:
    waiting, over = deque(wanted), set[str]()
    async with asyncio.TaskGroup() as creating:
        for _ in range(min(at_once, len(waiting))):
            creating.create_task(bare.create(waiting.popleft()))
        while len(over) < len(wanted):  # the API server ends each watch after half an hour or more
            # A namespace of its own: a watch from nowhere begins with all that is there.
            async for thing in bare.watch(path):
                uid = thing["metadata"]["uid"]
                if uid not in over and is_over(thing):
                    over.add(uid)
                    if waiting:
                        creating.create_task(bare.create(waiting.popleft()))
                    if len(over) == len(wanted):
                        return


async def indexed(bare: Bare, n: int, at_once: int, env: Mapping[str, str]) -> None:
    """The same work as one Indexed Job, which refills by itself."""
    job = manifest("indexed", env)
    job["spec"] |= {"completionMode": "Indexed", "completions": n, "parallelism": at_once}
    await bare.create(job)
    async for thing in bare.watch(jobs_path(bare.namespace)):
        if job_over(thing):
            return


async def creates(bare: Bare, wanted: list[Document], hands: int = 16) -> float:
    """Jobs a second that can be created at all, so many at once."""
    limit = asyncio.Semaphore(hands)

    async def create(job: Document) -> None:
        async with limit:
            await bare.create(job)

    begin = time.perf_counter()
    await asyncio.gather(*map(create, wanted))
    return len(wanted) / (time.perf_counter() - begin)
