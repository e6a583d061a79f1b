"""The two ways to batches: the store of a configuration, or the API at ``BATCHKEEPER_URL``.

A ``Way`` is all that the commands know of either. It speaks in the documents of ``shapes``, of which the
commands make screens and what ``-o`` says. Each way is imported when it is needed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from controller.core.model import Status, Verdict
from controller.ports import BatchkeeperError
from controller.shapes import Document

URL = "BATCHKEEPER_URL"


@dataclass(frozen=True, slots=True)
class Wish:
    """How jobs are to be retried. ``cpu`` in millicores, ``memory`` in bytes; None: as it was."""

    now: bool = False
    cpu: int | None = None
    memory: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An order for one batch: ``what`` is pause, resume or scale, ``n`` the number of a scale."""

    what: str
    n: int = 0
    dry_run: bool = False


class BadSpec(BatchkeeperError):
    """A spec that is none: everything that is wrong with it, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Way(Protocol):
    """What can be asked. Everything raises ``BatchkeeperError`` with one line that says what to do."""

    def now(self) -> datetime:
        """By the clock of whoever answers; ages are told by it."""
        ...

    async def batches(self, limit: int) -> list[Document]:
        """The newest batches."""
        ...

    async def batch(self, name: str) -> Document:
        """One batch, read now."""
        ...

    async def jobs(
        self, name: str, status: Sequence[Status], verdict: Sequence[Verdict], limit: int
    ) -> list[Document]:
        """Jobs of a batch in the order of its spec."""
        ...

    async def log(self, name: str, most: int) -> Document:
        """The end of a job's output: ``job``, its ``status``, ``from`` and ``text``."""
        ...

    async def explain(self, name: str) -> Document:
        """Why a batch or a job is as it is."""
        ...

    async def report(self, name: str) -> Document:
        """What became of every task."""
        ...

    async def submit(self, path: Path, *, dry_run: bool) -> Document:
        """What became of a spec. Raises ``BadSpec``."""
        ...

    async def retry_jobs(self, names: Sequence[str], wish: Wish) -> list[Document]:
        """Retry these; an answer for each."""
        ...

    async def retry_batch(self, name: str, verdict: Verdict | None, wish: Wish) -> tuple[str, list[Document]]:
        """Retry the failed tasks of a batch; its name, and an answer for each."""
        ...

    async def cancel(self, names: Sequence[str], why: str, *, dry_run: bool) -> list[Document]:
        """End batches and jobs; an answer for each."""
        ...

    async def change(self, name: str, change: Change) -> Document:
        """Give a batch an order; the answer."""
        ...

    async def adopt(self, name: str, *, dry_run: bool) -> Document:
        """Take over what others run under a batch's names."""
        ...

    async def repair(self, *, dry_run: bool) -> list[Document]:
        """Finish interrupted retries; their jobs."""
        ...

    async def reap(self, *, dry_run: bool) -> list[Document]:
        """Jobs that are overdue; whoever leads ends them."""
        ...

    async def halt(self, what: str, why: str, *, dry_run: bool) -> str:
        """Halt submissions or retries of every batch; what it did."""
        ...

    async def unhalt(self, what: str, *, dry_run: bool) -> str:
        """Lift a halt; what it did."""
        ...


def over_api() -> bool:
    """Whether commands speak to the API."""
    return bool(os.environ.get(URL))


def only_here(what: str, instead: str) -> None:
    """Refuse what the API has not. Raises ``BatchkeeperError``."""
    if over_api():
        raise BatchkeeperError(f"{URL} is set, and {what}: unset it, {instead}")


def no_config_beside_url(config: Path | None) -> None:
    """Refuse a ``--config`` that would not be read. Raises ``BatchkeeperError``."""
    if config is not None:
        only_here(f"--config {config} would not be read", "or leave out --config")


@contextlib.asynccontextmanager
async def open_way(
    config: Path | None, *, as_admin: bool = False, create: bool = False
) -> AsyncIterator[Way]:
    """The way for one command. ``create``: it may be the first one in this place.

    Raises ``BatchkeeperError`` for a ``config`` that the API's address stands beside.
    """
    no_config_beside_url(config)
    if over_api():
        from controller.cli.way_api import open_api

        async with open_api(os.environ, as_admin) as api:
            yield api
    else:
        from controller.cli.way_store import open_store

        async with open_store(config, as_admin, create=create) as store:
            yield store
