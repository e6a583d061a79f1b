"""Credentials are read again in time: token files, exec plugins, a pod's account, a renewed CA."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import math
import os
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config, openid

from controller.adapters import kube_client, kube_credentials, local_proc
from controller.adapters.kube_client import Access, KubeClient
from controller.adapters.kube_credentials import FILES_EVERY, Credentials
from controller.ports import Unavailable
from tests.kube.loopback import Loopback, kubeconfig, loopback, status

URL = "http://127.0.0.1:1"


class Clock:
    """Turned by hand."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """A server that does what its script says."""
    async with loopback() as found:
        yield found


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """A token in a file is good for a minute, then the file is asked; white space is no part of it."""
    token, clock = tmp_path / "token", Clock()
    token.write_text("first\n")
    found = Credentials(str(kubeconfig(tmp_path, URL, {"tokenFile": str(token)})), clock=clock)
    assert await found.read()
    assert (await found.header(), found.namespace) == ("Bearer first", "lab")
    token.write_text("second\n")
    assert not found.due
    clock.now += FILES_EVERY
    assert found.due
    assert not await found.read()
    assert await found.header() == "Bearer second"
    assert not found.due


@pytest.mark.parametrize("answers", [1, 5])
async def test_a_refused_token_is_read_again(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """After a 401 the outcome is unknown, the file is read, and the next request is granted."""
    monkeypatch.setattr(kube_credentials, "NOT_BEFORE", 0.0)
    token = tmp_path / "token"
    token.write_text("old")
    client = KubeClient(Access(str(kubeconfig(tmp_path, server.url, {"tokenFile": str(token)}))))
    await client.open()
    token.write_text("new")
    server.will(*[status(401, "Unauthorized", "Unauthorized")] * answers)
    for _ in range(answers):
        with pytest.raises(Unavailable, match="401 Unauthorized: are the credentials current") as unknown:
            await client.request("GET", "version", resource="version")
        assert "new" not in str(unknown.value)
    await client.request("GET", "version", resource="version")
    sent = [seen.headers["authorization"] for seen in server.requests]
    assert sent == ["Bearer old", *["Bearer new"] * answers]
    await client.close()


PLUGIN = """
import json, sys
from pathlib import Path
asked = Path(sys.argv[1])
asked.write_text(asked.read_text() + "x")
if sys.argv[2] == "fails":
    sys.exit("no, with a password of somebody")
told = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
status = {"token": "token-" + str(len(asked.read_text())), "expirationTimestamp": sys.argv[2]}
print(json.dumps({**told, "status": status}))
"""


def plugin(folder: Path, what: str) -> dict[str, Any]:
    """A kubeconfig's user by an exec plugin; ``what``: when its token ends, or that it fails."""
    (folder / "asked").write_text("")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-c", PLUGIN, str(folder / "asked"), what],
        }
    }


async def test_an_exec_plugin_is_asked_before_its_token_ends(tmp_path: Path) -> None:
    """Its token is used until a minute before its end, then it is asked for another one."""
    clock = Clock()
    ends = datetime.now(UTC) + timedelta(minutes=15)
    path = kubeconfig(tmp_path, URL, plugin(tmp_path, ends.isoformat()))
    found = Credentials(str(path), clock=clock)
    await found.read()
    assert await found.header() == "Bearer token-1"
    clock.now += 13 * 60
    assert not found.due
    clock.now += 60
    assert found.due
    await found.read()
    assert await found.header() == "Bearer token-2"


async def test_an_exec_plugin_that_fails(tmp_path: Path) -> None:
    """Who can't prove who they are don't start as nobody."""
    found = Credentials(str(kubeconfig(tmp_path, URL, plugin(tmp_path, "fails"))))
    with pytest.raises(Unavailable, match="its exec plugin gave no credentials"):
        await found.read()


HANGS = """
import os, pathlib, sys, time
os.fork()
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
time.sleep(60)
"""


