"""Each ending of the table is what the API server then shows, on the pod and on its Job."""

from __future__ import annotations

import pytest

from tests.control_plane.endings import ENDINGS, Ending
from tests.control_plane.jobs import Document, condition_of, ended, manifest, pods_of, submit
from tests.control_plane.nodes import NODES, placed
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for

ENDS = {name: ending for name, ending in ENDINGS.items() if not ending.waits and name != "never"}
KEPT = {name: ending for name, ending in ENDS.items() if not ending.deleted}
WAITS = {name: ending for name, ending in ENDINGS.items() if ending.waits}


@pytest.fixture(autouse=True)
def _simulated(control_plane: ControlPlane) -> None:
    if not control_plane.simulated:
        pytest.skip("the pods of this cluster do not end as they are told")


def test_every_ending_that_keeps_its_pod(control_plane: ControlPlane, namespace: str) -> None:
    """The pod shows phase, exit code, reasons and disruption as the table says, and its Job has ended."""
    for name in KEPT:
        submit(control_plane, namespace, manifest(name, {"END": name}))
    for name, ending in KEPT.items():
        condition = ended(control_plane, namespace, name)
        (pod,) = pods_of(control_plane, namespace, name)
        assert shown(pod) == expected(ending), name
        assert condition["type"] == ("Complete" if ending.exit_code == 0 else "Failed"), name
        if ending.disruption:
            assert "DisruptionTarget" in condition["message"], name
        elif ending.exit_code:
            assert f"exit code {ending.exit_code} " in condition["message"], name


def shown(pod: Document) -> Document:
    """What a pod's status says, in the words of the table."""
    status = pod["status"]
    states = [container["state"] for container in status.get("containerStatuses", ())]
    state = states[0].get("terminated", {}) if states else {}
    disruption = [entry["reason"] for entry in status["conditions"] if entry["type"] == "DisruptionTarget"]
    return {
        "phase": status["phase"],
        "pod": status.get("reason", ""),
        "exit": state.get("exitCode"),
        "container": state.get("reason", ""),
        "ran": state.get("startedAt", "1970") > "2000",
        "disruption": disruption[0] if disruption else "",
        "node": pod["spec"]["nodeName"] in NODES,
    }


def expected(ending: Ending) -> Document:
    """The same of the table itself."""
    has_status = ending.exit_code is not None
    return {
        "phase": ending.phase,
        "pod": ending.pod_reason,
        "exit": ending.exit_code,
        "container": ending.reason if has_status else "",
        "ran": has_status and ending.runs,
        "disruption": ending.disruption,
        "node": True,
    }


@pytest.mark.parametrize("name", [name for name in ENDS if name not in KEPT])
def test_endings_that_leave_no_pod(control_plane: ControlPlane, namespace: str, name: str) -> None:
    """The Job's condition keeps the evidence that went with the pod."""
    submit(control_plane, namespace, manifest(name, {"END": name}))
    condition = ended(control_plane, namespace, name)
    wait_for("the pod is gone", lambda: not pods_of(control_plane, namespace, name))
    assert condition["type"] == "Failed"
    wanted = "DisruptionTarget" if ENDS[name].disruption else f"exit code {ENDS[name].exit_code} "
    assert wanted in condition["message"]


def test_endings_that_never_start(control_plane: ControlPlane, namespace: str) -> None:
    """The container waits for the table's reason, its events are there, and the Job goes on."""
    for name in WAITS:
        submit(control_plane, namespace, manifest(name, {"END": name}))
    for name, ending in WAITS.items():
        pod = wait_for(f"{name} waits", lambda name=name: waiting(control_plane, namespace, name))  # type: ignore[misc]
        assert pod["status"]["phase"] == "Pending"
        state = pod["status"]["containerStatuses"][0]["state"]["waiting"]
        assert (state["reason"], state.get("message", "")) == (ending.reason, ending.message)
        wanted = {(event.reason, event.message) for event in ending.events}
        wait_for(f"events {wanted}", lambda wanted=wanted, pod=pod: wanted <= events(control_plane, pod))  # type: ignore[misc]
        assert condition_of(control_plane, namespace, name) is None


def waiting(plane: ControlPlane, namespace: str, job: str) -> Document | None:
    """The pod of a Job, once its container is known to wait."""
    return next(
        (pod for pod in pods_of(plane, namespace, job) if pod["status"].get("containerStatuses")), None
    )


def events(plane: ControlPlane, pod: Document) -> set[tuple[str, str]]:
    """The warnings about a pod."""
    found = plane.admin.get(
        f"/api/v1/namespaces/{pod['metadata']['namespace']}/events",
        fieldSelector=f"involvedObject.uid={pod['metadata']['uid']},type=Warning",
    )
    return {(event["reason"], event["message"]) for event in found["items"]}


def test_attempts_end_differently(control_plane: ControlPlane, namespace: str) -> None:
    """A list of endings is for attempt 0, 1, 2 …, and the last one for all later attempts."""
    for attempt in range(4):
        labels = {"batchkeeper.io/attempt": str(attempt)}
        job = manifest(f"a-{attempt}", {"END": "exit-2,oom,exit-0"}, labels)
        submit(control_plane, namespace, job)
    codes = []
    for attempt in range(4):
        ended(control_plane, namespace, f"a-{attempt}")
        (pod,) = pods_of(control_plane, namespace, f"a-{attempt}")
        codes.append(shown(pod)["exit"])
    assert codes == [2, 137, 0, 0]


