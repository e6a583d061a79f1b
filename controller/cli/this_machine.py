"""What of a spec has no meaning on one machine; ``plan`` and ``status`` say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.config import Settings

_ONLY_ON_A_CLUSTER = ("nodeSelector", "tolerations", "priorityClass", "serviceAccount", "imagePullSecrets")


def ignored_here(settings: Settings, spec: Mapping[str, Any]) -> list[str]:
    """The fields of an accepted spec that this machine ignores, as their author wrote them."""
    if settings.cluster.kind != "local":
        return []
    job = _mapping(spec.get("job"))
    ignored = ["job.image"] if job.get("image") else []
    if str(_mapping(job.get("resources")).get("gpu") or 0) != "0":
        ignored.append("job.resources.gpu")
    return ignored + [f"job.{name}" for name in _ONLY_ON_A_CLUSTER if job.get(name)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
