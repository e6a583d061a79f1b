"""Tokens of a real cluster: whose they are by TokenReview, and what holds while the API server is away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters.kube_access import EVENT_RULES, REVIEW_RULES
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_tokens import KubeTokens
from controller.api.auth_review import ReviewedTokens
from controller.clusters import open_ground
from controller.config import load
from controller.ports import Unavailable
from tests.api.place import place
from tests.control_plane.plane import RBAC, ControlPlane
from tests.kube.place import rules
from tests.kube.test_access import EVERYTHING
from tests.kube.world import settings


class Clock:
    """Turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def may_review(plane: ControlPlane, namespace: str, account: str) -> None:
    """What the last documents of deploy/role.yaml grant, under names of the test's own."""
    name = f"{namespace}-{account}"
    plane.admin.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules(REVIEW_RULES)})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "namespace": namespace, "name": account}
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    plane.admin.create(f"{RBAC}/clusterrolebindings", binding)


@asynccontextmanager
async def reviewing(
    plane: ControlPlane, namespace: str, *, granted: bool = True
) -> AsyncIterator[KubeTokens]:
    """A reviewer with an account of its own, which may do nothing else."""
    account = plane.service_account(namespace, "reviewer")
    if granted:
        may_review(plane, namespace, "reviewer")
    client = KubeClient(settings(account.kubeconfig, namespace).access)
    await client.open()
    try:
        yield KubeTokens(client)
    finally:
        await client.close()


def tokens(reviewer: KubeTokens, clock: Clock, audiences: Sequence[str] = ()) -> ReviewedTokens:
    """As the API asks, on a clock of ours."""
    return ReviewedTokens(reviewer, audiences, timedelta(minutes=5), clock)


async def test_whose_a_token_is(control_plane: ControlPlane, namespace: str) -> None:
    """A ServiceAccount's token names it and its groups; a bent one, or one for others, is nobody's."""
    ada = control_plane.service_account(namespace, "ada").token_file.read_text()
    async with reviewing(control_plane, namespace) as reviewer:
        known = await tokens(reviewer, Clock()).identify(ada)
        assert known
        assert (known.user, known.how) == (f"system:serviceaccount:{namespace}:ada", "token-review")
        assert {"system:serviceaccounts", f"system:serviceaccounts:{namespace}"} <= known.groups
        assert await tokens(reviewer, Clock()).identify(ada[:-8] + "AAAAAAAA") is None
        assert await tokens(reviewer, Clock()).identify("no-token") is None
        assert await tokens(reviewer, Clock(), ["batchkeeper"]).identify(ada) is None


async def test_an_audience(control_plane: ControlPlane, namespace: str) -> None:
    """With audiences of ours, a token that was asked for with one of them is known, and only there."""
    control_plane.service_account(namespace, "ada")
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/ada/token"
    made = control_plane.admin.create(path, {"spec": {"audiences": ["batchkeeper"]}})
    token = made["status"]["token"]
    async with reviewing(control_plane, namespace) as reviewer:
        assert await tokens(reviewer, Clock(), ["other", "batchkeeper"]).identify(token)
        assert await tokens(reviewer, Clock(), ["other"]).identify(token) is None
        assert await tokens(reviewer, Clock()).identify(token) is None


async def test_a_revoked_token(control_plane: ControlPlane, namespace: str) -> None:
    """What was known stays known for five minutes at most; asked about again, it is nobody's."""
    account = control_plane.service_account(namespace, "ada")
    token, clock = account.token_file.read_text(), Clock()
    async with reviewing(control_plane, namespace) as reviewer:
        known = tokens(reviewer, clock)
        assert await known.identify(token)
        account.rotate()
        for _ in range(300):  # the API server itself remembers for a moment
            if await reviewer.review(token, ()) is None:
                break
            await asyncio.sleep(0.1)
        clock.now = 299.0
        assert await known.identify(token)
        clock.now = 300.0
        assert await known.identify(token) is None


async def test_without_the_right_nobody_is_believed(control_plane: ControlPlane, namespace: str) -> None:
    """An account that may not review says so: "later", never "no" and never "yes"."""
    ada = control_plane.service_account(namespace, "ada").token_file.read_text()
    async with reviewing(control_plane, namespace, granted=False) as reviewer:
        with pytest.raises(Unavailable, match="grant create on tokenreviews"):
            await tokens(reviewer, Clock()).identify(ada)


async def test_the_missing_right_has_a_name(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A daemon starts without it, and says what to bind; it says nothing where no tokens are reviewed."""
    account = control_plane.service_account(namespace, "keeper", rules((*EVERYTHING, *EVENT_RULES)))
    caplog.set_level(logging.WARNING)

    async def said(enabled: str) -> list[str]:
        caplog.clear()
        config = {
            "namespace": namespace,
            "cluster": {"kind": "kubernetes"},
            "kubernetes": {"kubeconfig": str(account.kubeconfig)},
            "auth": {"token_review": {"enabled": enabled}},
            "state_dir": str(tmp_path),
        }
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        async with open_ground(load(tmp_path / "config.yaml"), None, leads=True):
            return [str(one.msg) for one in caplog.records if one.name == "cluster"]

    assert await said("off") == []
    (line,) = await said("auto")
    assert (
        "keeper may not create tokenreviews.authentication.k8s.io in the cluster: bind the ClusterRole"
        in line
    )
    may_review(control_plane, namespace, "keeper")
    for _ in range(300):  # the authorizer learns of a binding a moment later
        if not (found := await said("auto")):
            break
        await asyncio.sleep(0.1)
    assert found == []


async def test_the_api_server_is_away(
    private_control_plane: ControlPlane, tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Killed: whoever it knew lately goes on, for five minutes; others get 503, and nothing is written."""
    plane, clock = private_control_plane, Clock()
    with plane.namespace() as namespace:
        ada, bob = (plane.service_account(namespace, name).token_file.read_text() for name in ("ada", "bob"))
        async with reviewing(plane, namespace) as reviewer:
            known = tokens(reviewer, clock)
            async with place(tmp_path, mongo_uri, mongo_database, authenticators=[known]) as here:
                users = {name: f"system:serviceaccount:{namespace}:{name}" for name in ("ada", "bob")}
                mine = await here.submit("a", user=users["ada"])
                theirs = await here.submit("b", user=users["bob"])
                assert (await here.as_(ada).get(f"/api/v1/batches/{mine.id}")).status == 200
                plane.kill()
                try:
                    clock.now = 299.0
                    assert (await here.as_(ada).post(f"/api/v1/batches/{mine.id}/pause")).status == 200
                    late = await here.as_(bob).post(f"/api/v1/batches/{theirs.id}/pause")
                    assert (late.status, late.headers["retry-after"]) == (503, "5")
                    clock.now = 300.0
                    over = await here.as_(ada).post(f"/api/v1/batches/{mine.id}/resume")
                    assert over.status == 503
                finally:
                    await asyncio.to_thread(plane.start)
                gates = await here.store.gates([mine.id, theirs.id])
                assert (gates[mine.id].paused, gates[theirs.id].paused) == (True, False)
