"""Users' regular expressions over log tails, off the event loop and under a time limit.

Called by ``deeds`` when an attempt ends. What matched is kept as evidence, so that the retry rules
themselves stay pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import regex

from controller.core.spec import RetryRule
from controller.ports import Journal

SECONDS = 0.1
"""Per pattern. A pattern that needs longer for a few KiB does not match, and the log says so."""


async def matched_patterns(journal: Journal, rules: Sequence[RetryRule], text: str) -> tuple[str, ...]:
    """The log patterns of these rules that the text matches, each once."""
    patterns = tuple(dict.fromkeys(rule.match.logs for rule in rules if rule.match.logs))
    if not patterns or not text:
        return ()
    found, slow = await asyncio.to_thread(search, patterns, text)
    for pattern in slow:
        journal.said("pattern-too-slow", pattern=pattern, seconds=SECONDS)
    return found


def search(patterns: Sequence[str], text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The patterns found in the text, and those that took too long; an invalid one is never found."""
    found, slow = [], []
    for pattern in patterns:
        try:
            if regex.search(pattern, text, timeout=SECONDS, concurrent=True):
                found.append(pattern)
        except TimeoutError:
            slow.append(pattern)
        except regex.error:
            continue
    return tuple(found), tuple(slow)
