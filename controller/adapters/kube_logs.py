"""The ends of logs: evidence that the API server fetches from a kubelet, which may never answer again.

Called by ``kube_cluster``. A job's end must not wait for ever for the log of a node that is lost; and an
outage of the API server must not cost a log that will be there when it is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import POD
from controller.adapters.kube_listing import list_all
from controller.adapters.kube_reading import main_container, meta, text
from controller.adapters.kube_render import MAIN
from controller.core.sight import ClusterJob
from controller.ports import Unavailable

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
"""The label by which the Job controller knows a Job's pods."""
LINES = 100
"""Of a log's end. A line may be as long as a progress bar is, so the bytes are bounded, too."""
MOST = 2**24
"""Bytes that are read of these lines."""
AT_ONCE = 32
"""Logs that are read at one time: half of the client's connections. A silent kubelet holds one for as long as
a request may take, and lists and creates that found none free for so long were given up."""
LINE = 10.0
"""Seconds that one waits for its turn. Whoever waits may hold up a whole batch; another look asks again."""
PATIENCE = 60.0
"""Seconds for which a kubelet that does not answer is asked again."""
WHICH = "a container name must be specified"
"""What the API server says of a pod with several."""
REMEMBERED = 20_000
"""Objects for whose logs the time is counted: more than run at one time. What is forgotten counts anew, so
with fewer, and more of them asked for in turn, no kubelet would ever have been silent for long enough."""


class Logs:
    """Reads the ends of logs, and remembers whose kubelets did not answer."""

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._free = asyncio.Semaphore(AT_ONCE)
        self._since: dict[str, float] = {}
        """When the log of this object, by uid, could first not be read."""

    async def tail(self, job: ClusterJob, max_bytes: int) -> str:
        """The last bytes of the job's log; empty when there is none, or nobody to tell it.

        Raises ``Unavailable`` when the API server can't be asked, and for a while when the kubelet can't or
        we have no right to.
        """
        if max_bytes <= 0:
            return ""
        try:
            pod = job.pod or await self._newest(job)
            log = await self._read(job, pod, max_bytes) if pod else b""
        except Refused as error:
            # Without a reason it is another's word, a gateway's say: the API server was not asked.
            if not error.reason or (error.heals and not self._in_vain(job.uid)):
                raise Unavailable(str(error)) from None
            log = b""  # the pod is gone, or its container never ran
        self._since.pop(job.uid, None)
        return log.decode("utf-8", "ignore" if len(log) == max_bytes else "replace")

    async def _newest(self, job: ClusterJob) -> str:
        """The name of the newest pod; empty: there is none."""
        pods, _ = await list_all(self._client, POD, job.namespace, f"{CONTROLLER_UID}={job.uid}")
        newest = max(pods, key=lambda pod: text(meta(pod), "creationTimestamp"), default=None)
        return text(meta(newest), "name") if newest else ""

    async def _there(self, job: ClusterJob, pod: str) -> Mapping[str, Any]:
        """Ask for the pod by its name: a list costs more. Raises ``Refused`` if it is gone."""
        path = f"{POD.path}/namespaces/{job.namespace}/pods/{pod}"
        return await self._client.request("GET", path, resource="pods")

    async def _read(self, job: ClusterJob, pod: str, max_bytes: int) -> bytes:
        path = f"api/v1/namespaces/{job.namespace}/pods/{pod}/log"
        query = {"tailLines": str(LINES), "limitBytes": str(MOST)}
        if job.job_id:  # what others started calls its container as it likes, and may have several
            query["container"] = MAIN
        try:
            await asyncio.wait_for(self._free.acquire(), LINE)
        except TimeoutError:  # which says nothing of its own kubelet
            raise Unavailable(f"GET {path}: {AT_ONCE} other logs are waited for") from None
        try:
            try:
                return await self._client.read_end(path, max_bytes, resource="pods/log", query=query)
            except Refused as error:
                if WHICH not in error.message:
                    raise
                query["container"] = main_container(await self._there(job, pod))
                return await self._client.read_end(path, max_bytes, resource="pods/log", query=query)
        except (Refused, Unavailable) as error:
            if isinstance(error, Refused) and error.reason:
                raise
            if job.pod:
                await self._there(job, pod)  # is it the API server that does not answer, or the kubelet?
            if not self._in_vain(job.uid):
                raise Unavailable(str(error)) from None
            return b""
        finally:
            self._free.release()

    def _in_vain(self, uid: str) -> bool:
        """Whether it has been asked for long enough. Only what failed last is remembered."""
        now = self._clock()
        since = self._since.setdefault(uid, now)
        while len(self._since) > REMEMBERED:
            del self._since[next(iter(self._since))]
        return now - since >= PATIENCE