def test_the_kubelets_deadline(control_plane: ControlPlane, namespace: str) -> None:
    """A pod that would run for longer ends by its own limit, one that would not by itself."""
    for name, run in (("long", "600"), ("endless", "0")):
        env = {"RUN_SECONDS": run, "END": "never" if name == "endless" else "exit-0"}
        submit(control_plane, namespace, manifest(name, env, activeDeadlineSeconds=1))
    submit(control_plane, namespace, manifest("short", {}, activeDeadlineSeconds=600))
    for name, reason in (("long", "DeadlineExceeded"), ("endless", "DeadlineExceeded"), ("short", "")):
        ended(control_plane, namespace, name)
        (pod,) = pods_of(control_plane, namespace, name)
        assert shown(pod)["pod"] == reason, name


def test_a_node_whose_mounts_fail(control_plane: ControlPlane, namespace: str) -> None:
    """What is scheduled to such a node never starts, whatever it asks for."""
    with control_plane.node(f"mounts-fail-{namespace[-10:]}", namespace) as name:
        submit(control_plane, namespace, manifest("scan", {"END": "exit-0"}, **placed(namespace)))
        pod = wait_for("it waits", lambda: waiting(control_plane, namespace, "scan"))
        assert pod["spec"]["nodeName"] == name
        wait_for("its event", lambda: {what for what, _ in events(control_plane, pod)} == {"FailedMount"})


@pytest.mark.parametrize(("word", "exit_code"), [("exit-143", 143), ("exit-0", 0), ("ignore", 137)])
def test_deleted_while_it_runs(
    control_plane: ControlPlane, namespace: str, word: str, exit_code: int
) -> None:
    """A pod that is deleted ends as its ON_TERM says; its last status is seen before it is gone."""
    job = manifest("stop", {"END": "never", "ON_TERM": word}, terminationGracePeriodSeconds=1)
    submit(control_plane, namespace, job)
    pod = wait_for("it runs", lambda: running(control_plane, namespace, "stop"))
    path = f"/api/v1/namespaces/{namespace}/pods"
    since = control_plane.admin.get(path)["metadata"]["resourceVersion"]
    control_plane.admin.delete(f"{path}/{pod['metadata']['name']}")
    codes = set()
    for event in control_plane.admin.watch(path, since):
        codes.add(shown(event["object"])["exit"])
        if event["type"] == "DELETED":
            break
    assert codes - {None} == {exit_code}


def running(plane: ControlPlane, namespace: str, job: str) -> Document | None:
    """The pod of a Job, once it runs."""
    return next(
        (pod for pod in pods_of(plane, namespace, job) if pod["status"].get("phase") == "Running"), None
    )


def test_a_lost_node(control_plane: ControlPlane, namespace: str) -> None:
    """The pods of a lost node are marked as disrupted and deleted, and stay: nobody there lets go of them."""
    with control_plane.node(f"lost-{namespace[-10:]}", namespace) as name:
        submit(control_plane, namespace, manifest("scan", {"END": "never"}, **placed(namespace)))
        wait_for("it runs", lambda: running(control_plane, namespace, "scan"))
        control_plane.lose_node(name)
        pod = wait_for("it is terminating", lambda: terminating(control_plane, namespace, "scan"))
        assert shown(pod)["disruption"] == "DeletionByTaintManager"
        assert pod["status"]["phase"] == "Running"


def terminating(plane: ControlPlane, namespace: str, job: str) -> Document | None:
    """The pod of a Job, once its deletion was asked for."""
    found = pods_of(plane, namespace, job)
    return next((pod for pod in found if "deletionTimestamp" in pod["metadata"]), None)


def test_evicted_through_the_api(control_plane: ControlPlane, namespace: str) -> None:
    """A drained pod carries the condition of the eviction API, and its Job has failed by it."""
    submit(control_plane, namespace, manifest("scan", {"END": "never"}))
    pod = wait_for("it runs", lambda: running(control_plane, namespace, "scan"))
    control_plane.evict(namespace, pod["metadata"]["name"])
    assert "DisruptionTarget" in ended(control_plane, namespace, "scan")["message"]


def test_torn_out(control_plane: ControlPlane, namespace: str) -> None:
    """A pod that goes without its Job having counted it is replaced by the Job, whatever its backoffLimit."""
    submit(control_plane, namespace, manifest("scan", {"END": "never"}))
    first = wait_for("it runs", lambda: running(control_plane, namespace, "scan"))["metadata"]
    control_plane.tear_out(namespace, first["name"])
    second = wait_for("another runs", lambda: running(control_plane, namespace, "scan"))["metadata"]
    assert second["uid"] != first["uid"]
    assert condition_of(control_plane, namespace, "scan") is None


def test_logs(control_plane: ControlPlane, namespace: str) -> None:
    """A pod's log is what its environment says, and can be asked for from its end."""
    submit(control_plane, namespace, manifest("said", {"LOG": "one\ntwo\nthree"}))
    ended(control_plane, namespace, "said")
    (pod,) = pods_of(control_plane, namespace, "said")
    log = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
    assert control_plane.admin.text(log) == "one\ntwo\nthree\n"
    assert control_plane.admin.text(log, tailLines="2") == "two\nthree\n"


def test_images_have_digests(control_plane: ControlPlane, namespace: str) -> None:
    """A container's status names the digest that it ran, the same for the same image."""
    for name in ("one", "two"):
        submit(control_plane, namespace, manifest(name))
    found = set()
    for name in ("one", "two"):
        ended(control_plane, namespace, name)
        (pod,) = pods_of(control_plane, namespace, name)
        found.add(pod["status"]["containerStatuses"][0]["imageID"])
    (digest,) = found
    assert digest.startswith("example.org/scan@sha256:")
    assert len(digest.partition("@sha256:")[2]) == 64