async def test_an_exec_plugin_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try left a process and two pipes behind, one every half minute for as long as it hung."""
    monkeypatch.setattr(kube_credentials, "PATIENCE", 2.0)
    pids = tmp_path / "pids"
    user = plugin(tmp_path, "")
    user["exec"]["args"] = ["-c", HANGS, str(pids)]
    found = Credentials(str(kubeconfig(tmp_path, URL, user)))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="within 2 s"):
            await found.read()
    tried = [int(line) for line in pids.read_text().split()]
    assert len(tried) == 4
    async with asyncio.timeout(10):
        while [pid for pid in tried if local_proc.look(pid)]:  # its child is nobody's to wait for
            await asyncio.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("name", ["oidc", "gcp", "azure"])
async def test_an_auth_provider_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A refresh token was told to whoever answered, no certificate was asked for, and the next was lost."""

    async def told(*_: object) -> None:
        raise AssertionError("somebody was told a refresh token")

    monkeypatch.setattr(openid.OpenIDRequestor, "refresh_token", told)
    about = {"client-id": "k", "client-secret": "s", "idp-issuer-url": URL, "refresh-token": "dear"}
    user = {"auth-provider": {"name": name, "config": about}}
    with pytest.raises(Unavailable, match="not supported: use an exec plugin in their place") as unknown:
        await Credentials(str(kubeconfig(tmp_path, URL, user))).read()
    assert "\n" not in str(unknown.value)
    assert "dear" not in str(unknown.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "current-context"),
        ("{", "kubeconfig"),
        ("[1, 2]", "kubeconfig"),
        ("clusters: 3", "kubeconfig"),
        ("current-context: x\ncontexts: []\nclusters: []\nusers: []", "object with name x"),
    ],
)
async def test_a_kubeconfig_that_makes_no_sense(tmp_path: Path, text: str | None, why: str) -> None:
    """One line names the file and what to set."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Unavailable, match=why) as unknown:
        await Credentials(str(path)).read()
    assert str(path) in str(unknown.value)
    assert "kubernetes.kubeconfig" in str(unknown.value)
    assert "\n" not in str(unknown.value)


async def test_a_ca_that_is_not_there(tmp_path: Path) -> None:
    """A certificate authority whose file is missing, or is none, is told and not a traceback."""
    config = kubeconfig(tmp_path, "https://127.0.0.1:1", ca=tmp_path / "ca")
    with pytest.raises(Unavailable, match="ca"):
        await KubeClient(Access(str(config))).open()
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(Unavailable, match="certificates"):
        await KubeClient(Access(str(config))).open()


async def test_a_file_of_tmp_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    """That is done after ten days: what stands in the kubeconfig itself can always be read again."""
    path = kubeconfig(tmp_path, "https://127.0.0.1:1")
    told = json.loads(path.read_text())
    held = base64.b64encode(b"the CA of this very test").decode()
    told["clusters"][0]["cluster"]["certificate-authority-data"] = held
    path.write_text(json.dumps(told))
    found = Credentials(str(path))
    await found.read()
    os.unlink(found.configuration.ssl_ca_cert)
    assert not await found.read(), "its content is in the digest: it is there, and the same"


async def test_a_renewed_ca_asks_for_new_connections(tmp_path: Path) -> None:
    """The same path with another certificate in it is another ground to stand on."""
    authority = tmp_path / "ca"
    authority.write_text("one")
    config = kubeconfig(tmp_path, "https://127.0.0.1:1", ca=authority)
    found = Credentials(str(config))
    assert await found.read()
    assert not await found.read()
    authority.write_text("two")
    assert await found.read()


async def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig a pod is its service account: token, CA and namespace stand beside each other."""
    account, clock = tmp_path / "serviceaccount", Clock()
    account.mkdir()
    for name, content in {"token": "first", "ca.crt": "a CA", "namespace": "lab\n"}.items():
        (account / name).write_text(content)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = Credentials(clock=clock)
    await found.read()
    assert found.configuration.host == "https://10.0.0.1:443"
    assert (await found.header(), found.namespace) == ("bearer first", "lab")
    (account / "token").write_text("second")
    clock.now += FILES_EVERY
    assert found.due
    await found.read()
    assert await found.header() == "bearer second"


