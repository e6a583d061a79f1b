"""The next step of one attempt: each row of the lifecycle, and what nothing may bring about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.decide import UNSEEN, Act, Lifecycle, Move, Reason, Sight, next_move, open_creates
from controller.core.machine import TABLE, Event, Guard
from controller.core.model import ACTIVE, TERMINAL, Attempt, OpenCreate, Status, Stop, TerminatedCode, Verdict
from controller.core.reaping import Reaper, entered
from controller.core.sight import ClusterJob, Live
from tests.core.chains import NOW, root

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LIFE = Lifecycle()
QUEUED_OBJECT = ClusterJob("sweep-7", "lab", "u1", "7-0", "batch", pod_unfinished=True)
OPEN = (OpenCreate("t", NOW - MINUTE),)
STALE = (OpenCreate("t", NOW - LIFE.hold - SECOND),)
CANCEL = Stop("not needed", "ada", NOW, TerminatedCode.USER)
TOO_LATE = Stop(Verdict.START_TIMEOUT.value, "batchkeeper", NOW)
NEVER = frozenset({Event.VANISHED, Event.NEVER_CREATED})


def seen(**fields: Any) -> ClusterJob:
    """The attempt's object: queued, unless told otherwise."""
    return replace(QUEUED_OBJECT, **fields)


def live(job: ClusterJob | None = None, uid: str = "", pods: int = 0) -> Sight:
    """A live answer."""
    return Sight.answered(Live(1.0, job, uid, pods))


STARTED = seen(started_at=NOW)
DONE = seen(started_at=NOW, finished=True, pod_unfinished=False, succeeded=True, exit_code=0)
FAILED = replace(DONE, succeeded=False, exit_code=3)
HALF_TOLD = replace(DONE, succeeded=None, exit_code=None, half_told=True)
GOING = seen(deleting=True)
GRAVE = seen(uid="grave", tombstone=True, finished=True, pod_unfinished=False)
LISTED, GONE, TAKEN, BURIED = Sight.listed, live(), live(uid="x"), live(GRAVE)


def created(**fields: Any) -> Attempt:
    """An attempt with a place, whose create was not answered."""
    known: dict[str, Any] = {"status": Status.CREATED, "slot": 0, "created": NOW}
    return root(**(known | fields))


def queued(**fields: Any) -> Attempt:
    """An attempt that the cluster has accepted."""
    return created(**({"status": Status.QUEUED, "queued": NOW, "scheduler_id": "u1"} | fields))


def running(**fields: Any) -> Attempt:
    """An attempt whose container has started."""
    return queued(**({"status": Status.RUNNING, "running": NOW} | fields))


def over(**fields: Any) -> Attempt:
    """An attempt that has failed."""
    return running(**({"status": Status.ERROR, "slot": None, "finished": NOW} | fields))


def gist(move: Move | None) -> str:
    """What a move does, and what it writes."""
    if move is None:
        return "-"
    return f"{move.act} {move.change.event}" if move.change else str(move.act)


