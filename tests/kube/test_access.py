"""What the daemon is allowed to do is asked at its start, and everything that is missing has its name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from controller.adapters.kube_access import RULES, Right, check_access, lease_rules
from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD, Kind
from controller.ports import BatchkeeperError
from tests.chart.rights import OUR_LEASE
from tests.control_plane.plane import ControlPlane
from tests.kube.place import rules
from tests.kube.world import settings

EVERYTHING = (*RULES, *lease_rules(OUR_LEASE))
TRAINING = Kind("run.ai", "v2alpha1", "trainingworkloads", "TrainingWorkload")


async def checked(
    plane: ControlPlane,
    namespace: str,
    rights: Sequence[Right],
    *more: str,
    kinds: Sequence[Kind] = (JOB, POD),
) -> str:
    """The check as an account with these rights, in its namespace and in ``more``."""
    account = plane.service_account(namespace, "keeper", rules(rights))
    client = KubeClient(settings(account.kubeconfig, namespace).access)
    await client.open()
    try:
        return await check_access(client, kinds, (namespace, *more), (namespace, OUR_LEASE))
    finally:
        await client.close()


async def test_the_role_suffices(control_plane: ControlPlane, namespace: str) -> None:
    """With exactly the rights of the Role the check passes, and says who we are."""
    who = await checked(control_plane, namespace, EVERYTHING)
    assert who == f"system:serviceaccount:{namespace}:keeper"


@pytest.mark.parametrize("right", EVERYTHING, ids=lambda right: right.resource)
async def test_each_right_is_missed(control_plane: ControlPlane, namespace: str, right: Right) -> None:
    """Each right is asked for: without it the check fails, and names its verbs, resource and place."""
    rest = [one for one in EVERYTHING if one != right]
    with pytest.raises(BatchkeeperError) as missing:
        await checked(control_plane, namespace, rest)
    assert f"may not {', '.join(right.verbs)} {right} in {namespace}: bind the Role" in str(missing.value)


async def test_the_lease_of_others_is_theirs(control_plane: ControlPlane, namespace: str) -> None:
    """In a namespace that many share, each elects its leader with its own: only ours may be written."""
    account = control_plane.service_account(namespace, "keeper", rules(EVERYTHING))
    client = KubeClient(settings(account.kubeconfig, namespace).access)
    await client.open()
    path = f"apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    try:
        for name in (OUR_LEASE, "theirs"):
            made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
            control_plane.admin.create(f"/{path}", made)
        ours = await client.request("GET", f"{path}/{OUR_LEASE}", resource="leases")
        assert await client.request("PUT", f"{path}/{OUR_LEASE}", ours, resource="leases")
        with pytest.raises(Refused, match="forbidden"):
            await client.request("GET", f"{path}/theirs", resource="leases")
        with pytest.raises(Refused, match="forbidden"):
            await client.request("PUT", f"{path}/theirs", made, resource="leases")
    finally:
        await client.close()


async def test_all_that_is_missing_is_named(control_plane: ControlPlane, namespace: str) -> None:
    """One line names every missing right in every namespace, those on counted kinds too."""
    with pytest.raises(BatchkeeperError) as missing:
        await checked(control_plane, namespace, [], "elsewhere", kinds=(JOB, POD, TRAINING))
    said = str(missing.value)
    assert said.startswith(f"system:serviceaccount:{namespace}:keeper may not ")
    assert "\n" not in said
    for place in (namespace, "elsewhere"):
        assert f"create, delete, get, list, patch, watch jobs.batch in {place}" in said
        assert f"get, list trainingworkloads.run.ai in {place}" in said
    assert f"create leases.coordination.k8s.io in {namespace}" in said
    assert f"get, update leases.coordination.k8s.io {OUR_LEASE} in {namespace}" in said
    assert "leases.coordination.k8s.io in elsewhere" not in said
