"""Verdicts: one case for each rule, one for each neighbour that it must not swallow, and totality."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Stop, TerminatedCode, Verdict
from controller.core.sight import ClusterJob
from controller.core.verdict import Admission, admission, exit_code_of, judge, start_failure

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FINISHED = ClusterJob(name="sweep-7", namespace="lab", uid="u", job_id="j", batch_id="b", finished=True)
NO_MOUNT = (
    'failed to create containerd task: OCI runtime create failed: error mounting "/hpi/data" to rootfs at '
    '"/data": no such file or directory'
)
NO_COMMAND = 'exec: "/mount/scan.py": stat /mount/scan.py: no such file or directory: unknown'
FAILED_MOUNT = 'FailedMount: MountVolume.SetUp failed for volume "data" : hostPath type check failed'
FORBIDDEN = 'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: violates PodSecurity "restricted"'
QUOTA = 'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: exceeded quota: pods, used: 50'
NOT_READY = 'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: not yet ready to handle request'
NO_RIGHT = (
    'FailedCreate: Error creating: pods is forbidden: User "system:serviceaccount:kube-system:job-controller'
    '" cannot create resource "pods" in API group "" in the namespace "lab"'
)
NO_ACCOUNT = (
    'FailedCreate: Error creating: pods "sweep-7-x" is forbidden: error looking up service account '
    'lab/default: serviceaccount "default" not found'
)
QUOTED_REFUSAL = f'FailedCreate: Error creating: admission webhook "x" denied the request: {NO_RIGHT}'
OWN_DISK = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi"
QUOTED = "Container main for pod lab/sweep-7-x failed with exit code {} matching FailJob rule at index 1"
QUOTED_DISRUPTION = "Pod lab/sweep-7-x has condition DisruptionTarget matching FailJob rule at index 0"


def job(**fields: Any) -> ClusterJob:
    """A finished object with this evidence."""
    return replace(FINISHED, **fields)


def ran(**fields: Any) -> ClusterJob:
    """A finished object whose container ran and failed."""
    return job(**({"succeeded": False, "started_at": NOW} | fields))


def by(code: TerminatedCode | None, why: str = "asked") -> Stop:
    """An order to stop."""
    return Stop(why, "ada", NOW, code)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        # exit codes
        (ran(succeeded=True, exit_code=0), Verdict.SUCCEEDED),
        (ran(exit_code=1), Verdict.CONFIGURATION_ERROR),
        (ran(exit_code=1, container_reason="Error"), Verdict.CONFIGURATION_ERROR),
        (ran(exit_code=2), Verdict.MOUNT_FAILURE),
        (ran(exit_code=3), Verdict.APPLICATION_ERROR),
        (ran(exit_code=139), Verdict.APPLICATION_ERROR),
        (ran(exit_code=-11), Verdict.APPLICATION_ERROR),
        (ran(exit_code=127), Verdict.APPLICATION_ERROR),
        # a success must be proven
        (job(succeeded=True, conditions=("Complete",)), Verdict.SUCCEEDED),
        (job(succeeded=True), Verdict.UNKNOWN),
        (ran(succeeded=True), Verdict.UNKNOWN),
        (ran(succeeded=True, exit_code=0, pod_reason="NodeShutdown"), Verdict.DISRUPTED),
        (ran(succeeded=True, exit_code=0, conditions=("DisruptionTarget",)), Verdict.SUCCEEDED),
        (ran(succeeded=True, exit_code=3), Verdict.APPLICATION_ERROR),
        (ran(succeeded=True, exit_code=3, conditions=("Complete",)), Verdict.APPLICATION_ERROR),
        (ran(exit_code=0), Verdict.UNKNOWN),
        # 137 has many causes
        (ran(exit_code=137), Verdict.UNKNOWN),
        (ran(exit_code=-9), Verdict.UNKNOWN),
        (ran(exit_code=143), Verdict.UNKNOWN),
        (ran(exit_code=137, container_reason="Error"), Verdict.UNKNOWN),
        (ran(exit_code=137, container_reason="ContainerStatusUnknown"), Verdict.UNKNOWN),
        (ran(exit_code=137, container_reason="OOMKilled"), Verdict.OUT_OF_MEMORY),
        (ran(exit_code=1, container_reason="OOMKilled"), Verdict.OUT_OF_MEMORY),
        (ran(container_reason="OOMKilled"), Verdict.OUT_OF_MEMORY),
        (ran(exit_code=137, pod_reason="Evicted"), Verdict.DISRUPTED),
        (ran(exit_code=137, pod_reason="Preempted"), Verdict.DISRUPTED),
        (ran(exit_code=137, pod_reason="NodeShutdown"), Verdict.DISRUPTED),
        (ran(exit_code=137, pod_reason="Terminated"), Verdict.DISRUPTED),
        (ran(pod_reason="NodeLost"), Verdict.DISRUPTED),
        (ran(exit_code=137, conditions=("DisruptionTarget",)), Verdict.DISRUPTED),
        (ran(exit_code=143, conditions=("DisruptionTarget",)), Verdict.DISRUPTED),
        (ran(exit_code=2, conditions=("DisruptionTarget",)), Verdict.DISRUPTED),
        (
            ran(exit_code=137, container_reason="OOMKilled", conditions=("DisruptionTarget",)),
            Verdict.DISRUPTED,
        ),
        # its own disk limit is not the node's fault
        (
            ran(pod_reason="Evicted", message=OWN_DISK),
            Verdict.APPLICATION_ERROR,
        ),
        (ran(pod_reason="Evicted", message="The node was low on resource: memory"), Verdict.DISRUPTED),
        # deadlines
        (ran(exit_code=137, pod_reason="DeadlineExceeded"), Verdict.DEADLINE),
        (ran(container_reason="DeadlineExceeded"), Verdict.DEADLINE),
        (job(pod_reason="DeadlineExceeded", events=(FAILED_MOUNT,)), Verdict.MOUNT_FAILURE),
        (ran(pod_reason="DeadlineExceeded", events=(FAILED_MOUNT,)), Verdict.DEADLINE),
        # mounts without an exit code
        (job(events=(FAILED_MOUNT,)), Verdict.MOUNT_FAILURE),
        (job(events=("FailedAttachVolume: Multi-Attach error",)), Verdict.MOUNT_FAILURE),
        (job(container_reason="FailedMount"), Verdict.MOUNT_FAILURE),
        (job(pod_reason="FailedMount", exit_code=128), Verdict.MOUNT_FAILURE),
        (ran(exit_code=7, events=(FAILED_MOUNT,)), Verdict.APPLICATION_ERROR),
        (job(exit_code=7, events=(FAILED_MOUNT,)), Verdict.APPLICATION_ERROR),
        (job(container_reason="StartError", exit_code=128, message=NO_MOUNT), Verdict.MOUNT_FAILURE),
        (job(container_reason="StartError", exit_code=128, message=NO_COMMAND), Verdict.APPLICATION_ERROR),
        (
            job(container_reason="StartError", exit_code=128, message=NO_COMMAND, events=(FAILED_MOUNT,)),
            Verdict.APPLICATION_ERROR,
        ),
        (job(container_reason="ContainerCannotRun", exit_code=127), Verdict.APPLICATION_ERROR),
        (ran(exit_code=128), Verdict.APPLICATION_ERROR),
        # images
        (job(container_reason="ImagePullBackOff"), Verdict.IMAGE_PULL),
        (job(container_reason="ErrImagePull"), Verdict.IMAGE_PULL),
        (job(container_reason="InvalidImageName"), Verdict.IMAGE_PULL),
        (job(container_reason="ImagePullBackOff", events=(FAILED_MOUNT,)), Verdict.IMAGE_PULL),
        # never admitted
        (job(events=(FORBIDDEN,)), Verdict.REJECTED),
        (job(events=(QUOTA,)), Verdict.UNKNOWN),
        (ran(exit_code=3, events=(FORBIDDEN,)), Verdict.APPLICATION_ERROR),
        # what only the job's condition still says
        (job(message=QUOTED.format(2)), Verdict.MOUNT_FAILURE),
        (job(message=QUOTED.format(1)), Verdict.CONFIGURATION_ERROR),
        (job(message=QUOTED_DISRUPTION), Verdict.DISRUPTED),
        # nothing
        (job(), Verdict.UNKNOWN),
        (job(succeeded=False, container_reason="Error"), Verdict.UNKNOWN),
    ],
)
def test_judge(seen: ClusterJob, verdict: Verdict) -> None:
    """Each kind of evidence, alone and beside what contradicts it, gives the documented verdict."""
    assert judge(seen, stop=None, started=seen.started).verdict is verdict


@pytest.mark.parametrize(
    ("seen", "stop", "verdict"),
    [
        (ran(exit_code=137), by(TerminatedCode.USER), Verdict.CANCELLED),
        (ran(exit_code=137), by(TerminatedCode.ADMIN), Verdict.CANCELLED),
        (ran(exit_code=137), by(TerminatedCode.BATCH_ABORT), Verdict.CANCELLED),
        (ran(exit_code=137), by(TerminatedCode.AUTOMATION), Verdict.REAPED),
        (ran(exit_code=2), by(TerminatedCode.USER), Verdict.CANCELLED),
        (ran(pod_reason="Evicted"), by(TerminatedCode.USER), Verdict.CANCELLED),
        (ran(succeeded=True, exit_code=0), by(TerminatedCode.USER), Verdict.SUCCEEDED),
        (ran(succeeded=True, exit_code=0), by(None, "start-timeout"), Verdict.SUCCEEDED),
        (job(), by(None, "mount-failure"), Verdict.MOUNT_FAILURE),
        (ran(exit_code=143), by(None, "start-timeout"), Verdict.START_TIMEOUT),
        (job(), by(None, "name-collision"), Verdict.NAME_COLLISION),
        (job(), by(None, "no such verdict"), Verdict.UNKNOWN),
    ],
)
def test_an_order_to_stop_decides(seen: ClusterJob, stop: Stop, verdict: Verdict) -> None:
    """R4: success in spite of it is success; any other end is what the order says."""
    assert judge(seen, stop=stop, started=True).verdict is verdict


def test_the_record_may_know_that_it_started() -> None:
    """Old mount events don't count against a container that the record saw running."""
    seen = job(pod_reason="DeadlineExceeded", events=(FAILED_MOUNT,))
    assert judge(seen, stop=None, started=True).verdict is Verdict.DEADLINE


