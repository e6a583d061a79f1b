"""The Cluster port on one machine: each job a folder, a supervisor and a process group.

A small faithful cluster. Names are taken exclusively, objects have uids, deletion is in the foreground
with grace, finished objects expire. It survives the daemon: every call starts from the folders. What one
machine does not have it does not pretend: the image, GPUs, node rules, priority classes, service
accounts, pvc and configMap volumes don't apply, and nothing is mounted at a mount's ``path`` (a hostPath
is checked, and its real folder is in ``BATCHKEEPER_MOUNT_<n>``).

All file work runs in threads of its own, bounded in time; the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import itertools
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from controller.adapters import labels, local_files, local_logs, local_objects, local_output
from controller.adapters.local_files import Json
from controller.adapters.local_folders import LOGS, Folders, Record
from controller.adapters.local_launch import Launcher
from controller.adapters.local_listing import Listing
from controller.adapters.local_settings import Configuration, LocalSettings
from controller.adapters.local_tending import Tender
from controller.adapters.local_watch import Name, watch
from controller.adapters.system_clock import SystemClock
from controller.core.sight import Adoptable, ClusterJob, ForeignObject, Hint, Live, Observation
from controller.ports import Clock, Created, CreateResult, NewJob, Rejected, Unavailable
from controller.telemetry import get_logger

_log = get_logger(__name__)
_T = TypeVar("_T")

_FORBIDDEN = 403
_CALL = 30.0
"""Seconds that one call may take."""
_LOGS_EVERY = 3600.0
"""Seconds between two looks at how much room the logs take of jobs whose folders are gone."""


class LocalProcesses:
    """This machine as a cluster. Raises ``Unavailable`` when its folder can't be made.

    ``step`` is called with the name of each step of a create, so that tests can crash between any two.
    """

    scheduler_type = "local"

    def __init__(
        self,
        settings: LocalSettings,
        clock: Clock,
        *,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        step: Callable[[str], None] = lambda name: None,
    ) -> None:
        root = settings.state.absolute() / "cluster"
        self._settings = dataclasses.replace(settings, node=settings.node or socket.gethostname())
        self._clock = clock
        self._new_uid = new_uid
        self._folders = Folders(str(root), step=step, later=self._sweep)
        self._launcher = Launcher(self._folders)
        self._tender = Tender(self._folders, self._launcher)
        self._listing = Listing(self._folders)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="local-cluster")
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="local-cluster-sweeper")
        self._numbers = itertools.count()
        self._warned: dict[str, str] = {}
        self._logs_due = 0.0
        self.closed = False
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folders.tidy()
        except OSError as error:
            raise _unavailable(error) from error

    @classmethod
    def from_settings(cls, settings: Configuration) -> LocalProcesses:
        """As ``config.yaml`` says. Raises ``Rejected`` for a bad faults file, ``Unavailable`` as above."""
        return cls(LocalSettings.of(settings), SystemClock())

    # -------------------------------------------------------------------------------------------- reads

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """See ``Cluster.observe``. Every folder in these namespaces is tended on the way."""
        return await self._run(lambda: self._observe(namespaces, self._clock.monotonic()))

    async def get(self, namespace: str, name: str, job_id: str) -> Live:
        """See ``Cluster.get``."""
        return await self._run(lambda: self._get(namespace, name, job_id))

    async def get_uid(self, namespace: str, name: str, kind: str, uid: str) -> bool:
        """See ``Cluster.get_uid``."""
        return await self._run(lambda: self._active(namespace, name, uid))

    async def find(self, namespace: str, prefix: str) -> Sequence[Adoptable]:
        """See ``Cluster.find``."""
        return await self._run(lambda: self._find(namespace, prefix))

    async def find_uid(self, namespace: str, name: str, kind: str, uid: str) -> ClusterJob | None:
        """See ``Cluster.find_uid``."""
        return await self._run(lambda: self._find_uid(namespace, name, uid))

    async def log_tail(self, job: ClusterJob, max_bytes: int) -> str:
        """See ``Cluster.log_tail``; a log stays after its object is gone."""
        return await self._run(lambda: self._tail(job, max_bytes))

    # ------------------------------------------------------------------------------------------- writes

    async def create(self, job: NewJob) -> Created:
        """See ``Cluster.create``. A full disk is ``Unavailable``: it will have room again."""
        local_objects.check_names(job)
        document = local_objects.document(job, self._new_uid(), local_files.mark(), self._settings)
        return await self._run(lambda: self._create(job, document))

    async def bury(self, job: NewJob, ttl: timedelta) -> Created:
        """See ``Cluster.bury``."""
        local_objects.check_names(job)
        document = local_objects.tombstone(job, self._new_uid(), local_files.mark(), self._settings, ttl)
        return await self._run(lambda: self._create(job, document))

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """See ``Cluster.delete``. The folder goes once no process of the job is left."""

        def ask(record: Record) -> None:
            if record.deletion is None:
                self._folders.ask_deletion(record, self._settings.grace.total_seconds())

        await self._run(lambda: self._order(namespace, name, uid, ask))

    async def expire(self, namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        """See ``Cluster.expire``; ``ttl`` counts from the object's end."""
        seconds = ttl.total_seconds()

        def ask(record: Record) -> None:
            if record.expiry is None or record.expiry["ttl"] != seconds:
                self._folders.set_ttl(record, seconds)

        await self._run(lambda: self._order(namespace, name, uid, ask))

    # -------------------------------------------------------------------------------------------- hints

    def changes(self) -> AsyncIterator[Hint]:
        """See ``Cluster.changes``: supervisors tell at once, a round each second finds the rest."""
        return watch(self._folders.root, next(self._numbers), self)

    async def changed(self, names: Sequence[tuple[str, str]]) -> Mapping[Name, ClusterJob | None]:
        """The objects of ours under these names as they are now; None: gone, or not ours."""

        def ask() -> Mapping[Name, ClusterJob | None]:
            records = {name: self._look(*name) for name in names}
            jobs = {name: record and self._job(record) for name, record in records.items()}
            return {name: None if job and job.tombstone else job for name, job in jobs.items()}

        return await self._run(ask)

    async def everything(self) -> Mapping[Name, ClusterJob | None]:
        """All objects of ours in all namespaces, tended; what can't be read now is left out.

        Asked every second or so while somebody listens, so the old logs go from here.
        """
        if (now := self._clock.monotonic()) >= self._logs_due:
            self._logs_due = now + _LOGS_EVERY
            self._sweep(self._prune_logs)

        def ask() -> Mapping[Name, ClusterJob | None]:
            found = self._observe(self._listing.namespaces(), 0.0).jobs.values()
            return {(job.namespace, job.name): job for job in found}

        return await self._run(ask)

    async def close(self) -> None:
        """See ``Cluster.close``. Jobs and their supervisors go on."""
        self.closed = True
        self._launcher.collect()
        for pool in (self._pool, self._sweeper):
            pool.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------ the work, in threads

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self.closed:
            raise Unavailable("the local cluster is closed")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.wait_for(future, _CALL)
        except OSError as error:
            raise _unavailable(error) from error

    def _sweep(self, work: Callable[[], None]) -> None:
        """Do it in no look's time; what is left when this process ends is the next one's to tidy."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._sweeper.submit(work)

    def _prune_logs(self) -> None:
        folder = self._folders.path(LOGS, "")
        if removed := local_logs.prune(folder, self._settings.kept_logs):
            _log.info("logs-removed", folder=folder, count=removed, why="local.kept_logs")

    def _observe(self, namespaces: Iterable[str], asked: float) -> Observation:
        self._launcher.collect()
        jobs: dict[str, ClusterJob] = {}
        foreign: list[ForeignObject] = []
        blind: dict[str, str] = {}
        for namespace in namespaces:
            try:
                records = [self._tended(record) for record in self._listing.records(namespace)]
            except OSError as error:
                blind[namespace] = str(_unavailable(error))
                continue
            for record in filter(None, records):
                job = self._job(record)
                if job is None:
                    foreign.append(local_objects.foreign_object(record))
                elif not job.tombstone and not (job.job_id in jobs and job.finished):
                    jobs[job.job_id] = job
        listed = frozenset(namespaces) - blind.keys()
        if blind and not listed:
            raise Unavailable(next(iter(blind.values())))
        return Observation(asked, listed, blind, jobs, tuple(foreign))

    def _get(self, namespace: str, name: str, job_id: str) -> Live:
        asked = self._clock.monotonic()
        record = self._look(namespace, name)
        if record is None:
            return Live(asked, pods=self._tender.strays(job_id))
        job = self._job(record)
        if job is None or job.job_id != job_id:
            return Live(asked, foreign_uid=record.uid, pods=self._tender.strays(job_id))
        return Live(asked, job, pods=int(job.pod_unfinished))

    def _active(self, namespace: str, name: str, uid: str) -> bool:
        record = self._look(namespace, name)
        if record is None or record.uid != uid:
            return False
        return (self._job(record) or local_objects.foreign_object(record)).active

    def _find(self, namespace: str, prefix: str) -> list[Adoptable]:
        records = (one for one in self._listing.records(namespace) if one.name.startswith(prefix))
        found = ((record, self._job(record)) for record in records)
        return [
            Adoptable(local_objects.KIND, job or local_objects.others_job(record))
            for record, job in found
            if not (job and job.tombstone)
        ]

    def _find_uid(self, namespace: str, name: str, uid: str) -> ClusterJob | None:
        record = self._folders.read(namespace, name)
        return local_objects.others_job(record) if record and record.uid == uid else None

    def _tail(self, job: ClusterJob, max_bytes: int) -> str:
        record = self._folders.read(job.namespace, job.name)
        path = self._folders.log_path(job.namespace, job.name)
        if record and record.uid == job.uid:
            path = self._folders.path(job.namespace, job.name, "log")
        return (local_output.tail(path, max_bytes) or b"").decode(errors="replace")

    def _create(self, job: NewJob, document: Json) -> Created:
        while True:
            try:
                self._folders.create(document)
            except FileExistsError:
                record = self._folders.read(job.namespace, job.name)
                if record:
                    return Created(self._holder(record, job), record.uid)
            else:
                self._look(job.namespace, job.name)  # tending it starts it
                return Created(CreateResult.CREATED, document["uid"])

    def _holder(self, record: Record, job: NewJob) -> CreateResult:
        """Who holds the name, as seen by this job."""
        if not self._is_ours(record) or record.labels[labels.JOB_ID] != job.job_id:
            return CreateResult.EXISTS_FOREIGN
        return CreateResult.EXISTS_TOMBSTONE if record.tombstone else CreateResult.EXISTS_OURS

    def _order(self, namespace: str, name: str, uid: str, leave: Callable[[Record], None]) -> None:
        """Leave an order for this very object, and see to it."""
        record = self._folders.read(namespace, name)
        if record is None or record.uid != uid:
            return
        if not self._is_ours(record):
            raise Rejected(f"{namespace}/{name} is not ours: nothing of others is changed", _FORBIDDEN)
        leave(record)
        self._look(namespace, name)

    def _look(self, namespace: str, name: str) -> Record | None:
        self._launcher.collect()
        record = self._folders.read(namespace, name)
        return self._tended(record) if record else None

    def _tended(self, record: Record) -> Record | None:
        """Do what is due for one folder; what goes wrong with one costs the others nothing."""
        if not self._is_ours(record):
            return record
        try:
            found = self._tender.tend(record)
        except (OSError, KeyError, TypeError, ValueError) as error:
            self._warn(record, error)
            return record
        self._warned.pop(record.uid, None)
        return found

    def _job(self, record: Record) -> ClusterJob | None:
        """The object, if it is ours; one whose files make no sense is foreign, and is left alone."""
        if not self._is_ours(record):
            return None
        try:
            return local_objects.cluster_job(record, self._launcher.problem(record))
        except (KeyError, TypeError, ValueError) as error:
            self._warn(record, error)
            return None

    def _warn(self, record: Record, error: Exception) -> None:
        """One line per object and error, however often it is looked at."""
        what = str(_unavailable(error)) if isinstance(error, OSError) else f"its files are damaged: {error!r}"
        if self._warned.get(record.uid) != what:
            self._warned[record.uid] = what
            _log.warning("object-trouble", namespace=record.namespace, name=record.name, error=what)

    def _is_ours(self, record: Record) -> bool:
        return local_objects.is_ours(record, self._settings.instance)


def _unavailable(error: OSError) -> Unavailable:
    """One line for people: what happened, where, what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(
            f"the disk of the state folder is full ({error.filename or 'cluster'}): free some space"
        )
    if isinstance(error, TimeoutError):
        return Unavailable(
            str(error) or f"the state folder did not answer within {_CALL:g} s: is its disk well?"
        )
    what, where = error.strerror or str(error), error.filename2 or error.filename or "cluster"
    return Unavailable(f"the state folder can't be used: {what}: {where}")
