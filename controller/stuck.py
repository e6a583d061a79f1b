"""Jobs that are overdue now, as the reaper counts: for the command ``reap`` and the API. Reaps nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from controller import reconcile
from controller.core.durations import span
from controller.core.model import Attempt
from controller.core.reaping import Reaper, entered, overdue
from controller.engine import Engine
from controller.shapes import time


async def overdue_jobs(engine: Engine) -> list[dict[str, Any]]:
    """Active attempts over their limit, as the reaper counts: by the store's clock, without blind time."""
    active = await engine.store.active()
    lives = await reconcile.lifecycles(engine, {job.namespace for job in active})
    now = await engine.store.now()
    return [
        _stuck(job, lives[job.namespace].reaper, now)
        for job in active
        if overdue(job, now, lives[job.namespace].reaper) is not None and job.stop is None
    ]


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
