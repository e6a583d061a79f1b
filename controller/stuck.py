"""Jobs that are overdue now, as the reaper counts: for the command ``reap`` and the API. Reaps nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from controller.core.copying import replace
from controller.core.durations import span
from controller.core.model import Attempt
from controller.core.reaping import Reaper, entered, overdue
from controller.engine import Engine
from controller.shapes import time
from controller.surroundings import lifecycles, skew


async def overdue_jobs(engine: Engine) -> list[dict[str, Any]]:
    """Active attempts over their limit, as the reaper counts: by the store's clock, without blind time.

    Whether this process could reap them does not matter, for it does not: it may have seen nothing, or its
    clock may be off. Who leads judges anew.
    """
    active = await engine.store.active()
    lives = await lifecycles(engine, {job.namespace for job in active})
    reapers = {name: replace(life.reaper, trusted=True) for name, life in lives.items()}
    now = await engine.store.now()
    return [
        _stuck(job, reapers[job.namespace], now)
        for job in active
        if overdue(job, now, reapers[job.namespace]) is not None and job.stop is None
    ]


async def why_nothing_is_reaped(engine: Engine) -> str:
    """Why a daemon on this machine would reap nothing now, and what to do; empty: its clock is right."""
    off = await skew(engine)
    if off <= engine.settings.clock_skew:
        return ""
    return (
        f"this machine's clock differs from the store's by {span(off)}: no daemon here reaps anything until "
        "it is set right"
    )


def _stuck(job: Attempt, reaper: Reaper, now: datetime) -> dict[str, Any]:
    since = entered(job) or job.updated
    limit = reaper.limit(job.status)
    return {
        "job": job.name,
        "job_id": job.id,
        "status": job.status.value,
        "since": time(since),
        "for": span(now - since),
        "limit": span(limit) if limit else None,
    }
