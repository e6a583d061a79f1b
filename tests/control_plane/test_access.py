"""Who may do what: RBAC, ServiceAccounts with tokens that are rotated, and the log of who asked for what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.control_plane import runai
from tests.control_plane.admin import Api, Refused
from tests.control_plane.jobs import jobs_path, manifest, submit
from tests.control_plane.plane import ControlPlane
from tests.control_plane.sharing import Hold
from tests.e2e.waiting import wait_for

READ_JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]}


@pytest.mark.parametrize(("token", "status"), [("stranger", 403), ("", 403), ("nonsense", 401)])
def test_nothing_is_granted_by_itself(
    control_plane: ControlPlane, namespace: str, token: str, status: int
) -> None:
    """A user without a Role is refused, nobody at all too, and a token that is none is no user's."""
    if token == "stranger":
        token = stranger(control_plane, namespace)
    with pytest.raises(Refused) as refused:
        replace(control_plane.admin, token=token).get(jobs_path(namespace))
    assert refused.value.status == status


def stranger(plane: ControlPlane, namespace: str) -> str:
    """The token of a user whom nobody granted anything."""
    return plane.service_account(namespace, "stranger").token_file.read_text()


def test_a_role_and_nothing_more(control_plane: ControlPlane, namespace: str) -> None:
    """A ServiceAccount may do what its Role says, in its namespace, and nothing more."""
    account = control_plane.service_account(namespace, "reader", [READ_JOBS])
    assert account.api.get(jobs_path(namespace))["items"] == []
    for verb, path in (
        ("GET", jobs_path("default")),
        ("GET", f"/api/v1/namespaces/{namespace}/pods"),
        ("DELETE", jobs_path(namespace)),
    ):
        with pytest.raises(Refused, match="403 Forbidden"):
            account.api.call(verb, path)


def test_a_rotated_token(control_plane: ControlPlane, namespace: str) -> None:
    """After a rotation the new token is in the file, and the old one is refused soon."""
    account = control_plane.service_account(namespace, "reader", [READ_JOBS])
    before = account.api
    before.get(jobs_path(namespace))
    account.rotate()
    account.api.get(jobs_path(namespace))

    def refused() -> bool:
        try:
            before.get(jobs_path(namespace))
        except Refused as told:
            return told.status == 401
        return False

    wait_for("the old token is refused", refused)


def test_kubeconfigs(control_plane: ControlPlane, namespace: str) -> None:
    """A kubeconfig names the token's file, so that a rotated one is found, and nobody else may read it."""
    account = control_plane.service_account(namespace, "reader")
    path = account.kubeconfig
    config = json.loads(path.read_text())
    assert config["users"][0]["user"] == {"tokenFile": str(account.token_file)}
    assert config["contexts"][0]["context"]["namespace"] == namespace
    assert path.stat().st_mode & 0o077 == 0


def test_the_version_is_stamped(control_plane: ControlPlane) -> None:
    """The server says which Kubernetes it is, as charts and kubectl read it: 1.34 or newer."""
    told = control_plane.admin.get("/version")
    assert told["gitVersion"].startswith(f"v{told['major']}.{told['minor']}.")
    assert (int(told["major"]), int(told["minor"])) >= (1, 34)


def test_who_asked_for_what(control_plane: ControlPlane, namespace: str) -> None:
    """The audit log names the user of each request, granted or refused."""
    if not control_plane.simulated:
        pytest.skip("the audit log of this cluster is not ours to read")
    submit(control_plane, namespace, manifest("scan", {"END": "never"}))
    with pytest.raises(Refused):
        control_plane.api("stranger").delete(jobs_path(namespace, "scan"))
    wanted = {("admin", "create", "jobs", "scan", 201), ("stranger", "delete", "jobs", "scan", 403)}

    def asked() -> bool:
        found = control_plane.audit(namespace)
        return wanted <= {(one.user, one.verb, one.resource, one.name, one.code) for one in found}

    wait_for("both are in the log", asked)


def test_what_was_put_aside_of_the_audit_log_is_read_too(tmp_path: Path) -> None:
    """The API server begins a new file after a hundred megabytes, the log of some ten thousand jobs."""

    def line(name: str, namespace: str = "lab") -> str:
        at = "2026-01-01T00:00:00Z"
        told = {
            "requestReceivedTimestamp": at,
            "stageTimestamp": at,
            "user": {"username": "admin"},
            "verb": "create",
            "objectRef": {"resource": "jobs", "namespace": namespace, "name": name},
            "responseStatus": {"code": 201},
        }
        return json.dumps(told) + "\n"

    (tmp_path / "audit.log").write_text(line("c"))
    (tmp_path / "audit-2026-01-01T10-00-00.000.log").write_text(line("b") + line("x", "elsewhere"))
    (tmp_path / "audit-2026-01-01T09-00-00.000.log").write_text(line("a"))
    hold = cast(Hold, SimpleNamespace(about={"audit": str(tmp_path / "audit.log")}))
    api = cast(Api, None)
    plane = ControlPlane("", tmp_path, api, tmp_path, hold=hold)
    assert [one.name for one in plane.audit("lab")] == ["a", "b", "c"]


def test_run_ai_kinds(control_plane: ControlPlane, namespace: str) -> None:
    """Run:ai's kinds are served, and a test moves their objects through their phases."""
    runai.install(control_plane.admin)
    for kind in runai.KINDS:
        name = f"one-{kind.lower()}"
        runai.start(control_plane.admin, kind, namespace, name, "Pending")
        runai.turn(control_plane.admin, kind, namespace, name, "Running")
        found = control_plane.admin.get(runai.path_of(kind, namespace, name))
        assert (found["kind"], found["status"]) == (kind, {"phase": "Running"})
