"""The parts of an object that are read, in as little memory as they can have.

What lives in the cluster is held for every job, finished ones as long as the cluster keeps them; of an
object as it comes, managed fields and the pod template are nine tenths. Pure and total like
``kube_reading``: reading what is kept tells the same as reading the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_reading import dig, items, labels_of, meta, text
from controller.adapters.kube_render import MAIN

Json = Mapping[str, Any]

WORDS, LONGEST = 4096, 100
"""So many different texts are held once for all objects that have them; of at most so many characters."""
_META = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "finalizers")
_LABELS = frozenset(
    {
        labels.BATCH_ID,
        labels.TASK,
        labels.ATTEMPT,
        labels.JOB_ID,
        labels.INSTANCE,
        labels.TOMBSTONE,
        labels.EXPIRING,
        labels.MANAGED_BY,
    }
)
_OWNER = ("apiVersion", "kind", "name", "uid", "controller")
_SPEC = ("ttlSecondsAfterFinished", "suspend", "nodeName", "completions", "parallelism", "backoffLimit")
_STATUS = ("phase", "reason", "message", "completionTime")
_CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
_STATES = ("terminated", "waiting", "running")
_STATE = ("exitCode", "reason", "message", "startedAt", "finishedAt")


def kept(thing: Json) -> dict[str, Any]:
    """What of an object ``kube_reading`` and ``kube_foreign`` look at; a container that is not the job's is
    none of it."""
    about, spec, status = meta(thing), dig(thing, "spec"), dig(thing, "status")
    found: dict[str, Any] = _some(about, _META)
    if marks := {key: _shared(value) for key, value in labels_of(thing).items() if key in _LABELS}:
        found["labels"] = marks
    if owners := items(about, "ownerReferences"):
        found["ownerReferences"] = [_some(one, _OWNER) for one in owners]
    wanted = _some(spec, _SPEC)
    if rules := items(dig(spec, "podFailurePolicy"), "rules"):
        wanted["podFailurePolicy"] = _policy(tuple(text(rule, "action") for rule in rules))
    shown = _some(status, _STATUS)
    if conditions := [_some(one, _CONDITION) for one in _told(items(status, "conditions"))]:
        shown["conditions"] = conditions
    for one in items(status, "containerStatuses"):
        if text(one, "name") in (MAIN, ""):
            shown["containerStatuses"] = [_container(one)]
            break
    return {"metadata": found, "spec": wanted, "status": shown}


def _told(conditions: Iterable[Json]) -> Iterable[Json]:
    """Those that say something: what is so, and why a pod has no node."""
    return (one for one in conditions if one.get("status") == "True" or one.get("type") == "PodScheduled")


def _container(status: Json) -> Json:
    state = dig(status, "state")
    told = {key: _some(dig(state, key), _STATE) for key in _STATES if key in state}
    return _some(status, ("imageID",)) | {"state": told}


def _some(thing: Json, keys: Iterable[str]) -> dict[str, Any]:
    return {key: _shared(thing[key]) for key in keys if key in thing}


def _shared(value: Any) -> Any:
    return _same(value) if type(value) is str and len(value) <= LONGEST else value


@lru_cache(WORDS)
def _same(word: str) -> str:
    """The text that was seen first: node names, reasons, times and most labels come again and again."""
    return word


@lru_cache(64)
def _policy(actions: tuple[str, ...]) -> Json:
    return {"rules": [{"action": action} for action in actions]}