def test_exit_2_keeps_its_doubt() -> None:
    """argparse exits 2 as well: the verdict stays, the sentence says what the log looks like."""
    usage = judge(
        ran(exit_code=2), log_tail="usage: scan.py [-h]\nscan.py: error: x", stop=None, started=True
    )
    plain = judge(ran(exit_code=2), log_tail="files not found", stop=None, started=True)
    assert usage.verdict is plain.verdict is Verdict.MOUNT_FAILURE
    assert "usage error" in usage.because
    assert "usage error" not in plain.because


@pytest.mark.parametrize("code", [137, -9])
def test_a_kill_and_a_log_about_memory(code: int) -> None:
    """137 alone is not out of memory; 137 after the program itself said so is."""
    ruling = judge(ran(exit_code=code), log_tail="std::bad_alloc", stop=None, started=True)
    assert ruling.verdict is Verdict.OUT_OF_MEMORY
    assert "bad_alloc" in ruling.because


def test_a_log_about_memory_alone_moves_nothing() -> None:
    """A program that handled its memory error and exited is judged by its exit code."""
    for code, verdict in ((1, Verdict.CONFIGURATION_ERROR), (3, Verdict.APPLICATION_ERROR)):
        assert judge(ran(exit_code=code), log_tail="MemoryError", stop=None, started=True).verdict is verdict


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (job(), Verdict.START_TIMEOUT),
        (job(container_reason="ContainerCreating"), Verdict.START_TIMEOUT),
        (job(container_reason="CreateContainerConfigError"), Verdict.START_TIMEOUT),
        (job(container_reason="ContainerCreating", events=(FAILED_MOUNT,)), Verdict.MOUNT_FAILURE),
        (job(events=(FAILED_MOUNT, "Pulling: Pulling image")), Verdict.MOUNT_FAILURE),
        (job(container_reason="ImagePullBackOff", events=(FAILED_MOUNT,)), Verdict.IMAGE_PULL),
        (job(events=(FAILED_MOUNT, "Failed: Failed to pull image x: 401")), Verdict.IMAGE_PULL),
        (job(events=("BackOff: Back-off pulling image x", FAILED_MOUNT)), Verdict.MOUNT_FAILURE),
        (job(events=("BackOff: Back-off restarting failed container",)), Verdict.START_TIMEOUT),
        (job(container_reason="CreateContainerError", message=NO_MOUNT), Verdict.MOUNT_FAILURE),
        (job(container_reason="CreateContainerError", message=NO_COMMAND), Verdict.START_TIMEOUT),
    ],
)
def test_start_failure(seen: ClusterJob, verdict: Verdict) -> None:
    """The present state speaks before events, newer events before older; a plain timeout is the rest."""
    assert start_failure(seen).verdict is verdict


