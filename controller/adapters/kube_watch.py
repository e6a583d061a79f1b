"""Hints from the API server: list, then watch, of our own Jobs and Pods in every allowed namespace.

Hints make a pass come sooner; the periodic pass is the truth. So a lost event costs latency, and whatever
is odd about a watch ends in a new list. What others run is not watched but listed, live, in every pass:
no place is taken without such a list anyway.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD, Kind
from controller.adapters.kube_kept import kept
from controller.adapters.kube_listing import GONE, folded, list_all, needs_events
from controller.adapters.kube_reading import dig, is_ours, labels_of, meta, text
from controller.adapters.kube_settings import KubeSettings
from controller.core.sight import ClusterJob, Hint
from controller.ports import BatchkeeperError, Unavailable
from controller.telemetry import get_logger

Json = Mapping[str, Any]

PAUSE = (0.5, 15.0)
"""Seconds before a watch that broke is begun anew: at first, and at most."""
LASTED = 30.0
"""Seconds after which a watch was a good one: the next pause is a short one again."""
SHORTEST = 1.0
"""A watch that the server ends sooner than this many seconds is not asked for again at once."""
LASTS = (240, 300)
"""Seconds after which the server ends a watch by itself, drawn for each."""
_log = get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """What the watches of one namespace have shown: the parts that are read, by job id and uid."""

    jobs: defaultdict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    pods: defaultdict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))

    def of(self, kind: Kind) -> defaultdict[str, dict[str, Json]]:
        """The objects of this kind."""
        return self.jobs if kind == JOB else self.pods

    def put(self, kind: Kind, thing: Json, *, deleted: bool) -> bool:
        """Remember the object as it is now, or forget it. False: nothing of it that is read has changed."""
        job_id, uid = labels_of(thing)[labels.JOB_ID], text(meta(thing), "uid")
        same = self.of(kind)[job_id]
        before = same.pop(uid, None)
        if not deleted:
            same[uid] = kept(thing)
            return same[uid] != before
        if not same:
            del self.of(kind)[job_id]
        return True


class Watching:
    """One stream of hints, and the watches behind it."""

    def __init__(
        self,
        client: KubeClient,
        settings: KubeSettings,
        restarted: Callable[[str, str], None] = lambda resource, reason: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``restarted`` is told the resource and the reason of each watch that is begun anew."""
        self._client = client
        self._settings = settings
        self._restarted = restarted
        self._sleep = sleep
        self._news: dict[str, Callable[[], Hint]] = {}
        """By job id: its hint as it is when it is taken, so that events of one moment are folded once."""
        self._rung = asyncio.Event()
        self._known = {namespace: _Known() for namespace in settings.namespaces}
        self._selector = f"{labels.MANAGED_BY}={labels.MANAGER},{labels.INSTANCE}={settings.instance}"

    async def hints(self) -> AsyncIterator[Hint]:
        """Hints until the consumer goes, the first of them to look at everything.

        An unforeseen error of a watch is raised here.
        """
        yield Hint()
        follow = [(kind, one) for one in self._known for kind in (JOB, POD)] if self._settings.watch else []
        tasks = [asyncio.create_task(self._follow(kind, namespace)) for kind, namespace in follow]
        try:
            while True:
                await self._rung.wait()
                self._rung.clear()
                for task in tasks:
                    if task.done():
                        task.result()
                news, self._news = self._news, {}
                for hint in news.values():
                    yield hint()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, kind: Kind, namespace: str) -> None:
        """List and watch one kind in one namespace, for ever."""
        try:
            pause = PAUSE[0]
            while True:
                begun = _now()
                reason = await self._once(kind, namespace)
                self._restarted(kind.resource, reason)
                if _now() - begun >= LASTED:
                    pause = PAUSE[0]
                await self._sleep(pause * random.uniform(0.5, 1))
                pause = min(PAUSE[1], pause * 2)
        finally:
            self._rung.set()

    async def _once(self, kind: Kind, namespace: str) -> str:
        """One list, and watches from it until one can't go on; returns why."""
        try:
            return await self._watch(kind, namespace, await self._list(kind, namespace))
        except BatchkeeperError as error:
            _log.info("watch-broken", resource=kind.resource, namespace=namespace, error=str(error))
            return "refused" if isinstance(error, Refused) else "unavailable"

    async def _list(self, kind: Kind, namespace: str) -> str:
        """Bring what is known up to date with a fresh list; returns its resource version."""
        things, version = await list_all(self._client, kind, namespace, self._selector, keep=kept)
        there = {text(meta(thing), "uid") for thing in things}
        before = [thing for same in self._known[namespace].of(kind).values() for thing in same.values()]
        for thing in before:
            if text(meta(thing), "uid") not in there:
                self._seen(kind, namespace, thing, deleted=True)
        for thing in things:
            self._seen(kind, namespace, thing, deleted=False)
        return version

    async def _watch(self, kind: Kind, namespace: str, version: str) -> str:
        """Follow until the version is too old, which asks for a new list; returns why."""
        path = f"{kind.path}/namespaces/{namespace}/{kind.resource}"
        while True:
            query = {
                "resourceVersion": version,
                "labelSelector": self._selector,
                "timeoutSeconds": str(random.randint(*LASTS)),
            }
            begun = _now()
            try:
                async with aclosing(self._client.watch(path, query, resource=kind.resource)) as events:
                    async for event in events:
                        version = self._heard(kind, namespace, event) or version
            except Refused as error:
                if error.code == GONE:
                    return "expired"
                raise
            if _now() - begun < SHORTEST:
                raise Unavailable(f"the watch of {kind.resource} in {namespace} ended at once")

    def _heard(self, kind: Kind, namespace: str, event: Json) -> str:
        """One event; returns the resource version that it brought. Raises ``Refused`` for an ERROR."""
        what, thing = text(event, "type"), dig(event, "object")
        if what == "ERROR":
            code = thing.get("code")
            where = f"the watch of {kind.resource} in {namespace}"
            if code != GONE:
                raise Unavailable(f"{where} ends with {code}: {text(thing, 'message')}")
            raise Refused(GONE, text(thing, "reason"), text(thing, "message"), where)
        if what != "BOOKMARK":
            self._seen(kind, namespace, thing, deleted=what == "DELETED")
        return text(meta(thing), "resourceVersion")

    def _seen(self, kind: Kind, namespace: str, thing: Json, *, deleted: bool) -> None:
        """One object as it is now; a deleted one is gone."""
        if not text(meta(thing), "uid") or not is_ours(thing, self._settings.instance):
            return
        job_id, batch_id = labels_of(thing)[labels.JOB_ID], labels_of(thing).get(labels.BATCH_ID, "")
        told = partial(self._hint, namespace, job_id, batch_id)
        # Folding costs more than all the rest here, and only a deleted object is compared.
        collected = deleted and self._goes_by_itself(namespace, job_id)
        if deleted and job_id in self._news:
            last = self._news[job_id]()  # how it was before it went is told, if nothing more comes
            self._news[job_id] = lambda: last
        changed = self._known[namespace].put(kind, thing, deleted=deleted)
        if changed and not collected:  # when it was meant to be, that is no news
            self._news[job_id] = told
            self._rung.set()

    def _goes_by_itself(self, namespace: str, job_id: str) -> bool:
        """Whether this job has ended and has a time to live, whoever gave it one."""
        found, jobs = self._shown(namespace, job_id), self._known[namespace].jobs.get(job_id, {}).values()
        limited = any(dig(job, "spec").get("ttlSecondsAfterFinished") is not None for job in jobs)
        return limited and found is not None and found.finished

    def _shown(self, namespace: str, job_id: str) -> ClusterJob | None:
        """What is known of this job: its Job and its Pod as one, the unfinished one of several."""
        known = self._known[namespace]
        pods = list(known.pods.get(job_id, {}).values())
        jobs = [folded(job, pods) for job in known.jobs.get(job_id, {}).values()]
        return min(jobs, key=lambda job: (job.tombstone, job.finished), default=None)

    def _hint(self, namespace: str, job_id: str, batch_id: str) -> Hint:
        """The whole of this job: its Job and its Pod, whichever of them has news."""
        pods, found = self._known[namespace].pods.get(job_id), self._shown(namespace, job_id)
        over = found is not None and not found.tombstone and found.finished
        if found and over and (not pods or needs_events(found)):
            # The two watches keep no order between them, and an end without a pod tells too little: a live
            # look is to tell the rest.
            found = replace(found, half_told=True)
        return Hint(job_id, batch_id, found if found and not found.tombstone else None)


def _now() -> float:
    return asyncio.get_running_loop().time()
