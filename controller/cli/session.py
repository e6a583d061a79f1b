"""What every command starts with: the settings, the parts, who asks; and how its work is run.

``parts_of`` and ``controller`` are the only doors to ``controller.app``. It is imported when it is
needed: without it ``--help`` answers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer

from controller.cli.ways import only_here
from controller.config import Settings, load
from controller.ending import on_signals
from controller.ports import BatchkeeperError
from controller.requests import Caller
from controller.telemetry import set_up_logs
from controller.this_machine import local_user

if TYPE_CHECKING:
    from controller.app import Parts
    from controller.ee2.desk import Ee2Desk


def go(work: Coroutine[Any, Any, int]) -> None:
    """Run a command's work; its exit code becomes the program's.

    Told to end, by a terminal that is closed say, it leaves as after Ctrl-C: nothing of ours stays behind.
    """
    told: list[signal.Signals] = []

    async def heeding() -> int:
        task = asyncio.current_task()

        def end(number: signal.Signals) -> None:
            if not told and task:  # a second one must not cut the tidying short
                told.append(number)
                task.cancel()

        on_signals((signal.SIGTERM, signal.SIGHUP), end)
        return await work

    try:
        code = asyncio.run(heeding())
    except asyncio.CancelledError:
        if not told:
            raise
        code = 128 + told[0]
    if code:
        raise typer.Exit(code)


def settings_for(config: Path | None) -> Settings:
    """The settings; of the logs, a command shows errors only. Raises ``ConfigError``."""
    settings = load(config)
    set_up_logs("text", "error")
    return settings


def caller(as_admin: bool) -> Caller:
    """Whoever types: the user of this machine, an operator only when they say so (E9)."""
    return Caller(local_user(), admin=as_admin)


@contextlib.asynccontextmanager
async def parts_of(settings: Settings, *, create: bool = False) -> AsyncIterator[Parts]:
    """Store, cluster and engine for one command. ``create``: it may be the first one in this place.

    Raises ``BatchkeeperError`` when there is nothing to work with.
    """
    only_here("this command speaks to the store", "and give MONGODB_URI or --config")
    if not create and not _was_here(settings):
        raise BatchkeeperError(
            f"nothing was ever run from here: there is no state folder {settings.state_dir.absolute()}; name "
            "the configuration of the batches with --config, or begin with 'batchkeeper run SPEC'"
        )
    async with application().open_parts(settings) as parts:
        yield parts


def _was_here(settings: Settings) -> bool:
    """A command that only looks must not leave a database behind in a folder it was typed in by mistake."""
    return bool(settings.store.uri.get_secret_value()) or has_state(settings)


def has_state(settings: Settings) -> bool:
    """Whether the state folder is there. Raises ``BatchkeeperError`` when that can't be seen."""
    try:
        return settings.state_dir.is_dir()
    except OSError as error:
        raise BatchkeeperError(
            f"the state folder {settings.state_dir} can't be used ({error.strerror}): give a folder you may "
            "write as state_dir in the configuration"
        ) from error


@contextlib.asynccontextmanager
async def ee2_desk(settings: Settings, *, writes: bool) -> AsyncIterator[Ee2Desk]:
    """EE2's records for one command; a dry run writes nothing at all. Raises ``BatchkeeperError``."""
    if not _was_here(settings):
        raise BatchkeeperError("store.layout is ee2: name EE2's database with store.uri or MONGODB_URI")
    async with ee2_application().open_desk(settings, writes=writes) as desk:
        yield desk


def ee2_application() -> ModuleType:
    """``controller.ee2_app``, with the adapters of EE2's records."""
    from controller import ee2_app

    return ee2_app


def application() -> ModuleType:
    """``controller.app``, with every adapter."""
    from controller import app

    return app
