"""Leases that make no sense, and Leases that hold more than ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from controller.adapters.kube_client import Refused
from tests.leading.candidates import candidate, now, play
from tests.leading.leases import Leases


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"holderIdentity": None, "leaseTransitions": None},
        {"holderIdentity": "", "leaseDurationSeconds": "soon", "leaseTransitions": "many"},
        {"holderIdentity": "gone", "leaseDurationSeconds": "soon"},
        {"holderIdentity": "gone", "leaseDurationSeconds": -5},
        {"holderIdentity": ["a", "b"], "leaseDurationSeconds": 15, "renewTime": 7},
    ],
)
def test_a_malformed_lease_is_mended_by_taking_it(spec: dict[str, object]) -> None:
    """A Lease that nobody holds is taken at once; one that somebody might hold, after its silence."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "x").acquire()
        assert leases.lease is not None
        leases.lease["spec"] = dict(spec)
        await candidate(leases, "b").acquire()
        held = bool(spec.get("holderIdentity"))
        assert (now() >= 15) is held
        assert now() <= 18
        assert leases.spec["holderIdentity"] == "b"
        assert leases.spec["leaseDurationSeconds"] == 15
        assert leases.spec["leaseTransitions"] == 1

    play(main)


def test_a_lease_without_a_version_is_not_written() -> None:
    """Without one, a write would be blind: it waits until the Lease makes sense, and says so once."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "x").acquire()
        assert leases.lease is not None
        about = leases.lease["metadata"]
        leases.lease["metadata"] = {"name": "batchkeeper-test"}
        elector = candidate(leases, "b")
        standing = asyncio.ensure_future(elector.acquire())
        await asyncio.sleep(60)
        assert not standing.done()
        assert len(leases.written) == 1
        assert "makes no sense: it has no uid" in elector._told[1]
        leases.lease["metadata"] = about
        await asyncio.sleep(30)
        assert standing.done()

    play(main)


def test_what_others_keep_in_the_lease_stays() -> None:
    """Labels, owners and fields of newer versions are written back as they were read."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        assert leases.lease is not None
        leases.lease["metadata"] |= {"labels": {"team": "lab"}, "managedFields": [{}]}
        leases.edit(strategy="OldestEmulationVersion")
        office = asyncio.ensure_future(leader.lost())
        await asyncio.sleep(5)
        assert not office.done()
        assert leases.lease["metadata"]["labels"] == {"team": "lab"}
        assert "managedFields" not in leases.lease["metadata"]
        assert leases.spec["strategy"] == "OldestEmulationVersion"

    play(main)


@dataclass
class BehindAGateway(Leases):
    """While the API server is ``away`` it is the gateway that answers, in words of its own."""

    away: bool = False

    def apply(self, who: str, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        if self.away:
            raise Refused(404, "", "", path)
        return Leases.apply(self, who, method, path, body)


def test_a_gateways_404_is_no_lease_that_was_deleted() -> None:
    """A leader that is well gave up its lead; now it goes on for as long as without an answer."""

    async def main() -> None:
        leases = BehindAGateway()
        leader = candidate(leases, "a")
        await leader.acquire()
        office = asyncio.ensure_future(leader.lost())
        leases.away = True
        await asyncio.sleep(5)
        assert not office.done()
        leases.away = False
        await asyncio.sleep(30)
        assert not office.done()
        leases.away = True
        assert "could not be renewed for 10 s" in await office

    play(main)
