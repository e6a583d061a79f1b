"""Events of batches as people see them on a real API server: closed reasons, each once, whatever happens."""

from __future__ import annotations

from collections import Counter
from typing import Any

from controller.core.notices import TELLS, Topic
from tests.e2e.waiting import wait_for
from tests.kube.place import QUICK, KubePlace, spec

SHORT = {"RUN_SECONDS": "0.3"}


def events(place: KubePlace, batch: str = "") -> list[dict[str, Any]]:
    """As ``kubectl get events`` shows them; of one batch, or of all that is ours."""
    found = place.plane.admin.get(f"/api/v1/namespaces/{place.namespace}/events")["items"]
    ours = [one for one in found if one["reportingComponent"] == "batchkeeper.io/controller"]
    return [one for one in ours if not batch or one["involvedObject"]["name"] == batch]


def told(place: KubePlace, batch: str, *topics: Topic) -> list[dict[str, Any]]:
    """The Events of a batch once these are there and nothing more is to be told."""

    def look() -> bool:
        there = {one["reason"] for one in events(place, batch)}
        return {topic.value for topic in topics} <= there and not place.parent(batch).get("notices")

    place.until(f"the events {topics} of {batch}", look)
    return events(place, batch)


def sound(place: KubePlace, batch: str) -> None:
    """At most eight, each reason once and of the enum, about the batch as its spec calls it."""
    found = events(place, batch)
    assert len(found) <= 8
    assert max(Counter(one["reason"] for one in found).values()) == 1
    for one in found:
        topic = Topic(one["reason"])
        assert one["type"] == ("Warning" if TELLS[topic].warning else "Normal")
        subject = one["involvedObject"]
        assert (subject["kind"], subject["apiVersion"]) == ("Batch", "batchkeeper/v1")
        assert subject["uid"] == str(place.parent(batch)["_id"])


def test_batches_from_acceptance_to_their_ends(place: KubePlace) -> None:
    """With the rights of the Role: accepted, at the cap, retries used up, finished, cancelled; a file that is
    no batch is told about as a spec."""
    tasks = {f"t{n}": SHORT for n in range(5)} | {"bad": {"END": "exit-2"}}
    place.drop(spec("scan", tasks, 3, retry=[{**QUICK[0], "limit": 1}]))
    place.drop(spec("stopped", {f"t{n}": {"END": "never"} for n in range(3)}, 2))
    (place.specs / "wrong.yaml").write_text("kind: Batch\n", encoding="utf-8")
    place.start()
    place.until("two run", lambda: len(place.jobs("stopped", status="running")) == 2)
    assert place.cli("cancel", "stopped").code == 0
    place.over("scan", "stopped")
    found = told(place, "scan", Topic.ACCEPTED, Topic.CAP_REACHED, Topic.RETRIES_EXHAUSTED, Topic.FINISHED)
    notes = {one["reason"]: one["message"] for one in found}
    assert notes["BatchAccepted"] == "6 tasks, at most 3 active"
    assert notes["CapReached"] == "3 of 3 places are taken"
    assert notes["RetriesExhausted"].startswith("scan-bad-r1 failed for good (mount-failure): all 1 retries")
    assert notes["BatchFinished"].startswith("5 of 6 tasks completed, 1 failed (mount-failure 1), after ")
    told(place, "stopped", Topic.ACCEPTED, Topic.CAP_REACHED, Topic.CANCELLED)
    for batch in ("scan", "stopped"):
        sound(place, batch)
    (refused,) = wait_for("the refusal", lambda: events(place, "wrong.yaml"))
    assert (refused["reason"], refused["type"]) == ("SpecRefused", "Warning")
    assert refused["involvedObject"]["kind"] == "Spec"


def test_killed_taken_over_and_started_again(place: KubePlace) -> None:
    """Two replicas, the leader killed while it runs and after its end, and once with an Event made and not
    noted: each Event is there once."""
    place.drop(spec("relay", {f"t{n}": SHORT for n in range(16)}, 4))
    running = [place.start(), place.start(wait=False)]
    place.until("some have ended", lambda: len(place.jobs("relay", status="completed")) >= 4)
    running[0].kill()
    place.over("relay")
    running[1].kill()
    place.start()
    before = told(place, "relay", Topic.ACCEPTED, Topic.CAP_REACHED, Topic.FINISHED)
    sound(place, "relay")
    parent = place.parent("relay")
    instant = {"at": parent["updated"], "due": parent["updated"]}
    again = {"topic": "BatchFinished", "channel": "event", "sentence": "again", "tries": 1, **instant}
    place.db["jobs"].update_one({"_id": parent["_id"]}, {"$set": {"notices": [again]}})
    after = told(place, "relay", Topic.FINISHED)
    assert [one["metadata"]["uid"] for one in after] == [one["metadata"]["uid"] for one in before]


def test_without_the_right_it_runs_all_the_same(place: KubePlace) -> None:
    """One warning at the start, one line when it was refused, and a batch that comes to its end."""
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place.namespace}/roles/batchkeeper"
    found = place.plane.admin.get(role)
    found["rules"] = [rule for rule in found["rules"] if "events.k8s.io" not in rule["apiGroups"]]
    place.plane.admin.patch(role, {"rules": found["rules"]})
    wait_for("the right is gone", lambda: not may_write(place))
    place.drop(spec("quiet", {"a": SHORT, "b": SHORT}, 2))
    daemon = place.start()
    place.all_well("quiet", 2)
    place.until("nothing is left to tell", lambda: not place.parent("quiet").get("notices"))
    assert events(place) == []
    (warned,) = daemon.said("events are not written")
    assert "may not create events.events.k8s.io" in warned["why"]
    refused = [line for line in daemon.said("told") if line["outcome"] == "refused"]
    assert len(refused) >= 2
    assert len([line for line in refused if "why" in line]) == 1


def may_write(place: KubePlace) -> bool:
    """Whether the daemon's account may make Events."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{place.namespace}:batchkeeper",
            "resourceAttributes": {
                "namespace": place.namespace,
                "verb": "create",
                "group": "events.k8s.io",
                "resource": "events",
            },
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(place.plane.admin.create(path, asked)["status"]["allowed"])
