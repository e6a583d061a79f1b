"""``run``: one batch from its spec to its end, with a daemon in this process.

The daemon is the very one of ``controller``; the spec reaches it as everybody's does, through the watched
folder. This module only drops it there, watches the store until the batch is over, and ends the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller import intake
from controller.cli.dropping import Draft, draft
from controller.cli.output import Format, complain, note, show
from controller.cli.progress import progress_for
from controller.cli.reports import report_screen
from controller.cli.session import application
from controller.config import Settings
from controller.core.explain import Explanation
from controller.core.model import Batch, Result
from controller.core.report import compare
from controller.core.spec import BatchSpec
from controller.explaining import explanation_of_batch
from controller.intake import Outcome
from controller.ports import BatchkeeperError, Unavailable
from controller.pretending import pretend
from controller.reading import read_spec_file
from controller.reporting import report_of
from controller.shapes import report_document
from controller.standing import standing_of
from controller.telemetry import set_up_logs
from controller.this_machine import local_user

if TYPE_CHECKING:
    from controller.app import Parts, Running

LOOK_SECONDS = 0.5
EXPLAIN_EVERY = 4
"""Looks at the store for one look at the cluster, which ``explain`` takes."""
ALL_IS_WELL = frozenset({"expanding", "starting", "full", "all-started", "ending", "finished"})
LOG = "run.log"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    path: Path
    spec: BatchSpec
    expected: Mapping[str, Any] | None
    keep: bool
    form: Format


async def run_batch(settings: Settings, wanted: Wanted) -> int:
    """Start the daemon, run the batch, end the daemon; the exit code."""
    app, stop, told = application(), asyncio.Event(), list[signal.Signals]()
    up: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    with _logging_to_file(settings):
        daemon = asyncio.create_task(
            app.run_controller(settings, stop=stop, ready=up.set_result, told=told.append)
        )
        try:
            await asyncio.wait({daemon, up}, return_when=asyncio.FIRST_COMPLETED)
            code = None if daemon.done() else await _beside(daemon, up.result(), wanted)
            if code is None:  # the daemon has ended before the batch
                return daemon.result() or _interrupted(wanted, told)
            return code
        finally:
            stop.set()
            await asyncio.gather(daemon, return_exceptions=True)


@contextlib.contextmanager
def _logging_to_file(settings: Settings) -> Any:
    """The daemon's log goes beside its state: the screen belongs to the progress."""
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        file = (settings.state_dir / LOG).open("a", encoding="utf-8")
    except OSError as error:
        raise BatchkeeperError(
            f"the state folder {settings.state_dir} can't be used ({error.strerror}): "
            "give a folder you may write as state_dir in the configuration"
        ) from error
    with file:
        set_up_logs(
            "json" if settings.log.format == "auto" else settings.log.format, settings.log.level, file
        )
        try:
            yield
        finally:
            set_up_logs("text", "error")


async def _beside(daemon: asyncio.Task[int], running: Running, wanted: Wanted) -> int | None:
    """Follow the batch beside the daemon; None: the daemon ended first."""
    following = asyncio.create_task(_follow(running, wanted))
    await asyncio.wait({daemon, following}, return_when=asyncio.FIRST_COMPLETED)
    if not following.done():
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return None
    code = following.result()
    if wanted.keep and not daemon.done():
        note(f"the daemon goes on until Ctrl-C (--keep){_at(running)}")
        await daemon
    return code


def _at(running: Running) -> str:
    page = f", its page at {running.page}" if running.page != running.url else ""
    return f"; its metrics are at {running.url}/metrics{page}" if running.url else ""


def _interrupted(wanted: Wanted, told: Sequence[signal.Signals]) -> int:
    """The exit code of a command that was told to end: by the first signal, Ctrl-C's if there was none."""
    note(
        f"stopped; jobs of {wanted.spec.name} that run go on by themselves, and the same command finds "
        "them again and goes on"
    )
    return 128 + (told[0] if told else signal.SIGINT)


# -------------------------------------------------------------------------------------- the batch


