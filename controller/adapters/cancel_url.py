"""The cancel hook that is an address: ``ports.ee2.Canceller``. Made by ``ee2_app``."""

from __future__ import annotations

from datetime import timedelta

import aiohttp

from controller.core.ee2 import BY_AUTOMATION, Stuck
from controller.ports import Rejected, Unavailable

NOTE_BYTES = 1000
"""How much of an answer is read and kept."""


class CancelUrl:
    """POSTs the ids as JSON: ``job_id``, ``scheduler_id``, ``scheduler_type``, ``status``, ``since``,
    ``terminated_code``."""

    def __init__(self, url: str, timeout: timedelta) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def cancel(self, job: Stuck) -> str:
        """See ``Canceller.cancel``: a 2xx answer alone is success; no redirect is followed."""
        asked = {
            "job_id": job.id,
            "scheduler_id": job.scheduler_id,
            "scheduler_type": job.scheduler_type,
            "status": job.status.value,
            "since": job.since,
            "terminated_code": BY_AUTOMATION,
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.post(self._url, json=asked, allow_redirects=False) as answer,
            ):
                note = await _whole(answer)
        except TimeoutError:
            raise Unavailable(f"the cancel hook did not answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"the cancel hook can't be reached: {type(error).__name__}") from error
        if not 200 <= answer.status < 300:
            kind = Rejected if 400 <= answer.status < 500 else Unavailable
            raise kind(f"the cancel hook answered {answer.status}: {note}")
        return note


async def _whole(answer: aiohttp.ClientResponse) -> str:
    """The beginning of an answer, on one line; read to its end: half an answer is none."""
    kept = b""
    async for some in answer.content.iter_chunked(65536):
        kept = (kept + some)[:NOTE_BYTES]
    return " ".join(kept.decode("utf-8", "replace").split())
