"""Every way in which a pod can end, on a real control plane: the table that docs/kubernetes.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.core.model import Verdict
from tests.control_plane.endings import ENDINGS
from tests.kube.place import KubePlace, spec

DOCUMENT = Path(__file__).parents[2] / "docs" / "kubernetes.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([a-z-]+) \| (\S+) \|$", re.MULTILINE)


def table() -> dict[str, tuple[str, str]]:
    """By ending: the verdict, and the rule that retries it (``-``: none does)."""
    return {ending: (verdict, follows) for ending, verdict, follows in ROW.findall(DOCUMENT.read_text())}


def test_the_table_is_complete() -> None:
    """At least 24 endings, each one that the simulated nodes can play, each with a verdict that exists."""
    assert len(table()) >= 24
    assert set(table()) <= set(ENDINGS)
    assert {verdict for verdict, _ in table().values()} <= set(Verdict)


def test_each_ending_has_its_verdict_and_its_decision(place: KubePlace) -> None:
    """One batch with a task for each row: what its first attempt's record says, and which rule retries it."""
    job = {"deadline": "8s", "startDeadline": "3s"}
    place.drop(spec("ends", {ending: {"END": ending} for ending in table()}, 40, job=job))
    place.start()
    roots = {f"ends-{ending}": ending for ending in table()}

    def ended() -> bool:
        return all(place.job(name).get("finished") for name in roots)

    place.until("the end of every first attempt", ended)
    place.until("their retries", lambda: len(place.jobs("ends", attempt=1)) >= len(_retried()))
    rules = {job["task_id"]: job["rule"] for job in place.jobs("ends", attempt=1)}
    seen = {ending: (place.job(name)["verdict"], rules.get(ending, "-")) for name, ending in roots.items()}
    assert seen == table()
    assert place.cli("cancel", "ends").code == 0
    place.over("ends")


def _retried() -> list[str]:
    return [ending for ending, (_, follows) in table().items() if follows != "-"]


@pytest.mark.parametrize("ending", ["oom", "mount-failure", "vanishes"])
def test_evidence_outlives_the_object(place: KubePlace, ending: str) -> None:
    """The record tells why without the object: reason, node, message, events or log."""
    place.know(most_auto=0)
    place.drop(spec("kept", {"a": {"END": ending}}, 1, maxAutoRetries=0, job={"startDeadline": "2s"}))
    place.start()
    place.over("kept")
    job = place.job("kept-a")
    evidence = job["evidence"]
    said = {
        "oom": evidence.get("reason"),
        "mount-failure": " ".join(evidence.get("events", ())),
        "vanishes": str(job.get("exit_code")),
    }[ending]
    assert {"oom": "OOMKilled", "mount-failure": "FailedMount", "vanishes": "3"}[ending] in said
