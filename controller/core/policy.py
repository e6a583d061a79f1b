"""The operator's policy: what specs may ask for. Where it disagrees with a spec, the operator wins.

Called by ``intake`` for every spec that was read, and by ``plan`` and ``validate``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from controller.core.problem import Problem
from controller.core.spec import BatchSpec

_ASK = "ask the operator to allow it"


@dataclass(frozen=True, slots=True)
class Policy:
    """The ``policy`` section of config.yaml, as ``config.policy`` makes it. Nothing said is nothing allowed,
    except where a field says otherwise.
    """

    namespaces: tuple[str, ...] = ()
    """Namespaces that specs may name, the default one among them. Empty: none."""
    images: tuple[str, ...] = ()
    """What an image must start with, one of these. Empty: any image."""
    host_path_prefixes: tuple[str, ...] = ()
    """Folders of which one must hold a host path. Empty: none, unless ``any_host_path``."""
    any_host_path: bool = False
    """On one machine jobs can read what their user can, whatever is said here."""
    service_accounts: tuple[str, ...] = ()
    """Empty: none."""
    secrets: tuple[str, ...] = ()
    """For ``envFromSecret`` and ``imagePullSecrets``. Empty: none."""


def breaches(spec: BatchSpec, policy: Policy) -> tuple[Problem, ...]:
    """Everything that the operator does not allow; each names the field and what is allowed."""
    return tuple(
        Problem(message, field=field)
        for field, message in (
            *_namespace(spec, policy),
            *_image(spec, policy),
            *_host_paths(spec, policy),
            *_service_account(spec, policy),
            *_secrets(spec, policy),
        )
    )


def image_allowed(image: str, prefixes: tuple[str, ...]) -> bool:
    """Whether the image starts with one of the prefixes, ending where a part of its name ends.

    So ``ghcr.io/example`` allows ``ghcr.io/example/tool`` but not ``ghcr.io/example-evil/tool``.
    """
    return any(
        image == prefix or (image.startswith(prefix) and (prefix[-1] in "/:@" or image[len(prefix)] in "/:@"))
        for prefix in prefixes
        if prefix
    )


def path_allowed(path: str, folders: tuple[str, ...]) -> bool:
    """Whether the path is one of the folders, or lies in one; ``..`` and doubled slashes change nothing."""
    wanted = _normal(path)
    return any(
        wanted == folder or wanted.startswith(folder.rstrip("/") + "/") for folder in map(_normal, folders)
    )


def _namespace(spec: BatchSpec, policy: Policy) -> Iterator[tuple[str, str]]:
    if spec.namespace not in policy.namespaces:
        allowed = _listed(policy.namespaces)
        yield "namespace", f"{spec.namespace!r} is not allowed here: {allowed}, or {_ASK}"


def _image(spec: BatchSpec, policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.images and not image_allowed(spec.job.image, policy.images):
        allowed = f"its name must start with {' or '.join(policy.images[:5])}"
        yield "job.image", f"{spec.job.image!r} is not allowed here: {allowed}, or {_ASK}"


def _host_paths(spec: BatchSpec, policy: Policy) -> Iterator[tuple[str, str]]:
    folders = policy.host_path_prefixes
    for number, mount in enumerate(spec.job.mounts):
        if mount.host_path and not (policy.any_host_path or path_allowed(mount.host_path, folders)):
            allowed = f"use a folder in {' or '.join(folders[:5])}" if folders else "none is"
            yield (
                f"job.mounts[{number}].hostPath",
                f"{mount.host_path!r} is not allowed here: {allowed}, or {_ASK}",
            )


def _service_account(spec: BatchSpec, policy: Policy) -> Iterator[tuple[str, str]]:
    account = spec.job.service_account
    if account and account not in policy.service_accounts:
        yield (
            "job.serviceAccount",
            f"{account!r} is not allowed here: {_listed(policy.service_accounts)}, or {_ASK}",
        )


def _secrets(spec: BatchSpec, policy: Policy) -> Iterator[tuple[str, str]]:
    for field, names in (
        ("envFromSecret", spec.job.env_from_secret),
        ("imagePullSecrets", spec.job.image_pull_secrets),
    ):
        for number, name in enumerate(names):
            if name not in policy.secrets:
                allowed = _listed(policy.secrets)
                yield f"job.{field}[{number}]", f"{name!r} is not allowed here: {allowed}, or {_ASK}"


def _listed(names: tuple[str, ...]) -> str:
    return f"use {' or '.join(names[:5])}" if names else "none is"


def _normal(path: str) -> str:
    """Without ``..``, doubled and trailing slashes; two slashes at the start are one."""
    return "/" + posixpath.normpath(path).lstrip("/")