async def test_a_renewal_that_fails_keeps_what_there_is(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file that is away for a moment costs nothing: the token may still be good."""
    monkeypatch.setattr(kube_credentials, "NOT_BEFORE", 0.0)
    monkeypatch.setattr(kube_credentials, "FILES_EVERY", 0.0)
    token = tmp_path / "token"
    token.write_text("good")
    client = KubeClient(Access(str(kubeconfig(tmp_path, server.url, {"tokenFile": str(token)}))))
    await client.open()
    token.unlink()
    await client.request("GET", "version", resource="version")
    assert server.requests[0].headers["authorization"] == "Bearer good"
    await client.close()


async def test_a_renewal_may_take_longer_than_a_request(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin slower than a request was cut off with it, each time anew: the daemon was locked out."""
    ends = datetime.now(UTC) + timedelta(minutes=15)
    access = Access(
        str(kubeconfig(tmp_path, server.url, plugin(tmp_path, ends.isoformat()))),
        timeout=timedelta(seconds=1),
    )
    client = KubeClient(access)
    await client.open()
    read, ready, begun = client._credentials.read, asyncio.Event(), list[bool]()

    async def slow() -> bool:
        begun.append(True)
        await ready.wait()
        return await read()

    monkeypatch.setattr(client._credentials, "read", slow)
    told = client._credentials
    told._due = told._ends = told._read_at = -math.inf
    with pytest.raises(Unavailable, match="no answer within 1 s"):
        await client.request("GET", "version", resource="version")
    ready.set()
    await client.request("GET", "version", resource="version")
    assert server.requests[-1].headers["authorization"] == "Bearer token-2"
    assert begun == [True], "it went on when the request that asked for it was given up"
    await client.close()


async def test_nobody_waits_for_a_renewal_while_the_token_is_good(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that hung locked the daemon out, and its lease ran out, a minute before its token did."""
    ends = datetime.now(UTC) + timedelta(minutes=15)
    client = KubeClient(Access(str(kubeconfig(tmp_path, server.url, plugin(tmp_path, ends.isoformat())))))
    await client.open()
    read, ready = client._credentials.read, asyncio.Event()

    async def slow() -> bool:
        await ready.wait()
        return await read()

    monkeypatch.setattr(client._credentials, "read", slow)
    client._credentials._due = client._credentials._read_at = -math.inf
    for _ in range(2):
        await client.request("GET", "version", resource="version")
        assert server.requests[-1].headers["authorization"] == "Bearer token-1"
    renewal = client._renewal
    assert renewal
    ready.set()
    await renewal
    await client.request("GET", "version", resource="version")
    assert server.requests[-1].headers["authorization"] == "Bearer token-2"
    await client.close()


async def test_a_new_session_spares_what_is_under_way(tmp_path: Path) -> None:
    """Of the sessions, the last two are open: the one before the last may have requests under way."""
    authority = tmp_path / "ca"
    authority.write_text(_some_certificates())
    config = kubeconfig(tmp_path, "https://127.0.0.1:1", ca=authority)
    client = KubeClient(Access(str(config)))
    await client.open()
    sessions = [client._session]
    for _ in range(2):
        await client._connect()
        sessions.append(client._session)
    assert [session.closed for session in sessions if session] == [True, False, False]
    await client.close()
    assert all(session.closed for session in sessions if session)


async def test_new_connections_that_cannot_be_made_yet_are_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewed CA was read, no session could be made of it, and it was never tried again."""
    authority = tmp_path / "ca"
    authority.write_text(_some_certificates())
    client = KubeClient(Access(str(kubeconfig(tmp_path, "https://127.0.0.1:1", ca=authority))))
    await client.open()
    before = client._session
    authority.write_text(_some_certificates(1))
    with monkeypatch.context() as moment:
        moment.setattr(kube_client, "RESTClientObject", _no_files)
        with pytest.raises(Unavailable, match="Too many open files"):
            await client._read_again()
    assert client._session is before
    await client._read_again()
    assert client._session is not before
    now = client._session
    await client._read_again()
    assert client._session is now
    await client.close()


def _no_files(_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def _some_certificates(number: int = 0) -> str:
    context = ssl.create_default_context()
    found = context.get_ca_certs(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(found[number])
