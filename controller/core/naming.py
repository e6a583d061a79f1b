"""Names: deterministic, so that a create is its own idempotency key; anchored, so that a prefix is one.

Called by the spec reader (what may be a name), the engine (what a job is called) and the foreign count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_BATCH_NAME = 40
MAX_JOB_NAME = 57
"""For attempt 0; ``-r<n>`` and a pod's suffix still fit into 63 characters."""

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""DNS-1123 label."""
_RETRY_SUFFIX = re.compile(r"-r\d+$")


def job_name(batch: str, task_id: str, attempt: int) -> str:
    """The cluster name of one attempt: ``<batch>-<task>`` for attempt 0, then ``-r<n>``."""
    root = f"{batch}-{task_id}"
    return root if attempt == 0 else f"{root}-r{attempt}"


def is_label(text: str) -> bool:
    """Whether the text is a DNS-1123 label (length not considered)."""
    return LABEL.fullmatch(text) is not None


def looks_like_retry(task_id: str) -> bool:
    """Whether the id ends like a retry's name does; such an id would collide with one."""
    return _RETRY_SUFFIX.search(task_id) is not None


def root_name(name: str, batch: str) -> str:
    """The name of the first attempt of the task of this batch whose attempt has this name.

    A task may be called ``r1``: what stands for it is no retry's suffix.
    """
    prefix = f"{batch}-" if under_prefix(name, batch) else ""
    return prefix + _RETRY_SUFFIX.sub("", name.removeprefix(prefix))


def under_prefix(name: str, prefix: str) -> bool:
    """Whether an object's name is under a batch's prefix: ``<prefix>-…``, anchored (S2)."""
    return name.startswith(prefix + "-")


def longest_prefix(name: str, prefixes: Iterable[str]) -> str:
    """The longest prefix the name is under, or empty: where prefixes nest, it owns the object (S2)."""
    return max((prefix for prefix in prefixes if under_prefix(name, prefix)), key=len, default="")
