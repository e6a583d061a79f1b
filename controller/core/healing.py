"""What a cluster refuses for now only: the request is not to blame, and what was asked is waited for.

Said of our own creates (the Kubernetes adapter asks) and, in an event, of the pod that its controller could
not make (``verdict.admission``).
"""

from __future__ import annotations

import re

_HEALS = re.compile(
    r'exceeded quota|^namespaces "\S+" not found$'
    r'|^(\S+ "\S+"|\S+) is forbidden: (User ".*" cannot |not yet ready to handle request'
    r"|error looking up service account "
    r"|unable to create new content in namespace \S+ because it is being terminated)"
)
"""Quotas; rights (an API server that comes up knows none at first); a namespace, or an account in it, that is
not there yet or any more."""


def heals(message: str) -> bool:
    """Whether these words of an API server are no word about the request itself."""
    return _HEALS.search(message) is not None
