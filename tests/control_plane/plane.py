"""A control plane as tests use it: who talks to it, namespaces, grants, and hands that break it.

Made by ``fixtures``.
"""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from tests.control_plane.admin import Api, Document
from tests.control_plane.commands import ADMIN, kubeconfig
from tests.control_plane.nodes import make_node, nodes_ready
from tests.control_plane.sharing import Hold
from tests.control_plane.stages import SIMULATED
from tests.e2e.waiting import wait_for

NAMESPACE_PREFIX = "batchkeeper-test-"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
API_SERVER = "kube-apiserver"
ETCD = "etcd"

Rule = Mapping[str, Sequence[str]]
"""As in a Role: ``{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}``."""


@dataclass(frozen=True)
class ControlPlane:
    """One control plane. ``hold``: on one of our own; None: a cluster that a kubeconfig names."""

    url: str
    ca: Path
    admin: Api
    folder: Path
    """For files of this user's own: kubeconfigs, tokens."""
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    hold: Hold | None = None

    @property
    def simulated(self) -> bool:
        """Whether its nodes are simulated ones, so that pods end as their environment asks."""
        return self.hold is not None

    # ------------------------------------------------------------------------------- who talks to it

    def token(self, user: str) -> str:
        """Of a user of the token file, or a new one of a ServiceAccount, ``namespace/name``."""
        return self.tokens[user] if user in self.tokens else self._requested(*user.split("/"))[0]

    def api(self, user: str) -> Api:
        """The API as that user."""
        return Api(self.url, self.ca, self.token(user))

    def kubeconfig(self, user: str = ADMIN, namespace: str = "default") -> Path:
        """A kubeconfig file of that user's."""
        return self._write(kubeconfig(self.url, self.ca, token=self.token(user), namespace=namespace))

    def service_account(self, namespace: str, name: str, rules: Sequence[Rule] = ()) -> ServiceAccount:
        """A new ServiceAccount that may do that in its namespace."""
        self.admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        account = self.account(namespace, name)
        if rules:
            self.grant(namespace, name, rules, account.subject)
        return account

    def account(self, namespace: str, name: str) -> ServiceAccount:
        """A ServiceAccount that is there, with a token in a file of its own."""
        account = ServiceAccount(self, namespace, name, self.folder / f"{uuid4().hex}.token")
        account.rotate()
        return account

    def grant(self, namespace: str, name: str, rules: Sequence[Rule], subject: Document) -> None:
        """A Role with these rules, and its binding to a user or ServiceAccount."""
        there = f"{RBAC}/namespaces/{namespace}"
        self.admin.create(f"{there}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        self.admin.create(f"{there}/rolebindings", binding)

    def _requested(self, namespace: str, name: str, secret: str = "") -> tuple[str, str]:
        """A ServiceAccount token, bound to a new Secret whose deletion revokes it; both."""
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        made = self.admin.create(secrets, {"metadata": {"name": f"token-{uuid4().hex[:8]}"}})
        bound = {
            "apiVersion": "v1",
            "kind": "Secret",
            "name": made["metadata"]["name"],
            "uid": made["metadata"]["uid"],
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self.admin.create(path, {"spec": {"boundObjectRef": bound}})
        return str(answer["status"]["token"]), str(bound["name"])

    def _write(self, config: Document) -> Path:
        path = self.folder / f"{uuid4().hex}.kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        return path

    # ------------------------------------------------------------------------------------ namespaces

    @contextmanager
    def namespace(self, name: str = "", labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace of a test's own, ready for pods; deleted at the end."""
        name = self.make_namespace(name, labels)
        try:
            yield name
        finally:
            self.admin.delete(f"/api/v1/namespaces/{name}")

    def make_namespace(self, name: str = "", labels: Mapping[str, str] | None = None) -> str:
        """A new namespace; its name is new unless given. Pods can be created in it when this returns."""
        name = name or f"{NAMESPACE_PREFIX}{uuid4().hex[:10]}"
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for(f"the service account of {name}", lambda: self.admin.find(account))
        return name

    # ----------------------------------------------------------------------------- nodes and their pods

    @contextmanager
    def node(
        self,
        name: str,
        pool: str,
        labels: Mapping[str, str] | None = None,
        room: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """A simulated node of a test's own, where only pods that are ``placed`` in its pool get."""
        make_node(self.admin, name, labels or {}, pool, room)
        try:
            wait_for(f"{name} is ready", lambda: nodes_ready(self.admin, [name]))
            yield name
        finally:
            self.admin.delete(f"/api/v1/nodes/{name}")

    def lose_node(self, name: str) -> None:
        """Its kubelet falls silent: nobody ends its pods, and the node controller will notice."""
        self.admin.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {SIMULATED: None}}})
        unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        told = unknown | {"message": "Kubelet stopped posting node status."}
        self.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [told]}})

    def evict(self, namespace: str, pod: str) -> None:
        """What ``kubectl drain`` does to a pod."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self.admin.create(f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", eviction)

    def tear_out(self, namespace: str, pod: str) -> None:
        """Delete a pod by force, its finalizers too: nobody counts it, and its Job makes another one."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        self.admin.patch(path, {"metadata": {"finalizers": None}})
        self.admin.delete(path, gracePeriodSeconds=0)

    # ---------------------------------------------------------------------------- who asked for what

    def audit(self, namespace: str) -> list[Asked]:
        """Every request about this namespace so far, in the order of the answers."""
        found, mark = [], namespace.encode()
        for line in self._audited():
            if mark not in line:
                continue
            told = json.loads(line)
            if told.get("objectRef", {}).get("namespace") == namespace:
                found.append(_asked(told))
        return found

    def _audited(self) -> Iterator[bytes]:
        """The audit log's lines: what the API server put aside when it was large, then what it writes to."""
        log = Path(self._owned.about["audit"])
        while True:
            aside = sorted(log.parent.glob(f"{log.stem}-*{log.suffix}"))
            with log.open("rb") as newest:
                if sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")) != aside:
                    continue  # it was put aside just now
                for path in aside:
                    with path.open("rb") as older:
                        yield from older
                yield from newest
            return

    # ------------------------------------------------------------- breaking it: a private one only

    def kill(self, name: str = API_SERVER) -> None:
        """``kill -9`` of one of its processes."""
        self._owned.order("kill", name)

    def start(self, name: str = API_SERVER) -> None:
        """Start it again; a server is ready when this returns."""
        self._owned.order("start", name)

    def restart(self, name: str = API_SERVER) -> None:
        """``kill -9``, and up again."""
        self.kill(name)
        self.start(name)

    @property
    def pids(self) -> dict[str, int]:
        """Its processes by name."""
        return dict(self._owned.order("about")["pids"])

    def compact(self) -> int:
        """Have etcd forget all revisions before the newest; its number."""
        revision = int(
            self._etcd("kv/put", {"key": _encoded("/compacted"), "value": ""})["header"]["revision"]
        )
        self._etcd("kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def expire_watches(self) -> None:
        """Let every watch end, and every revision that a watcher has seen be one too old: 410."""
        self.kill()
        self.compact()
        self.start()

    def _etcd(self, what: str, asked: Document) -> Document:
        request = urllib.request.Request(f"{self._owned.about['etcd']}/v3/{what}", json.dumps(asked).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: Document = json.loads(answer.read())
        return told

    @property
    def _owned(self) -> Hold:
        assert self.hold, "this cluster is somebody else's: it is not ours to break"
        return self.hold


@dataclass(frozen=True)
class Asked:
    """One request as the API server's audit log has it."""

    at: datetime
    """When it was answered."""
    came: datetime
    """When it was received. What it changed, it changed between these two."""
    user: str
    verb: str
    resource: str
    """With its subresource, such as ``pods/log``."""
    name: str
    code: int


def _asked(told: Document) -> Asked:
    what = told["objectRef"]
    resource = "/".join(filter(None, (what["resource"], what.get("subresource", ""))))
    return Asked(
        at=datetime.fromisoformat(told["stageTimestamp"]),
        came=datetime.fromisoformat(told["requestReceivedTimestamp"]),
        user=told["user"]["username"],
        verb=told["verb"],
        resource=resource,
        name=what.get("name", ""),
        code=told["responseStatus"]["code"],
    )


@dataclass
class ServiceAccount:
    """A ServiceAccount with a token in a file, as a pod has it."""

    plane: ControlPlane
    namespace: str
    name: str
    token_file: Path
    _secret: str = ""

    @property
    def subject(self) -> Document:
        """As a RoleBinding names it."""
        return {"kind": "ServiceAccount", "namespace": self.namespace, "name": self.name}

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig file that names the token's file."""
        config = kubeconfig(
            self.plane.url, self.plane.ca, token_file=self.token_file, namespace=self.namespace
        )
        return self.plane._write(config)

    @property
    def api(self) -> Api:
        """The API as this account, with the token that is in the file now."""
        return Api(self.plane.url, self.plane.ca, self.token_file.read_text())

    def rotate(self) -> None:
        """Put a new token into the file; the old one is refused soon after."""
        before = self._secret
        self.renew()
        if before:
            self.plane.admin.delete(f"/api/v1/namespaces/{self.namespace}/secrets/{before}")

    def renew(self) -> None:
        """Put a new token into the file, as the kubelet does in good time: the old one is still taken."""
        token, self._secret = self.plane._requested(self.namespace, self.name)
        half = self.token_file.with_suffix(".new")
        half.write_text(token, encoding="utf-8")
        half.chmod(0o600)
        half.replace(self.token_file)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
