"""What the daemon must be allowed to do, and the question to the API server whether it is.

``RULES`` is the single source: the Role in ``deploy/role.yaml`` says the same, and a test compares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD, Kind
from controller.adapters.kube_reading import dig, text
from controller.ports import BatchkeeperError, Unavailable


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource (with its subresource, as ``pods/log``); with ``name``: of that one object."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{kind} {self.name}" if self.name else kind


AT_ONCE = 16
"""Questions under way: of many namespaces they would wait for their turn longer than a request may take."""

RULES = (
    Right("batch", "jobs", ("create", "delete", "get", "list", "patch", "watch")),
    Right("", "pods", ("get", "list", "watch")),
    Right("", "pods/log", ("get",)),
    Right("", "events", ("list",)),
)
"""In every namespace that batches may be in."""
EVENT_RULES = (Right("events.k8s.io", "events", ("create",)),)
"""In every namespace that batches may be in, and with ``kubernetes.events`` only."""
SPEC_RULES = (Right("", "configmaps", ("list", "patch")),)
"""In the namespace of the ConfigMaps that hold specs, and with ``specs.configmaps`` only."""
REVIEW_RULES = (Right("authentication.k8s.io", "tokenreviews", ("create",)),)
"""In no namespace, and with ``auth.token_review`` only."""


def lease_rules(name: str) -> tuple[Right, ...]:
    """In the namespace of the Lease: others may have theirs there. What is not there yet has no name."""
    lease = Right("coordination.k8s.io", "leases", ("get", "update"), name)
    return (replace(lease, verbs=("create",), name=""), lease)


def rules_for(kinds: Iterable[Kind], *, watch: bool = True) -> tuple[Right, ...]:
    """``RULES``, and reading what else is counted; ``watch``: as ``kubernetes.watch`` says."""
    own = (replace(right, verbs=tuple(v for v in right.verbs if watch or v != "watch")) for right in RULES)
    more = (Right(kind.group, kind.resource, ("get", "list")) for kind in kinds if kind not in (JOB, POD))
    return (*own, *more)


async def check_access(
    client: KubeClient,
    kinds: Iterable[Kind],
    namespaces: Iterable[str],
    lease: tuple[str, str],
    spec_namespace: str = "",
    *,
    watch: bool = True,
) -> str:
    """Ask for every verb; returns who we are. Raises ``BatchkeeperError`` that names all that is missing.

    ``lease``: its namespace and its name; ``spec_namespace``: where ConfigMaps hold specs, empty: nowhere;
    ``watch``: whether it will watch.
    """
    rules = rules_for(kinds, watch=watch)
    wanted = [(right, namespace) for namespace in namespaces for right in rules]
    wanted += [(right, lease[0]) for right in lease_rules(lease[1])]
    wanted += [(right, spec_namespace) for right in SPEC_RULES if spec_namespace]
    questions = [(right, verb, namespace) for right, namespace in wanted for verb in right.verbs]
    limit = asyncio.Semaphore(AT_ONCE)

    async def answer(question: tuple[Right, str, str]) -> bool:
        async with limit:
            return await _allowed(client, *question)

    answers = await asyncio.gather(*map(answer, questions))
    who = await _who(client)
    missing = list(_told(question for question, ok in zip(questions, answers, strict=True) if not ok))
    if missing:
        raise BatchkeeperError(
            f"{who} may not {'; '.join(missing)}: bind the Role of deploy/role.yaml to it in these namespaces"
        )
    return who


async def check_reviews(client: KubeClient) -> str:
    """What is missing for token reviews and how to grant it, in one line; empty: nothing is.

    Jobs do not depend on it, so a daemon without it starts; only callers with the cluster's tokens wait.
    """
    (right,) = REVIEW_RULES
    if await _allowed(client, right, "create", ""):
        return ""
    return (
        f"{await _who(client)} may not create {right.resource}.{right.group} in the cluster: "
        "bind the ClusterRole of deploy/role.yaml to it, or set auth.token_review.enabled: off"
    )


async def check_events(client: KubeClient, namespaces: Iterable[str]) -> str:
    """What is missing for Events and how to grant it, in one line; empty: nothing is.

    No job depends on it, so a daemon without it starts; only those who look in the cluster see less.
    """
    (right,) = EVENT_RULES
    limit = asyncio.Semaphore(AT_ONCE)

    async def allowed(namespace: str) -> bool:
        async with limit:
            return await _allowed(client, right, "create", namespace)

    names = list(namespaces)
    answers = await asyncio.gather(*map(allowed, names))
    missing = [name for name, ok in zip(names, answers, strict=True) if not ok]
    if not missing:
        return ""
    return (
        f"{await _who(client)} may not create {right.resource}.{right.group} in {', '.join(missing)}: "
        "bind the Role of deploy/role.yaml to it there, or set kubernetes.events: false"
    )


def _told(missing: Iterable[tuple[Right, str, str]]) -> Iterator[str]:
    by_place: dict[tuple[str, str], list[str]] = {}
    for right, verb, namespace in missing:
        by_place.setdefault((str(right), namespace), []).append(verb)
    for (name, namespace), verbs in by_place.items():
        yield f"{', '.join(verbs)} {name} in {namespace}"


async def _allowed(client: KubeClient, right: Right, verb: str, namespace: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    asked: dict[str, Any] = {
        "namespace": namespace,
        "verb": verb,
        "group": right.group,
        "resource": resource,
    }
    if subresource:
        asked["subresource"] = subresource
    if right.name:
        asked["name"] = right.name
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    path = "apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await client.request("POST", path, body, resource="selfsubjectaccessreviews")
    return dig(answer, "status").get("allowed") is True


async def _who(client: KubeClient) -> str:
    """The name under which the API server knows us."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "apis/authentication.k8s.io/v1/selfsubjectreviews"
    try:
        answer = await client.request("POST", path, body, resource="selfsubjectreviews")
    except (Refused, Unavailable):  # it is served since Kubernetes 1.28
        return "this account"
    return text(dig(answer, "status", "userInfo"), "username") or "this account"
