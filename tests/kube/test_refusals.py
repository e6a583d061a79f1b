"""What a cluster refuses, for good or for a while: a clear word for each, and never a stopped loop."""

from __future__ import annotations

from tests.control_plane.jobs import manifest
from tests.kube.place import KubePlace, spec

QUOTAS = "/api/v1/namespaces/{}/resourcequotas"


def quota(place: KubePlace, what: str, most: str) -> str:
    """A quota in this namespace; its path."""
    path = QUOTAS.format(place.namespace)
    place.plane.admin.create(path, {"metadata": {"name": "tight"}, "spec": {"hard": {what: most}}})
    one = f"{path}/tight"
    place.until("the quota is counted", lambda: place.plane.admin.get(one).get("status", {}).get("hard"))
    return one


def test_a_quota_on_jobs_is_waited_for(place: KubePlace) -> None:
    """The create is refused (403), which heals: the job stays created, says why, and starts when it can."""
    path = quota(place, "count/jobs.batch", "1")
    place.drop(spec("tight", {"a": {"END": "never"}, "b": {"END": "never"}}, 2))
    place.start()
    place.until("one runs", lambda: "running" in place.statuses("tight").values())
    waits = next(name for name, status in place.statuses("tight").items() if status != "running")
    place.until("why", lambda: "exceeded quota" in place.job(waits).get("evidence", {}).get("message", ""))
    assert place.job(waits)["status"] == "created"
    assert "exceeded quota" in place.cli("explain", waits).out
    place.plane.admin.delete(path)
    place.is_(waits, "running")
    assert place.cli("cancel", "tight").code == 0
    place.over("tight")


def test_a_job_whose_pod_may_not_be_is_rejected(place: KubePlace) -> None:
    """PodSecurity refuses no Job, only its pod: after a while its events decide, and the rest goes on."""
    admin = place.plane.admin
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    admin.patch(f"/api/v1/namespaces/{place.namespace}", label)
    mount = {"mounts": [{"hostPath": "/hpi/data", "path": "/data"}]}
    place.configure(lifecycle={"no_pod_after": "2s"})
    place.know(most_auto=0)
    place.drop(spec("barred", {"a": {}}, 1, job=mount, maxAutoRetries=0))
    place.drop(spec("fine", {"a": {}}, 1))
    place.start()
    place.over("fine", "barred")
    job = place.job("barred-a")
    assert (job["status"], job["verdict"]) == ("error", "rejected")
    assert "violates PodSecurity" in " ".join(job["evidence"]["events"])


def test_a_name_that_is_somebody_elses(place: KubePlace) -> None:
    """A Job of others that takes a task's name in mid-run is neither touched nor counted as ours."""
    place.know(most_auto=0)
    place.drop(spec("taken", {"a": {"RUN_SECONDS": "3"}, "b": {}}, 1))
    place.start()
    place.is_("taken-a", "running")
    path = f"/apis/batch/v1/namespaces/{place.namespace}/jobs"
    made = place.plane.admin.create(path, manifest("taken-b", {"RUN_SECONDS": "1"}))
    place.strangers.add("taken-b")
    place.over("taken")
    assert place.job("taken-b")["verdict"] == "name-collision"
    theirs = place.plane.admin.get(f"{path}/taken-b")
    assert theirs["metadata"]["uid"] == made["metadata"]["uid"]
    assert "deletionTimestamp" not in theirs["metadata"]


def test_what_the_policy_forbids_is_never_created(place: KubePlace) -> None:
    """A namespace that the operator did not allow is refused beside the file, and nothing is written."""
    place.drop(spec("away", {"a": {}}, 1, namespace="kube-system"))
    place.start()
    told = place.tells("away.json", lambda told: told.get("refused"))
    assert "kube-system" in " ".join(told["refused"])
    assert place.job_objects() == []