@pytest.mark.parametrize(
    ("events", "answer"),
    [
        ((), None),
        ((FORBIDDEN,), Admission.REFUSED),
        ((QUOTA,), Admission.WAITS),
        ((FORBIDDEN, QUOTA), Admission.WAITS),
        ((NOT_READY,), Admission.WAITS),
        ((NO_RIGHT,), Admission.WAITS),
        ((NO_ACCOUNT,), Admission.WAITS),
        ((NO_ACCOUNT, FORBIDDEN), Admission.REFUSED),
        ((QUOTED_REFUSAL,), Admission.REFUSED),
        (('FailedCreate: admission webhook "x" denied the request: no',), Admission.REFUSED),
        (("FailedCreate: context deadline exceeded",), None),
        (("FailedMount: forbidden",), None),
    ],
)
def test_admission(events: tuple[str, ...], answer: Admission | None) -> None:
    """What heals is a wait, a refusal is for good, a busy API server says nothing."""
    assert admission(job(events=events)) is answer


def test_exit_code_from_the_condition_only_where_there_is_none() -> None:
    """A real exit code is never overruled by a message."""
    quoted = "failed with exit code 2 matching"
    assert exit_code_of(job(message=quoted)) == 2
    assert exit_code_of(job(message=quoted, exit_code=5)) == 5
    assert exit_code_of(job(message="failed")) is None


