"""Hints of the local cluster: what changed since it was last told. Called by ``local_processes``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

from controller.adapters.local_hints import Inbox
from controller.core.sight import ClusterJob, Hint
from controller.ports import Unavailable

_ROUND = 1.0
"""Seconds between two looks at everything: for what no supervisor could tell, as its own death."""

Name = tuple[str, str]
"""Namespace and name."""


class Eyes(Protocol):
    """Who looks at the folders; both calls raise ``Unavailable``."""

    @property
    def closed(self) -> bool:
        """Whether there is nothing to see any more."""
        ...

    async def changed(self, names: Sequence[Name]) -> Mapping[Name, ClusterJob | None]:
        """The objects of ours under these names; None: gone, or none of ours."""
        ...

    async def everything(self) -> Mapping[Name, ClusterJob | None]:
        """All objects of ours."""
        ...


async def watch(root: str, number: int, eyes: Eyes) -> AsyncIterator[Hint]:
    """Hints until it is closed: first an empty one, then each change once.

    ``number`` tells this listener from others of this process.
    """
    listener = _Listener(await asyncio.to_thread(_inbox, root, number))
    told: dict[Name, ClusterJob] = {}
    try:
        yield Hint()
        while not eyes.closed:
            names = await listener.names()
            try:
                found = await (eyes.changed(names) if names else eyes.everything())
            except Unavailable:  # whoever asks for more than hints is told so
                continue
            for hint in _news(found, told, complete=not names):
                yield hint
    finally:
        listener.close()


def _news(
    found: Mapping[Name, ClusterJob | None], told: dict[Name, ClusterJob], *, complete: bool
) -> Iterator[Hint]:
    """What differs from what was told; ``complete``: what is not in ``found`` is gone."""
    for name, job in found.items():
        before = told.get(name)
        if job and job != before:
            told[name] = job
            yield Hint(job.job_id, job.batch_id, job)
    gone = [name for name in told if not found.get(name) and (complete or name in found)]
    for name in gone:
        job = told.pop(name)
        yield Hint(job.job_id, job.batch_id)


class _Listener:
    """Waits for names from supervisors, and for the time of the next round."""

    def __init__(self, inbox: Inbox | None) -> None:
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._round = self._loop.time()
        if inbox:
            self._loop.add_reader(inbox.descriptor, self._news.set)

    async def names(self) -> Sequence[Name]:
        """Whose folders changed; empty: it is time to look at everything."""
        while (rest := self._round - self._loop.time()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), rest)
            except TimeoutError:
                break
            self._news.clear()
            if self._inbox and (names := self._inbox.read()):
                return names
        self._round = self._loop.time() + _ROUND
        return ()

    def close(self) -> None:
        """Stop listening."""
        if self._inbox:
            self._loop.remove_reader(self._inbox.descriptor)
            self._inbox.close()


def _inbox(root: str, number: int) -> Inbox | None:
    """None where the file system has no named pipes: then only the rounds find out."""
    try:
        return Inbox(root, number)
    except OSError:
        return None
