"""How each process of a control plane is started: its command line and the files that it reads.

Called by ``keeper``. Everything is in one folder and listens on loopback.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.control_plane.admin import Api
from tests.control_plane.stages import SIMULATED, configuration

ADMIN = "admin"
ITSELF = "control-plane"
USERS = (ADMIN, ITSELF, "batchkeeper", "stranger")
"""Who has a static token: the admin and the control plane's own processes may do everything, the others
nothing until a test grants it."""
CONTROLLERS = (
    "job-controller",
    "pod-garbage-collector-controller",
    "ttl-after-finished-controller",
    "serviceaccount-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    # For what a release of the chart is made of.
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "endpointslice-controller",
    "disruption-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
)
SCHEDULERS = ("default-scheduler", "runai-scheduler")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "Metadata", "verbs": ["patch"], "resources": [{"group": "", "resources": ["pods/status"]}]},
        {"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "None", "users": [ITSELF, "system:apiserver", "system:anonymous"]},
        {"level": "Metadata"},
    ],
}
"""Everything that anybody asked for but the control plane's own processes; of these, how pods fared."""
EVICTED_AFTER = 2
"""Seconds that a pod stays bound to a node that is lost (300 on a cluster as it comes)."""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Ports:
    """Where the servers listen."""

    etcd: int
    peers: int
    api: int
    kubelet: int


@dataclass(frozen=True)
class Setup:
    """One control plane's folder, with the files that its processes read."""

    folder: Path
    binaries: Path
    ports: Ports
    tokens: dict[str, str]

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://127.0.0.1:{self.ports.api}"

    @property
    def etcd(self) -> str:
        """Where etcd listens."""
        return f"http://127.0.0.1:{self.ports.etcd}"

    @property
    def ca(self) -> Path:
        """What the API server's certificate is checked with; it writes that file itself when it starts."""
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def audit(self) -> Path:
        """Where the API server writes who asked for what, a line of JSON each."""
        return self.folder / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """Of the control plane's own processes."""
        return self.folder / "kubeconfig"

    def api(self, user: str) -> Api:
        """The API as this user."""
        return Api(self.url, self.ca, self.tokens[user])

    def commands(self) -> dict[str, list[str]]:
        """By name of the program: its command line."""
        made = {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(),
            "kube-controller-manager": self._controller_manager(),
            "kube-scheduler": self._scheduler(),
            "kwok": self._kwok(),
        }
        return {name: [str(self.binaries / name), *options] for name, options in made.items()}

    def _etcd(self) -> list[str]:
        peer = f"http://127.0.0.1:{self.ports.peers}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self.etcd}",
            f"--advertise-client-urls={self.etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _api_server(self) -> list[str]:
        key = self.folder / "service-accounts.key"
        return [
            f"--etcd-servers={self.etcd}",
            f"--secure-port={self.ports.api}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.ca.parent}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--default-not-ready-toleration-seconds={EVICTED_AFTER}",
            f"--default-unreachable-toleration-seconds={EVICTED_AFTER}",
            f"--audit-policy-file={self.folder / 'audit.json'}",
            f"--audit-log-path={self.audit}",
            "--profiling=false",
        ]

    def _controller_manager(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--node-monitor-period=1s",
            # Nodes are lost by a test's own hand only. KWOK says once that they are ready, and never
            # again: after this time all of them would be lost, with every pod on them.
            "--node-monitor-grace-period=240h",
            "--node-eviction-rate=100",
            "--secondary-node-eviction-rate=100",
        ]

    def _scheduler(self) -> list[str]:
        return [f"--config={self.folder / 'scheduler.json'}", "--secure-port=0"]

    def _kwok(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--config={self.folder / 'stages.yaml'}",
            f"--manage-nodes-with-label-selector={SIMULATED}=fake",
            "--node-lease-duration-seconds=0",
        ]

    def write(self) -> None:
        """The files that the processes read."""
        self.ca.parent.mkdir()
        (self.folder / "etcd").mkdir(mode=0o700)
        self._put("tokens.csv", "".join(self._token_lines()))
        self._put("service-accounts.key", private_key())
        self._put("stages.yaml", configuration(self.ports.kubelet))
        self._put("scheduler.json", json.dumps(self._scheduling()))
        self._put("audit.json", json.dumps(AUDIT_POLICY))
        self._put("kubeconfig", json.dumps(kubeconfig(self.url, self.ca, token=self.tokens[ITSELF])))

    def _put(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / name).chmod(0o600)

    def _token_lines(self) -> list[str]:
        groups = dict.fromkeys((ADMIN, ITSELF), ',"system:masters"')
        return [f"{token},{user},{user}{groups.get(user, '')}\n" for user, token in self.tokens.items()]

    def _scheduling(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(self.kubeconfig), "qps": 500, "burst": 1000},
            "parallelism": 2,
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 1,
            "profiles": [{"schedulerName": name} for name in SCHEDULERS],
        }


def new_setup(folder: Path, binaries: Path) -> Setup:
    """A control plane that is to live in this folder, its files written."""
    ports = Ports(*(free_port() for _ in range(4)))
    setup = Setup(folder, binaries, ports, {user: secrets.token_hex(16) for user in USERS})
    setup.write()
    return setup


def kubeconfig(
    url: str, ca: Path, *, token: str = "", token_file: Path | None = None, namespace: str = "default"
) -> dict[str, Any]:
    """A kubeconfig for whoever has that token, or the token that is in that file."""
    who = {"tokenFile": str(token_file)} if token_file else {"token": token}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "test", "user": who}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }


def private_key() -> str:
    """A new elliptic-curve key as PEM: SEC 1 with the curve's name and the private number, no more."""
    number = b"\0" + os.urandom(31)  # smaller than the order of the group whatever comes out
    curve = bytes.fromhex("06082a8648ce3d030107")  # prime256v1
    body = b"\x02\x01\x01" + b"\x04\x20" + number + b"\xa0" + bytes([len(curve)]) + curve
    encoded = base64.encodebytes(b"\x30" + bytes([len(body)]) + body).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{encoded}-----END EC PRIVATE KEY-----\n"