async def _follow(running: Running, wanted: Wanted) -> int:
    batch = await _brought_in(running, wanted)
    if batch is None:
        return 1
    if not batch.status.closed:
        batch = await _to_its_end(running.parts, batch)
    return await _reported(running.parts, batch, wanted)


async def _brought_in(running: Running, wanted: Wanted) -> Batch | None:
    """Drop the spec and wait until it is a batch; None: it was refused, and why was told."""
    parts = running.parts
    copy = await asyncio.to_thread(draft, wanted.path, wanted.spec, parts.settings)
    try:
        spec = await _as_dropped(parts, copy)
        if spec is None:
            return None
        taken = await intake.accept(pretend(parts.store), spec, source=copy.target.name)
        if taken.outcome is Outcome.REFUSED:
            complain(*(f"{wanted.path}: {sentence}" for sentence in taken.sentences))
            note("with --fresh a batch that has ended here is forgotten first")
            return None
        if taken.outcome is Outcome.SAME and taken.batch:
            _say_known(taken.batch)
            if taken.batch.status.closed:
                return taken.batch
        if taken.batch and intake.superseded_by(taken.batch, copy.target.name, spec.hash):
            await intake.accept(parts.store, spec, source=copy.target.name)  # a file alone would not
        copy.drop()
    finally:
        copy.discard()
    return await _accepted(running, spec, copy.target)


async def _as_dropped(parts: Parts, copy: Draft) -> BatchSpec | None:
    """The spec as the daemon will read it at its new place."""
    reading = await read_spec_file(parts.settings, copy.path, user=local_user())
    complain(*reading.problems)
    return reading.spec


def _say_known(batch: Batch) -> None:
    if batch.status.closed:
        note(
            f"{batch.name} ran here before, with this very content; this is the report of that run. "
            "--fresh runs it again"
        )
    else:
        note(f"{batch.name} was begun here before, and goes on")


async def _accepted(running: Running, spec: BatchSpec, file: Path) -> Batch | None:
    """Wait until it is a batch. Only a refusal of what lies there now counts: an earlier one is over."""
    parts = running.parts
    while True:
        with contextlib.suppress(Unavailable):
            batch = await parts.store.batch_named(spec.namespace, spec.name)
            if batch and batch.spec_hash == spec.hash:
                return batch
        if problems := running.specs.refusal(file.name, await asyncio.to_thread(_content, file)):
            complain(*problems)
            return None
        await parts.clock.sleep(LOOK_SECONDS / 2)


def _content(file: Path) -> bytes:
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return b""


async def _to_its_end(parts: Parts, batch: Batch) -> Batch:
    """Show how it goes until it is over; a store that is away for a while is waited for."""
    progress, why, looks = progress_for(parts.clock.monotonic), "", 0
    try:
        while True:
            try:
                standing = await standing_of(parts.store, batch.id, parts.clock.now())
                if standing is not None and standing.batch.status.closed:
                    progress.show(standing)
                    return standing.batch
                if looks % EXPLAIN_EVERY == 0:
                    why = _worth_saying(
                        await explanation_of_batch(
                            parts.engine, batch if standing is None else standing.batch
                        )
                    )
                if standing is not None:
                    progress.show(standing, why)
            except Unavailable as error:
                why = f"nothing is decided while the store does not answer: {error}"
            looks += 1
            await parts.clock.sleep(LOOK_SECONDS)
    finally:
        progress.close()


def _worth_saying(explanation: Explanation) -> str:
    """The sentence, unless it says no more than the numbers do: all is well."""
    return "" if explanation.cause in ALL_IS_WELL else explanation.sentence


# ------------------------------------------------------------------------------------- the report


async def _reported(parts: Parts, batch: Batch, wanted: Wanted) -> int:
    report = await report_of(parts.store, batch)
    document = report_document(report)
    differences = compare(report, wanted.expected) if wanted.expected is not None else []
    if wanted.expected is not None:
        document["differences"] = differences
    show(wanted.form, document, lambda: report_screen(document))
    if wanted.expected is None:
        return 0 if report.result is Result.COMPLETED else 1
    if differences:
        complain(*(f"not as expected: {difference}" for difference in differences))
        return 1
    note(f"as expected, task by task: {report.found} tasks", style="green")
    return 0