@pytest.mark.parametrize(
    ("job", "sight", "expected"),
    [
        # unseen, waiting: nothing
        (created(), UNSEEN, "-"),
        (queued(stop=CANCEL), UNSEEN, "-"),
        (over(), UNSEEN, "-"),
        (root(), LISTED(None), "-"),
        (root(), LISTED(STARTED), "-"),
        (root(), GONE, "-"),
        (root(stop=CANCEL), live(DONE), "-"),
        # absent from a list: only a look
        (created(), LISTED(None), "look"),
        (created(stop=CANCEL), LISTED(None), "look"),
        (queued(), LISTED(None), "look"),
        (running(), LISTED(None), "look"),
        (running(stop=CANCEL, tombstone=True), LISTED(None), "look"),
        (queued(), LISTED(GRAVE), "look"),
        (over(), LISTED(None), "-"),
        # created and absent: again, unless it is to stop or the name is taken
        (created(), GONE, "create"),
        (created(open_creates=OPEN), GONE, "create"),
        (created(), live(pods=1), "-"),
        (created(stop=CANCEL), GONE, "write never-created"),
        (created(stop=CANCEL, open_creates=STALE), GONE, "write never-created"),
        (created(stop=CANCEL, open_creates=OPEN), GONE, "bury"),
        (created(stop=CANCEL, open_creates=OPEN), TAKEN, "-"),
        (created(stop=CANCEL, open_creates=OPEN), BURIED, "write buried"),
        (created(stop=CANCEL, open_creates=OPEN, tombstone=True), BURIED, "write never-created"),
        (created(stop=CANCEL), live(pods=1), "-"),
        (created(stop=TOO_LATE), GONE, "write never-created"),
        (created(), TAKEN, "write collided"),
        (created(open_creates=STALE), TAKEN, "write collided"),
        (created(open_creates=OPEN), TAKEN, "write given-up"),
        (created(), BURIED, "write collided"),
        (created(created=NOW - HOUR - SECOND), GONE, "write overdue"),
        (created(created=NOW - HOUR), GONE, "create"),
        # created and there: accepted, whatever is to happen to it next
        (created(), LISTED(QUEUED_OBJECT), "write accepted"),
        (created(open_creates=OPEN), live(DONE), "write accepted"),
        (created(stop=CANCEL), LISTED(STARTED), "write accepted"),
        # lost: live, and every create settled
        (queued(), GONE, "write vanished"),
        (running(), GONE, "write vanished"),
        (running(open_creates=STALE), GONE, "write vanished"),
        (running(open_creates=OPEN, tombstone=True), BURIED, "write vanished"),
        (running(open_creates=OPEN), GONE, "bury"),
        (running(open_creates=OPEN), BURIED, "write buried"),
        (running(open_creates=OPEN), TAKEN, "-"),
        (running(), TAKEN, "write vanished"),
        (running(), live(pods=1), "-"),
        (running(stop=CANCEL), GONE, "write vanished"),
        (running(stop=CANCEL, open_creates=OPEN), GONE, "bury"),
        (running(stop=CANCEL, exit_code=0), GONE, "write ended"),
        # there and well
        (queued(), LISTED(QUEUED_OBJECT), "-"),
        (queued(), LISTED(STARTED), "write started"),
        (running(), LISTED(STARTED), "-"),
        (running(), LISTED(GOING), "-"),
        # another uid under the name: asked live, then followed
        (running(), LISTED(seen(uid="u2")), "look"),
        (running(), live(seen(uid="u2")), "write repointed"),
        (running(stop=CANCEL), live(replace(DONE, uid="u2")), "write repointed"),
        # finished, and half told: a look, whatever is to happen to it next
        (created(), LISTED(HALF_TOLD), "look"),
        (queued(), LISTED(HALF_TOLD), "look"),
        (running(), LISTED(HALF_TOLD), "look"),
        (running(stop=CANCEL), LISTED(HALF_TOLD), "look"),
        (over(), LISTED(HALF_TOLD), "look"),
        (root(), LISTED(HALF_TOLD), "-"),
        # finished
        (queued(), LISTED(DONE), "end"),
        (running(), LISTED(FAILED), "end"),
        (running(), LISTED(replace(FAILED, pod_unfinished=True)), "-"),
        (running(), live(FAILED, pods=1), "-"),
        (running(open_creates=OPEN), LISTED(FAILED), "end"),
        (running(stop=CANCEL), LISTED(FAILED), "end"),
        (running(stop=CANCEL, open_creates=OPEN), LISTED(FAILED), "delete"),
        (running(stop=CANCEL, open_creates=OPEN), LISTED(replace(FAILED, deleting=True)), "-"),
        (running(stop=CANCEL, open_creates=OPEN), LISTED(DONE), "write seen"),
        (running(stop=CANCEL, open_creates=OPEN, exit_code=0), LISTED(DONE), "delete"),
        (running(stop=CANCEL, open_creates=OPEN, tombstone=True), LISTED(FAILED), "end"),
        # after the end
        (over(), LISTED(STARTED), "look"),
        (over(), live(STARTED), "ghost"),
        (over(), live(replace(STARTED, pod_ended=True, pod_unfinished=False)), "-"),
        (over(), live(replace(STARTED, pod_ended=True, pod_unfinished=True)), "ghost"),
        (over(), live(GOING), "-"),
        (over(), live(seen(pod_unfinished=False)), "-"),
        (over(), live(seen(uid="u2", pod_unfinished=False)), "ghost"),
        (over(scheduler_id=""), live(seen(pod_unfinished=False)), "ghost"),
        (over(), LISTED(replace(DONE, pod_unfinished=True)), "look"),
        (over(), LISTED(DONE), "expire"),
        (over(), LISTED(replace(DONE, expiring=True)), "-"),
        (over(), LISTED(replace(FAILED, deleting=True)), "-"),
        (over(status=Status.COMPLETED), LISTED(replace(DONE, deleting=True)), "expire"),
        (over(), BURIED, "-"),
    ],
)
def test_a_row_of_the_lifecycle(job: Attempt, sight: Sight, expected: str) -> None:
    """What is known of record and object leads to this one step."""
    assert gist(next_move(job, sight, NOW, LIFE)) == expected


