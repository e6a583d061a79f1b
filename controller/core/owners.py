"""Whose a spec is: what the operator's map says, else the file's owner on this machine.

The map wins over the spec: an ``owner:`` that the map does not confirm is a problem, for otherwise a
spec could run in anybody's name. Without a map (one machine) ``owner:`` is shown and decides nothing.
In a bucket or a ConfigMap no file has an owner: what the map does not give to a user belongs to the store
itself, which is nobody (only admins may act on it), and an ``owner:`` needs a line of the map.
Called by ``reading`` for every spec, once its namespace is read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

LOCAL = "local:"
BUCKET = "s3:"
CONFIG_MAPS = "configmap:"
RESERVED = (LOCAL, BUCKET, CONFIG_MAPS)
"""How names begin that no token may give: of users of this machine, and of stores, which are nobody."""
ELSEWHERE = "://"
"""In the key of a spec that lies in no folder: ``s3://bucket/key``, ``configmap://namespace/name/key``. No
path of a folder has two slashes in a row, so no file can pass for one of those."""


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """One line of the operator's map: exactly one condition is set, and ``user`` owns what meets it."""

    user: str
    folder: str = ""
    """Below the watched folder; what lies deeper belongs to it too. ``.`` is the watched folder itself."""
    namespace: str = ""
    uid: int | None = None
    source: str = ""
    """A place in a bucket or among ConfigMaps, with all below it: ``s3://lab/specs/salk``."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a spec comes from. ``key``, ``uid`` and ``user`` as its source gave them.

    ``folder``: where it lies, from the watched folder; None: in no such folder, as one that was sent.
    """

    key: str
    namespace: str
    user: str
    uid: int | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Ownership:
    """``user`` decides permissions, ``shown`` is for people, ``problem`` refuses the spec."""

    user: str
    shown: str
    problem: str = ""


def ownership(rules: Sequence[OwnerRule], origin: Provenance, claimed: str = "") -> Ownership:
    """Whose the spec is. ``claimed`` is its ``owner:``, or empty. The first rule that applies decides."""
    if not rules and origin.user.startswith(LOCAL):
        return Ownership(origin.user, claimed or origin.user)
    rule = next((rule for rule in rules if _applies(rule, origin)), None)
    user = rule.user if rule else origin.user
    agrees = claimed in ("", user, user.removeprefix(LOCAL))
    return Ownership(user, user, "" if agrees else _disagreement(rule, origin, claimed))


def _applies(rule: OwnerRule, origin: Provenance) -> bool:
    if rule.uid is not None:
        return rule.uid == origin.uid
    if rule.namespace:
        return rule.namespace == origin.namespace
    if rule.source:
        return ELSEWHERE in origin.key and (origin.key + "/").startswith(rule.source.rstrip("/") + "/")
    if not rule.folder or origin.folder is None:
        return False
    return _is_below(origin.folder, posixpath.normpath(rule.folder))


def _is_below(folder: str, above: str) -> bool:
    return above == "." or folder == above or folder.startswith(above + "/")


def _disagreement(rule: OwnerRule | None, origin: Provenance, claimed: str) -> str:
    if rule is None:
        return (
            f"owner: {claimed!r} can't be confirmed: the operator's map (specs.owners) has no line for this "
            f"spec, which belongs to {origin.user}; leave owner out, or ask the operator for a line"
        )
    return (
        f"owner: {claimed!r} disagrees with the operator's map (specs.owners): {_what(rule)} belong to "
        f"{rule.user}; leave owner out, or write {rule.user}"
    )


def _what(rule: OwnerRule) -> str:
    if rule.uid is not None:
        return f"files of uid {rule.uid}"
    if rule.source:
        return f"specs in {rule.source}"
    return f"specs for namespace {rule.namespace}" if rule.namespace else f"specs in folder {rule.folder}"
