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
    life = await reconcile.lifecycle_of(engine)
    now = await engine.store.now()
    return [
        _stuck(job, life.reaper, now)
        for job in await engine.store.active()
        if overdue(job, now, life.reaper) is not None and job.stop is None
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