def next_of(job: Attempt, sight: Sight, life: Lifecycle = LIFE) -> Move:
    """The attempt's next step, which there is."""
    move = next_move(job, sight, NOW, life)
    assert move is not None
    return move


@pytest.mark.parametrize(
    ("fields", "ttl"),
    [
        ({}, LIFE.ttl),
        ({"open_creates": OPEN}, LIFE.hold),
        ({"open_creates": STALE}, LIFE.ttl),
        ({"open_creates": OPEN, "tombstone": True}, LIFE.ttl),
    ],
)
def test_an_object_is_kept_for_h_while_a_create_is_open(fields: dict[str, Any], ttl: timedelta) -> None:
    """A finished object keeps its name occupied for as long as a create of it may still land."""
    assert next_of(over(**fields), LISTED(DONE)).ttl == ttl


@pytest.mark.parametrize(
    ("job", "stop", "status", "verdict"),
    [
        (running(), None, Status.ERROR, Verdict.LOST),
        (running(), CANCEL, Status.TERMINATED, Verdict.CANCELLED),
        (running(), replace(CANCEL, code=TerminatedCode.AUTOMATION), Status.TERMINATED, Verdict.REAPED),
        (queued(), TOO_LATE, Status.ERROR, Verdict.START_TIMEOUT),
        (queued(), replace(TOO_LATE, why="words"), Status.ERROR, Verdict.UNKNOWN),
        (created(), CANCEL, Status.TERMINATED, Verdict.CANCELLED),
        (running(exit_code=0), CANCEL, Status.COMPLETED, Verdict.SUCCEEDED),
    ],
)
def test_the_end_of_what_is_gone(job: Attempt, stop: Stop | None, status: Status, verdict: Verdict) -> None:
    """What is gone ends as its stop says, is lost without one, and has succeeded if it was seen to."""
    change = next_of(replace(job, stop=stop), GONE).change
    assert change is not None
    assert (change.status, change.fields["verdict"]) == (status, verdict)


DEADLINE = root().job_input.start_deadline


@pytest.mark.parametrize(
    ("job", "found", "listed", "answered"),
    [
        (queued(), seen(scheduled_at=NOW - DEADLINE), "-", "-"),
        (queued(), seen(scheduled_at=NOW - DEADLINE - SECOND), "look", "write given-up"),
        (queued(queued=NOW - 9 * HOUR), seen(), "-", "-"),
        (queued(), seen(scheduled_at=NOW - HOUR, started_at=NOW), "write started", "write started"),
        (running(), seen(scheduled_at=NOW - HOUR, started_at=NOW), "-", "-"),
        (queued(stop=CANCEL), seen(scheduled_at=NOW - HOUR), "look", "delete"),
        (queued(queued=NOW - timedelta(days=14)), seen(), "-", "-"),
        (queued(queued=NOW - timedelta(days=15)), seen(), "look", "write overdue"),
        (running(running=NOW - timedelta(days=99)), STARTED, "-", "-"),
    ],
)
def test_what_is_late_is_asked_about_live(
    job: Attempt, found: ClusterJob, listed: str, answered: str
) -> None:
    """Start deadline and reaper order nothing by a list; they look first."""
    assert gist(next_move(job, LISTED(found), NOW, LIFE)) == listed
    assert gist(next_move(job, live(found), NOW, LIFE)) == answered