def test_a_sentence_is_one_short_line() -> None:
    """Whatever a message holds, the clause about it can stand in a table or a log line."""
    because = judge(
        job(container_reason="StartError", message="a\nb\x1b[31m" * 999), stop=None, started=False
    ).because
    assert "\n" not in because
    assert "\x1b" not in because
    assert len(because) < 260


WORDS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["OOMKilled", "Error", "Evicted", "NodeLost", "StartError", "Completed"]),
    st.sampled_from(["FailedMount", "ErrImagePull", "DeadlineExceeded"]),
    st.sampled_from([FAILED_MOUNT, FORBIDDEN, QUOTA, NO_MOUNT, "\ud800", "failed with exit code 9999"]),
)
JOBS = st.builds(
    ClusterJob,
    name=st.just("n"),
    namespace=st.just("lab"),
    uid=st.just("u"),
    job_id=st.just("j"),
    batch_id=st.just("b"),
    finished=st.booleans(),
    succeeded=st.none() | st.booleans(),
    exit_code=st.none() | st.integers(-64, 300),
    container_reason=WORDS,
    pod_reason=WORDS,
    conditions=st.lists(st.sampled_from(["DisruptionTarget", "PodScheduled", "Complete", "Failed"])).map(
        tuple
    ),
    message=WORDS,
    events=st.lists(WORDS, max_size=4).map(tuple),
    started_at=st.none() | st.just(NOW),
)
STOPS = st.none() | st.builds(by, st.none() | st.sampled_from(TerminatedCode), WORDS)


@given(JOBS, WORDS, STOPS, st.booleans())
def test_judge_is_total(seen: ClusterJob, log: str, stop: Stop | None, started: bool) -> None:
    """Whatever the evidence there is a verdict and a reason; success only where something proves it."""
    ruling = judge(seen, log_tail=log, stop=stop, started=started)
    assert isinstance(ruling.verdict, Verdict)
    assert ruling.because.strip()
    ruling.because.encode()
    if ruling.verdict is Verdict.SUCCEEDED and not (stop and stop.code is None):
        assert seen.succeeded
        assert exit_code_of(seen) in (0, None)
    if ruling.verdict in (Verdict.CANCELLED, Verdict.REAPED):
        assert stop is not None
    if seen.exit_code == 2 and seen.finished and not stop:
        assert ruling.verdict is not Verdict.CONFIGURATION_ERROR


@given(JOBS)
def test_start_failure_is_total(seen: ClusterJob) -> None:
    """A start that failed has one of three verdicts, whatever the evidence."""
    ruling = start_failure(seen)
    assert ruling.verdict in (Verdict.MOUNT_FAILURE, Verdict.IMAGE_PULL, Verdict.START_TIMEOUT)
    assert ruling.because
