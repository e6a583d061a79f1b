"""A cluster that a kubeconfig names, instead of a control plane of our own. Called by ``fixtures``."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.control_plane.admin import Api
from tests.control_plane.building import Unavailable

Document = dict[str, Any]
USE = "USE_EXISTING_CLUSTER"
"""The variable of envtest that says so; ``KUBECONFIG`` alone asks for nothing."""


def asked_for(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the tests are to use a cluster that is there already."""
    return environment.get(USE, "").lower() in ("true", "1")


def config_elsewhere(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The kubeconfig of the cluster that the tests are to use; None: one of our own.

    Raises ``Unavailable`` when one is asked for and not named.
    """
    if not asked_for(environment):
        return None
    if not (named := environment.get("KUBECONFIG")):
        raise Unavailable(f"{USE} is set and KUBECONFIG is not: name the kubeconfig of the cluster to use")
    return Path(named)


def api_of(config: Path, folder: Path) -> Api:
    """The API as the user of the kubeconfig's current context; data in it is written into ``folder``.

    Raises ``Unavailable`` when the file can't be used.
    """
    try:
        read: Document = YAML(typ="safe", pure=True).load(config.read_text(encoding="utf-8"))
        context = _named(read["contexts"], read["current-context"])["context"]
        cluster = _named(read["clusters"], context["cluster"])["cluster"]
        user = _named(read["users"], context["user"])["user"]
    except (OSError, KeyError, TypeError, StopIteration, YAMLError) as error:
        raise Unavailable(f"KUBECONFIG={config} is no usable kubeconfig: {error!r}") from error
    authority = _file(cluster, "certificate-authority", folder)
    if authority is None:
        raise Unavailable(f"KUBECONFIG={config} names no certificate authority")
    certificate, key = _file(user, "client-certificate", folder), _file(user, "client-key", folder)
    pair = (certificate, key) if certificate and key else None
    token = user.get("token", "")
    if "tokenFile" in user:
        token = Path(user["tokenFile"]).read_text(encoding="utf-8").strip()
    return Api(cluster["server"], authority, token, pair)


def _named(entries: list[Document], name: str) -> Document:
    return next(entry for entry in entries if entry["name"] == name)


def _file(entry: Document, key: str, folder: Path) -> Path | None:
    if data := entry.get(f"{key}-data"):
        path = folder / key
        path.write_bytes(base64.b64decode(data))
        path.chmod(0o600)
        return path
    return Path(entry[key]) if key in entry else None