@pytest.mark.parametrize(
    "sight", [LISTED(seen(scheduled_at=NOW - HOUR)), live(seen(scheduled_at=NOW - HOUR))]
)
def test_nothing_is_late_while_clocks_disagree(sight: Sight) -> None:
    """With untrusted time neither the start deadline nor the reaper moves anything."""
    life = Lifecycle(reaper=Reaper(trusted=False))
    assert next_move(queued(queued=NOW - timedelta(days=99)), sight, NOW, life) is None


def test_the_start_deadline_says_what_kept_it_from_starting() -> None:
    """Its stop names the verdict and carries no code, since it is no termination."""
    found = seen(scheduled_at=NOW - HOUR, container_reason="ImagePullBackOff")
    move = next_of(queued(), live(found))
    assert move.change is not None
    stop = move.change.fields["stop"]
    assert (move.reason, stop.why, stop.code) == (Reason.START_DEADLINE, Verdict.IMAGE_PULL.value, None)


def test_the_reaper_repeats_what_it_read() -> None:
    """Its write carries the very instant of entering the status, and the limit, for the store to compare."""
    since = NOW - 5 * HOUR
    life = Lifecycle(reaper=Reaper(running_after=4 * HOUR))
    change = next_of(running(running=since), live(STARTED), life).change
    assert change is not None
    assert (change.entered, change.limit) == (since, 4 * HOUR)
    assert change.fields["stop"].code is TerminatedCode.AUTOMATION


def test_a_repointed_attempt_names_the_uid_it_had() -> None:
    """The store may follow the new object only if the record still points to the old one."""
    change = next_of(running(), live(seen(uid="u2", node="n"))).change
    assert change is not None
    assert (change.uid, change.fields) == ("u1", {"scheduler_id": "u2", "node": "n"})


# ------------------------------------------------------------------------------- any record, any sight

AGES = st.integers(0, 40 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes))
STOPS = st.builds(
    Stop,
    why=st.sampled_from(["words", *(v.value for v in Verdict)]),
    by=st.just("ada"),
    at=AGES,
    code=st.none() | st.sampled_from(TerminatedCode),
)
TOKENS = st.lists(st.builds(OpenCreate, st.sampled_from("abc"), AGES), max_size=2).map(tuple)
RECORDS = st.builds(
    root,
    status=st.sampled_from([s for s in Status if s is not Status.ESTIMATING]),
    scheduler_id=st.sampled_from(["", "u1", "u2"]),
    created=st.none() | AGES,
    queued=st.none() | AGES,
    running=st.none() | AGES,
    stop=st.none() | STOPS,
    open_creates=TOKENS,
    tombstone=st.booleans(),
    exit_code=st.none() | st.sampled_from([0, 1, 2, 137]),
)
OBJECTS = st.builds(
    seen,
    uid=st.sampled_from(["u1", "u2"]),
    tombstone=st.booleans(),
    deleting=st.booleans(),
    finished=st.booleans(),
    pod_unfinished=st.booleans(),
    expiring=st.booleans(),
    succeeded=st.none() | st.booleans(),
    exit_code=st.none() | st.sampled_from([0, 1, 2, 137]),
    scheduled_at=st.none() | AGES,
    started_at=st.none() | AGES,
)
LIVES = st.builds(live, st.none() | OBJECTS, st.sampled_from(["", "x"]), st.integers(0, 2))
LISTS = (st.none() | OBJECTS).map(LISTED)
SIGHTS = st.just(UNSEEN) | LISTS | LIVES
HOURS = st.none() | st.integers(0, 1000).map(lambda hours: hours * HOUR)
LIVES_OF = st.builds(Lifecycle, reaper=st.builds(Reaper, HOURS, HOURS, HOURS, st.booleans()))


