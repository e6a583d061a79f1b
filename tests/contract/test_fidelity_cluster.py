"""The cluster in memory answers the fidelity script as real processes do; ``tests/kube`` asks Kubernetes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from controller.ports import Cluster
from tests.adapters.local_world import LocalWorld
from tests.contract.cluster_world import NS
from tests.contract.fidelity import differences, read
from tests.contract.fidelity_cluster import Player
from tests.contract.test_cluster_local import RealWorld
from tests.contract.test_cluster_memory import MemoryWorld
from tests.contract.test_fidelity_store import methods

LEAST = 4
NOT_ASKED = {"changes"}
"""A stream of hints, whose number and moments are each cluster's own."""


def test_every_method_is_called() -> None:
    """No method of the port is missing but the stream."""
    times = Counter(operation["do"] for operation in read("cluster"))
    assert methods(Cluster) - set(times) == NOT_ASKED
    assert {name for name, n in times.items() if n < LEAST} <= {"close", "add_foreign", "remove_foreign"}


async def in_memory() -> list[Any]:
    """What the fake answers."""
    return await Player(MemoryWorld()).play(read("cluster"))


def agree(fake: list[Any], real: list[Any]) -> None:
    """Each operation is answered alike."""
    differing = [
        f"{number}: {json.dumps(asked)}\n  " + "\n  ".join(found)
        for number, (asked, one, other) in enumerate(zip(read("cluster"), fake, real, strict=True))
        if (found := differences(one, other))
    ]
    assert not differing, f"{len(differing)} replies differ (fake and real), first:\n" + "\n".join(
        differing[:30]
    )


async def test_real_processes_answer_alike(tmp_path: Path) -> None:
    """Created, taken, buried, deleted, expired, looked for: operation by operation."""
    local = LocalWorld(tmp_path, NS)
    try:
        agree(await in_memory(), await Player(RealWorld(local)).play(read("cluster")))
    finally:
        await local.end()
