"""What the recorder makes of a gap: revisions that no watch showed, and a list that shows where they led."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from controller.adapters import labels
from controller.core.model import Status
from tests.control_plane.admin import Api, Document, Refused
from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.recorder import JOBS, Recorder
from tests.e2e.waiting import wait_for
from tests.oracle.histories import attempt
from tests.oracle.history import Deed, Happened, Written
from tests.oracle.merging import merged

MARKS = {labels.MANAGED_BY: labels.MANAGER, labels.JOB_ID: "a"}
LAB = "/apis/batch/v1/namespaces/lab/jobs"


def job(name: str, revision: int, *, over: bool = False) -> Document:
    """A Job, as a list shows it."""
    about = {"name": name, "namespace": "lab", "uid": f"uid-{name}", "resourceVersion": str(revision)}
    conditions = [{"type": "Complete", "status": "True"}] if over else []
    return {"metadata": {**about, "labels": MARKS}, "spec": {}, "status": {"conditions": conditions}}


def pod(name: str, owner: str, revision: int) -> Document:
    """The pod of a Job, at its good end."""
    about = {"name": name, "namespace": "lab", "uid": f"uid-{name}", "resourceVersion": str(revision)}
    owners = [{"uid": f"uid-{owner}", "name": owner, "controller": True}]
    ran = {"state": {"terminated": {"startedAt": "2026-03-01T00:00:00Z"}}}
    status = {"phase": "Succeeded", "containerStatuses": [ran]}
    return {"metadata": {**about, "ownerReferences": owners, "labels": MARKS}, "status": status}


class Gapped:
    """An API server whose watches have all expired: only its lists tell anything."""

    def __init__(self) -> None:
        self.lists: dict[str, tuple[str, int, list[Document]]] = {}
        self.away = False

    def shows(self, path: str, kind: str, revision: int, *items: Document) -> None:
        """From now on this is what is there."""
        self.lists[path] = (kind, revision, list(items))

    def get(self, path: str) -> Document:
        """The list of that path."""
        if self.away:
            raise ConnectionRefusedError
        kind, revision, items = self.lists[path]
        return {"kind": f"{kind}List", "metadata": {"resourceVersion": str(revision)}, "items": items}

    def watch(self, path: str, revision: str) -> Iterator[Document]:
        """410 unless nothing was missed."""
        if self.away:
            raise ConnectionRefusedError
        if int(revision) < self.lists[path][1]:
            raise Refused(410, "Expired", "too old")
        yield from ()


def recording(api: Gapped, *paths: str) -> Recorder:
    """A recorder that has seen what is there."""
    found = Recorder(cast(Api, api), "lab", paths)
    found.start()
    return found


def test_an_end_in_a_gap_is_no_overlap() -> None:
    """The one ended and the next was created while nobody watched; the end is shown with a later revision,
    for its Job was touched once more: they were never there together."""
    api = Gapped()
    api.shows(LAB, "Job", 10, job("one", 9))
    recorder = recording(api, JOBS)
    api.shows(LAB, "Job", 20, job("one", 19, over=True), job("two", 15))
    wait_for("the gap is known", lambda: recorder.deaf)
    told = happenings(recorder.changes())
    recorder.stop()
    assert [(event.name, event.deed) for event in told] == [
        ("one", Deed.CREATED),
        ("one", Deed.ENDED),
        ("two", Deed.CREATED),
    ]
    assert most_at_once(told) == 1


def test_a_whole_life_in_a_gap_is_told_in_its_order() -> None:
    """A list shows a Job at its last revision, later than its pod's: it was created all the same, and ran."""
    pods = "/api/v1/namespaces/lab/pods"
    api = Gapped()
    api.shows(LAB, "Job", 10)
    api.shows(pods, "Pod", 10)
    recorder = recording(api, JOBS, "/api/v1/namespaces/{}/pods")
    api.shows(pods, "Pod", 20, pod("one-x", "one", 17))
    api.shows(LAB, "Job", 20, job("one", 19, over=True))
    told = happenings(recorder.changes())
    recorder.stop()
    assert [event.deed for event in told] == [Deed.CREATED, Deed.STARTED, Deed.ENDED]


def test_a_server_that_is_away_is_waited_for() -> None:
    """Who asks for all changes meanwhile waits, and is told them all."""
    api = Gapped()
    api.shows(LAB, "Job", 10, job("one", 9))
    recorder = recording(api, JOBS)
    api.away = True
    (collection,) = recorder._collections
    assert not collection.is_current()
    api.shows(LAB, "Job", 20, job("one", 9), job("two", 15))
    api.away = False
    assert [event.name for event in happenings(recorder.changes())] == ["one", "two"]
    recorder.stop()


def test_what_was_known_before_a_deaf_time_was_there() -> None:
    """The server was killed between its answer to the program and its word to the recorder, which heard of
    the start a quarter of an hour later: the record is no lie. Without a deaf time it would be one."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    runs = replace(attempt("a"), status=Status.RUNNING, scheduler_id="uid-one")
    known = Written(noon, runs)
    told = Happened(noon + timedelta(minutes=15), Deed.STARTED, "uid-one", "one", "lab", "a", ours=True)
    deaf = [(noon + timedelta(seconds=1), told.at - timedelta(seconds=0.5))]
    assert [type(entry) for entry in merged([known], [told], deaf=deaf)] == [Happened, Written]
    assert [type(entry) for entry in merged([known], [told])] == [Written, Happened]