def holds(guard: Guard, job: Attempt, move: Move, life: Lifecycle) -> bool:
    """Whether a guard of the written row is met by the very record that the decision read."""
    change = move.change
    assert change is not None
    is_open = open_creates(job, NOW, life)
    since = entered(job)
    facts = {
        Guard.STOP_UNSET: job.stop is None,
        Guard.STOP_SET: job.stop is not None,
        Guard.STOP_NOT_CODED: job.stop is None or job.stop.code is None,
        Guard.CREATES_SETTLED: job.tombstone or not is_open,
        Guard.NO_OPEN_CREATES: not is_open,
        Guard.SAME_UID: change.uid == job.scheduler_id,
        Guard.SAME_ENTRY: change.entered == since,
        Guard.PAST_LIMIT: since is not None and change.limit is not None and NOW - since > change.limit,
        Guard.OURS: not job.kind,
    }
    return facts[guard]


@given(RECORDS, SIGHTS, LIVES_OF)
def test_what_is_written_is_in_the_table(job: Attempt, sight: Sight, life: Lifecycle) -> None:
    """It never raises, and what it writes the store would take: row, fields, target and guards."""
    move = next_move(job, sight, NOW, life)
    if move is None or move.change is None:
        assert move is None or move.act is not Act.WRITE
        return
    change, row = move.change, TABLE[move.change.event]
    assert job.status in row.sources
    assert set(change.fields) <= row.writes
    assert change.status is None or change.status in row.targets
    assert change.status is not None or len(row.targets) < 2
    assert all(holds(guard, job, move, life) for guard in row.guards)
    if change.status in TERMINAL - {Status.COMPLETED}:
        coded = job.stop is not None and job.stop.code is not None
        assert coded == (change.status is Status.TERMINATED)


@given(RECORDS, SIGHTS, LIVES_OF)
def test_nothing_ends_while_a_pod_is_unfinished(job: Attempt, sight: Sight, life: Lifecycle) -> None:
    """An active record keeps its place for as long as any pod of it may still run."""
    pods = sight.pods or (sight.job and not sight.job.tombstone and sight.job.pod_unfinished)
    move = next_move(job, sight, NOW, life)
    if job.status in ACTIVE and pods and move:
        assert move.act is not Act.END
        assert move.change is None or move.change.status not in TERMINAL
        assert move.change is None or move.change.event not in NEVER


@given(RECORDS, LIVES_OF, st.none() | OBJECTS.map(lambda found: replace(found, tombstone=True)))
def test_absence_from_a_list_is_only_a_reason_to_look(
    job: Attempt, life: Lifecycle, grave: ClusterJob | None
) -> None:
    """Nothing is created, deleted, buried, written or ended because a list does not show it."""
    move = next_move(job, LISTED(grave), NOW, life)
    assert (move is None) if job.status not in ACTIVE else (move is not None and move.act is Act.LOOK)


@given(RECORDS, SIGHTS, LIVES_OF)
def test_waiting_and_unseen_never_move(job: Attempt, sight: Sight, life: Lifecycle) -> None:
    """What waits is the gate's business, and of what was not seen nothing is known."""
    assert next_move(replace(job, status=Status.WAITING), sight, NOW, life) is None
    assert next_move(job, UNSEEN, NOW, life) is None


@given(RECORDS, LISTS, LIVES_OF)
def test_a_list_destroys_nothing_that_runs(job: Attempt, sight: Sight, life: Lifecycle) -> None:
    """By a list alone only a finished object, of the very uid that the record has, is deleted or ended."""
    move = next_move(job, sight, NOW, life)
    if move and move.act in (Act.DELETE, Act.END, Act.GHOST, Act.BURY):
        assert sight.job is not None
        assert sight.job.finished
        assert move.uid == sight.job.uid == job.scheduler_id
