"""Who tells people, as the settings have it: Events where a cluster has them, a webhook where one is named.

A part of the composition root; ``app`` runs the passes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from controller.adapters.webhook import Webhook, address_in
from controller.core.notices import Channel
from controller.parts import Parts
from controller.ports import Unavailable
from controller.teller import LONGEST_ROUND, Manner, Teller
from controller.timetable import Pass

TELL_EVERY = timedelta(seconds=2)
"""Between two looks for what people are to be told."""
LAST_PATIENCE = 5.0
"""Seconds for which the end of the process waits for them."""


def teller_of(parts: Parts) -> Teller:
    """The teller; from now on the engine remembers what it can deliver, and nothing else."""
    told = parts.settings.notifications
    manner = Manner(parts.settings.namespace, told.link, told.timeout, told.give_up_after)
    file, url = told.url_file, told.url.get_secret_value()
    address = (lambda: url) if file is None else (lambda: address_in(file))
    webhook = Webhook(address, told.timeout) if told.wanted else None
    teller = Teller(parts.engine, parts.events, webhook, manner)
    parts.engine.settings = replace(parts.engine.settings, channels=teller.channels)
    return teller


def telling_passes(teller: Teller, patience: timedelta) -> list[Pass]:
    """One pass for each way, so that a dead one holds up nothing else. ``patience``: for the store's part."""
    limit = patience + teller.manner.timeout + timedelta(seconds=LONGEST_ROUND)
    return [
        Pass(f"tell by {channel.value}", TELL_EVERY, _telling(teller, channel), limit)
        for channel in sorted(teller.channels)
    ]


async def tell_last(teller: Teller) -> None:
    """What is due is told before the process ends, which ``run`` does with its batch; not for long.

    What is not told by then is told by whoever leads next.
    """
    with contextlib.suppress(Unavailable, TimeoutError):
        async with asyncio.timeout(LAST_PATIENCE):
            for channel in sorted(teller.channels):
                await teller.tell(channel)


def _telling(teller: Teller, channel: Channel) -> Callable[[], Awaitable[None]]:
    async def tell() -> None:
        with contextlib.suppress(Unavailable):  # the full pass says so
            await teller.tell(channel)

    return tell
