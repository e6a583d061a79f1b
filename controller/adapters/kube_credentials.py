"""Who we are to the API server and how it proves itself: read from the pod or a kubeconfig, and read again.

``kubernetes.aio`` understands the formats (tokens, certificates, exec plugins). When to read again is decided
here, by the monotonic clock: the library reads a pod's token by the wall clock, a kubeconfig's
token file and an exec plugin's answer once for ever, and a renewed CA never.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio import client, config
from kubernetes.aio.config import incluster_config, kube_config
from kubernetes.aio.config.exec_provider import ExecProvider

from controller.adapters import kube_plugin
from controller.ports import Unavailable

FILES_EVERY = 60.0
"""Seconds between two looks at files that are renewed under us: the kubelet renews a token in good time."""
NOT_BEFORE = 5.0
"""Seconds between two readings, whatever asks for them."""
BEFORE_EXPIRY = 60.0
"""Seconds before its end at which an exec plugin is asked for another token."""
PATIENCE = 30.0
"""Seconds that an exec plugin may take."""
_NO_YAML: type[Exception] = kube_config.yaml.YAMLError  # type: ignore[attr-defined]
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, _NO_YAML)


class _Plugin(ExecProvider):
    """The library's, which left a process and two pipes behind whenever a plugin was waited for in vain."""

    async def run(self, previous_response: Any = None) -> Any:
        """What it says of us: the status of an ``ExecCredential``."""
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {**self.env, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
        code, output, errors = await kube_plugin.answered(self.args, environment)
        if code != 0:
            raise config.ConfigException(f"exec: {self.args[0]} ends with {code}: {errors.strip()!r}")
        told = json.loads(output)
        if told["apiVersion"] != self.api_version:
            raise config.ConfigException(f"exec: {told['apiVersion']} is not {self.api_version}")
        return told["status"]


kube_config.ExecProvider = _Plugin  # type: ignore[attr-defined]


class Credentials:
    """The configuration as it was read last. ``read`` it before anything else."""

    def __init__(
        self, kubeconfig: str = "", context: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.configuration: Any = None
        self.namespace = ""
        """The namespace of the context, or of the pod this runs in; empty when neither says."""
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._read_at = -math.inf
        self._due = math.inf
        self._ends = math.inf
        self._ground = ""

    async def read(self) -> bool:
        """Read everything anew; returns whether connections must be made anew, too.

        Raises ``Unavailable`` with what to do; what was read before is kept then.
        """
        self._read_at = self._clock()
        where = self._kubeconfig or ("the pod's service account" if self._in_pod else "the kubeconfig")
        try:
            async with asyncio.timeout(PATIENCE):
                found = await (self._from_pod() if self._in_pod else self._from_kubeconfig())
                ground = await asyncio.to_thread(_ground, found)
        except TimeoutError:
            raise Unavailable(f"{where} gave no credentials within {PATIENCE:g} s") from None
        except (config.ConfigException, OSError, *_MALFORMED) as error:
            why = " ".join(str(error).split())[:300]
            raise Unavailable(
                f"no way to the API server: {where}: {why}: name a kubeconfig in kubernetes.kubeconfig"
            ) from None
        self.configuration = found
        before, self._ground = self._ground, ground
        return before != ground

    async def header(self) -> str:
        """The value of ``Authorization``; empty where a certificate says who we are."""
        auth = (await self.configuration.auth_settings()).get("BearerToken")
        return str(auth["value"] or "").strip() if auth else ""

    @property
    def due(self) -> bool:
        """Whether it is time to read them again by themselves."""
        return self._clock() >= max(self._due, self._read_at + NOT_BEFORE)

    @property
    def good(self) -> bool:
        """Whether what was read last says that it is good still, so that nobody need wait for the next."""
        return self._clock() < self._ends

    @property
    def just_read(self) -> bool:
        """Whether reading them again would tell nothing new."""
        return self._clock() < self._read_at + NOT_BEFORE

    @property
    def _in_pod(self) -> bool:
        return not self._kubeconfig and bool(os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME))

    async def _from_pod(self) -> Any:
        found = client.Configuration()
        config.load_incluster_config(found, try_refresh_token=False)  # type: ignore[no-untyped-call]
        self._due = self._ends = self._clock() + FILES_EVERY
        beside = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")
        self.namespace = await asyncio.to_thread(_text_of, beside)
        return found

    async def _from_kubeconfig(self) -> Any:
        found = client.Configuration()
        await asyncio.to_thread(_forget_tidied)
        loader = self._loader()
        user = loader._user
        if user is not None and "auth-provider" in user:
            # For oidc the library verifies no certificate, and loses the refresh token that is good next.
            raise config.ConfigException(
                "auth-providers are not supported: use an exec plugin in their place"
            )
        await loader.load_and_set(found)
        self._due = self._ends = math.inf
        if user is not None and "exec" in user:
            left, now = self._until_expiry(loader, found), self._clock()
            self._due, self._ends = now + max(NOT_BEFORE, left - BEFORE_EXPIRY), now + left
        elif user is not None and "tokenFile" in user:
            self._due = self._ends = self._clock() + FILES_EVERY
        self.namespace = str(loader.current_context.get("context", {}).get("namespace") or "")
        return found

    def _loader(self) -> Any:
        where = self._kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        files = kube_config.KubeConfigMerger(where)  # type: ignore[no-untyped-call]
        return kube_config.KubeConfigLoader(  # type: ignore[no-untyped-call]
            files.config, self._context or None, config_base_path=None
        )

    def _until_expiry(self, loader: Any, found: Any) -> float:
        """Seconds for which its token is good. The library only logs that a plugin failed."""
        if not found.api_key and not found.cert_file:
            raise config.ConfigException("its exec plugin gave no credentials; the log has its error")
        expiry = getattr(loader, "exec_plugin_expiry", None)
        if expiry is None:
            return math.inf
        left: float = (expiry - datetime.now(UTC)).total_seconds()
        return left


def _forget_tidied() -> None:
    """What a kubeconfig holds itself the library writes into a file of ``/tmp``, once for ever: it made no
    other when that had been tidied away."""
    made: dict[str, str] = kube_config._temp_files
    for content, name in list(made.items()):
        if not Path(name).is_file():
            del made[content]


def proxy_of(configuration: Any) -> str | None:
    """The proxy for the API server: the kubeconfig's, else the environment's."""
    if configuration.proxy:
        return str(configuration.proxy)
    place = urlsplit(configuration.host)
    if urllib.request.proxy_bypass(place.hostname or ""):  # type: ignore[attr-defined,unused-ignore]
        return None
    return urllib.request.getproxies().get(place.scheme)


def _ground(configuration: Any) -> str:
    """A digest of what connections are made of: the address, and the content of the certificates."""
    told = (configuration.host, configuration.verify_ssl, configuration.tls_server_name, configuration.proxy)
    digest = hashlib.sha256(repr(told).encode())
    for name in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        digest.update(b"\0" + (Path(name).read_bytes() if name else b""))
    return digest.hexdigest()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
