"""What a cluster refuses for now only: the request is not to blame, and what was asked is waited for.

Said of our own creates (the Kubernetes adapter asks) and, in an event, of the pod that its controller could
not make (``verdict.admission``).
"""

from __future__ import annotations

import re

_HEALS = re.compile(
    r'exceeded quota|^namespaces "\S+" not found$'
    r'|^(\S+ "\S+"|\S+) is forbidden: (User ".*" cannot |not yet ready to handle request'
    r"|error looking up service account \S+/default: "
    r"|unable to create new content in namespace \S+ because it is being terminated)"
)
"""Quotas; rights (an API server that comes up knows none at first); a namespace, or the account that each one
is given, that is not there yet or any more. One that a spec names may never be."""


def heals(message: str) -> bool:
    """Whether these words of an API server are no word about the request itself."""
    return _HEALS.search(message) is not None
