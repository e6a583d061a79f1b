"""Batchkeeper and what people use instead, side by side on one control plane: one table of all of them.

The workloads are in ``beside_work``, the systems in ``beside_systems``, ``kueue`` and ``beside_retry``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiohttp

from tests.bench.beside_retry import retries
from tests.bench.beside_systems import batchkeeper, indexed, pod_watch, script
from tests.bench.beside_work import GWAS, HARD, HEADER, Done, Work, many
from tests.bench.figures import Grid
from tests.bench.kueue import kueue, running
from tests.bench.place import Place

System = Callable[[Place, Work], Awaitable[Done]]
PATIENCE, LONG_PATIENCE = 900.0, 7200.0
"""Seconds after which a system that has come to no end is left out; the second of a whole run's."""
SCRIPTED = 30
"""Jobs that the script's logic is watched for: its pace does not change."""


async def beside(place: Place) -> Grid:
    """Every system on every workload; the script's logic where it comes to an end this year."""
    with running(place) as missing:
        if missing:
            _say(f"without Kueue: {missing}")
        queues: list[System] = [] if missing else [kueue]
        rows = [await _told(system(place, GWAS)) for system in (batchkeeper, pod_watch, indexed, *queues)]
        # What waits most of the time waits at once, and in what is told nothing hangs on a few milliseconds.
        rows += await asyncio.gather(
            _told(script(place, GWAS, SCRIPTED)),
            *(_told(system(place, HARD)) for system in (batchkeeper, script, indexed, *queues)),
        )
        work = many(place.full)
        patience = LONG_PATIENCE if place.full else PATIENCE
        many_at_once: list[System] = [batchkeeper, pod_watch, indexed, *queues]
        rows += [await _told(system(place, work), patience) for system in many_at_once]
    return Grid(HEADER, [*filter(None, rows), *await retries(place)])


async def _told(doing: Awaitable[Done], patience: float = PATIENCE) -> tuple[str, ...]:
    """Its row, and said at once: a run that is cut short has told what it knew. Empty: it came to no end."""
    try:
        async with asyncio.timeout(patience):
            row = (await doing).row()
    except (aiohttp.ClientError, TimeoutError) as error:
        _say(f"a row is left out: {error!r}")
        return ()
    _say(" | ".join(row))
    return row


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
