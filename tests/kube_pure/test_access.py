"""The questions about our rights: all are asked, and never too many at once."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from controller.adapters.kube_access import AT_ONCE, RULES, check_access
from controller.adapters.kube_client import KubeClient
from controller.clusters import open_ground
from controller.config import load
from controller.ports import BatchkeeperError, Unavailable
from tests.kube.loopback import kubeconfig

CONFIG = "cluster: {{kind: kubernetes}}\nkubernetes: {{kubeconfig: {}, watch: {}}}\n"


class Server:
    """Answers every review, and counts those under way; ``refuses``: a namespace where nothing is allowed."""

    def __init__(self, refuses: str = "") -> None:
        self._refuses = refuses
        self._now = 0
        self.most = 0
        self.asked = 0

    async def request(self, method: str, path: str, body: Any, *, resource: str) -> dict[str, Any]:
        """One review."""
        if resource == "selfsubjectreviews":
            return {"status": {"userInfo": {"username": "keeper"}}}
        self.asked += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        where = body["spec"]["resourceAttributes"]["namespace"]
        return {"status": {"allowed": where != self._refuses}}


async def test_a_hundred_namespaces_are_asked_about_in_turns() -> None:
    """More at once would wait for their turn longer than a request may take, and the start would fail."""
    server = Server()
    names = [f"lab-{n}" for n in range(100)]
    assert await check_access(cast(KubeClient, server), (), names, ("keeper", "x")) == "keeper"
    assert server.asked > len(names) * sum(len(right.verbs) for right in RULES)
    assert server.most == AT_ONCE


async def test_what_is_missing_is_named_with_its_namespace() -> None:
    """And nothing of the others."""
    with pytest.raises(BatchkeeperError) as refused:
        await check_access(
            cast(KubeClient, Server("lab-7")), (), [f"lab-{n}" for n in range(9)], ("keeper", "x")
        )
    assert "keeper may not create, delete, get, list, patch, watch jobs.batch in lab-7" in str(refused.value)
    assert "lab-8" not in str(refused.value)


async def test_who_we_are_is_told_where_it_can_be_asked() -> None:
    """Before Kubernetes 1.28 nobody serves that path: the start does not hang on a name."""

    class Old(Server):
        async def request(self, method: str, path: str, body: Any, *, resource: str) -> dict[str, Any]:
            if resource == "selfsubjectreviews":
                raise Unavailable("404, and not by the API server")
            return await Server.request(self, method, path, body, resource=resource)

    assert await check_access(cast(KubeClient, Old()), (), ["lab"], ("keeper", "x")) == "this account"


@pytest.mark.parametrize("watch", [True, False])
async def test_where_watches_are_forbidden_it_starts_without_them(
    tmp_path: Path, no_variables: None, watch: bool
) -> None:
    """``kubernetes.watch: false`` is for such an API server, and the right was demanded there, too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length)).get("spec", {})
                allowed = asked.get("resourceAttributes", {}).get("verb") != "watch"
                body = json.dumps({"status": {"allowed": allowed}}).encode()
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    told = tmp_path / "config.yaml"
    told.write_text(CONFIG.format(kubeconfig(tmp_path, url), json.dumps(watch)))
    try:
        with pytest.raises(BatchkeeperError, match="may not watch") if watch else nullcontext():
            async with open_ground(load(told), None, leads=True) as ground:
                assert ground.cluster.scheduler_type == "kubernetes"
    finally:
        server.close()
