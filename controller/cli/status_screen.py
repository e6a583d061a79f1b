"""One screen about one batch: where it stands, why it waits, what failed last, what may be changed.

``status`` prints it once; with ``--watch`` it is drawn again and again until the batch is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import jobs_table, pairs, section, styled, table
from controller.core.durations import span
from controller.core.explain import Explanation
from controller.core.model import Attempt, Batch, Status
from controller.core.statusfile import Progress
from controller.explaining import explanation_of_batch
from controller.finding import full_name
from controller.ports import JobFilter
from controller.requests import NotFound
from controller.shapes import Document, batch_document
from controller.standing import Standing, standing_of
from controller.this_machine import ignored_here

if TYPE_CHECKING:
    from controller.app import Parts

SHOWN_FAILURES = 8


@dataclass(frozen=True, slots=True)
class Screen:
    """All that is shown of one batch at one instant."""

    standing: Standing
    explanation: Explanation
    terminating: int
    failures: Sequence[Attempt]
    ignored: Sequence[str]
    now: datetime

    def document(self) -> Document:
        """The same for programs: as in the status file beside the spec, and what this machine ignores."""
        progress = Progress(
            active=self.standing.active,
            waiting=self.standing.waiting,
            terminating=self.terminating,
            why_waits=[self.explanation.sentence],
            failures=self.failures,
        )
        document = batch_document(self.standing.batch, self.standing.gate, progress)
        return {**document, "ignoredHere": list(self.ignored)}


async def screen_of(parts: Parts, batch_id: str) -> Screen:
    """Look at the store and, for the explanation, at the cluster. Raises ``NotFound``, ``Unavailable``."""
    store, now = parts.store, parts.clock.now()
    standing = await standing_of(store, batch_id, now)
    if standing is None:
        raise NotFound(f"there is no batch {batch_id} any more")
    running = JobFilter(batch_id=batch_id, status=tuple(status for status in Status if status.active))
    return Screen(
        standing=standing,
        explanation=await explanation_of_batch(parts.engine, standing.batch),
        terminating=len([1 async for job in store.find_jobs(running) if job.terminating]),
        failures=await store.last_failures(batch_id, SHOWN_FAILURES),
        ignored=ignored_here(parts.settings.cluster.kind, standing.batch.spec),
        now=now,
    )


def draw(screen: Screen) -> RenderableType:
    """The screen for people."""
    batch = screen.standing.batch
    parts: list[RenderableType] = [
        Text.assemble((full_name(batch), "bold"), "  ", styled(screen.standing.state)),
        pairs(_facts(screen)),
    ]
    if screen.failures:
        parts.append(section("Last failures", jobs_table(screen.failures, screen.now)))
    parts.append(section("Settings", _settings(batch, screen.now)))
    return Group(*parts)


def _facts(screen: Screen) -> Iterator[tuple[str, str]]:
    standing, batch = screen.standing, screen.standing.batch
    yield "tasks", _tasks(standing)
    if not batch.status.closed:
        yield "active jobs in batch", f"{standing.places} of {standing.gate.max}{_besides(screen)}"
        yield "waiting", f"{standing.waiting}{_in_back_off(standing)}"
    if standing.failures:
        yield "first attempts failed", verdicts(standing)
    yield "why", screen.explanation.sentence
    yield "owner", batch.user
    since = f"{span(screen.now - batch.inserted)} ago"
    ended = f", over since {span(screen.now - batch.finished)}" if batch.finished else ""
    yield "accepted", f"{since} from {batch.source}{ended}"
    if screen.ignored:
        yield "ignored here", ", ".join(screen.ignored)


def _tasks(standing: Standing) -> str:
    failed = f", {standing.ended} ended without success" if standing.ended else ""
    return f"{standing.done} of {standing.total} done: {standing.completed} completed{failed}"


def _besides(screen: Screen) -> str:
    foreign = len(screen.standing.gate.foreign)
    said = [f"{screen.terminating} terminating"] if screen.terminating else []
    return ", ".join(["", *said, *([f"{foreign} of others count too"] if foreign else [])])


def _in_back_off(standing: Standing) -> str:
    return f", {standing.back_off} of them retries in back-off" if standing.back_off else ""


def verdicts(standing: Standing) -> str:
    """Failures by verdict, as ``mount-failure 3, out-of-memory 1``."""
    return ", ".join(f"{verdict.value} {n}" for verdict, n in standing.failures.items())


def _settings(batch: Batch, now: datetime) -> RenderableType:
    made = table("SETTING", "VALUE", "SINCE", "FROM")
    for name in sorted(batch.settings):
        setting = batch.settings[name]
        made.add_row(
            name, clean(_value(setting.value)), f"{span(now - setting.at)} ago", clean(setting.source)
        )
    return made


def _value(value: Any) -> str:
    """Plain values as they are, of rules their number: ``plan`` shows them."""
    if isinstance(value, (list, tuple)):
        return f"{len(value)} rule{'' if len(value) == 1 else 's'} of its own"
    return str(value).lower() if isinstance(value, bool) else str(value)
