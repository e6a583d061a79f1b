"""This machine: who its user is, and what of a spec has no meaning on it; ``plan`` and ``status`` say so."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any

_ONLY_ON_A_CLUSTER = ("nodeSelector", "tolerations", "priorityClass", "serviceAccount", "imagePullSecrets")


def local_user() -> str:
    """``local:<name>`` of the user of this process; one without a name goes by number."""
    uid = os.geteuid()
    try:
        return f"local:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local:{uid}"


def ignored_here(cluster: str, spec: Mapping[str, Any]) -> list[str]:
    """The fields of an accepted spec that this machine ignores, as their author wrote them.

    ``cluster``: the configured kind; only ``local`` ignores any.
    """
    if cluster != "local":
        return []
    job = _mapping(spec.get("job"))
    ignored = ["job.image"] if job.get("image") else []
    if str(_mapping(job.get("resources")).get("gpu") or 0) != "0":
        ignored.append("job.resources.gpu")
    mounts = enumerate(map(_mapping, job.get("mounts") or ()))
    ignored += [f"job.mounts[{n}]" for n, mount in mounts if mount.get("pvc") or mount.get("configMap")]
    return ignored + [f"job.{name}" for name in _ONLY_ON_A_CLUSTER if job.get(name)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
