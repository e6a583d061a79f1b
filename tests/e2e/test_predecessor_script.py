"""The bash scripts' own checklist: what ``submit-all-traits`` and ``retry-failed-traits`` meant to do."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters.local_history import CREATE, END
from tests.e2e.history import most_at_once, revision, starts, under
from tests.e2e.others import others
from tests.e2e.place import Document, Place
from tests.e2e.specs import batch

FLAKY = '[ "$BATCHKEEPER_ATTEMPT" -ge {} ] || exit 2'
"""A mount that is there from this attempt on."""


def gate_open(path: Path) -> str:
    """A job that ends once this file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def test_ten_jobs_at_most_five_never_more(shared: Place) -> None:
    """Ten jobs, five at a time: the cluster's own history shows five at once, and never a sixth."""
    shared.drop(batch("ten", {str(n): "sleep 0.3" for n in range(2, 12)}, most=5))
    shared.over("ten")
    assert most_at_once(shared.history(), lambda name: name.startswith("ten-")) == 5
    assert list(shared.statuses("ten")) == [f"ten-{n}" for n in range(2, 12)]
    assert set(shared.statuses("ten").values()) == {"completed"}
    assert shared.parent("ten")["result"] == "completed"


def test_only_the_prefix_counts(place: Place) -> None:
    """Others' jobs under the prefix take places away, the longest prefix wins; nobody else's count, and
    none is touched.

    With two places each, one is left to ``trait`` and one to ``trait-long``; ``traitor-1`` and ``else-1``
    are nobody's business. (A job that waits keeps ``trait-long`` unfinished: its prefix is its own as long.)
    """
    go = place.root / "go"
    does = {f"t{n}": "sleep 0.05" for n in range(3)}
    with others(place) as theirs:
        names = ["trait-x", "trait-long-x", "traitor-1", "else-1"]
        for name in names:
            theirs.start(name)
        place.drop(batch("trait-long", {**does, "t3": gate_open(go)}, most=2))
        place.start()
        place.is_("trait-long-t3", "running")
        place.drop(batch("trait", does, most=2))
        place.over("trait")
        go.touch()
        place.over("trait-long")
        assert all(theirs.runs(name) for name in names)
        for name, foreign in (("trait", "trait-x"), ("trait-long", "trait-long-x")):
            assert most_at_once(place.history(), under(f"{name}-t")) == 1
            assert [thing["name"] for thing in place.gate(name)["foreign"]] == [foreign]


def test_when_others_fill_the_batch_it_waits_and_says_so(place: Place) -> None:
    """With the last place taken by somebody else nothing starts; the status says why; it goes on as soon
    as that job is gone."""
    with others(place) as theirs:
        theirs.start("full-x")
        place.drop(batch("full", 2, most=1))
        place.start()
        told = place.tells("full.json", lambda told: "1 foreign" in " ".join(told.get("waits") or ()))
        assert told["foreign"] == 1
        assert place.statuses("full") == {"full-1": "waiting", "full-2": "waiting"}
        theirs.stop("full-x")
        place.over("full")
    assert set(place.statuses("full").values()) == {"completed"}


def test_at_the_limit_it_waits_and_resumes_when_a_job_ends(place: Place) -> None:
    """The third job stands in line while two run, and each end lets the next one in: by the news of the
    end, for the next periodic pass is an hour away."""
    place.configure(reconcile={"interval": "1h"})
    place.know(list_age=timedelta(hours=1.5))
    first, second = place.root / "first", place.root / "second"
    place.drop(batch("limit", {"a": gate_open(first), "b": gate_open(second), "c": "true", "d": "true"}, 2))
    place.start()
    place.is_("limit-a", "running")
    place.is_("limit-b", "running")
    told = place.tells("limit.json", lambda told: told["tasks"]["active"] == 2)
    assert told["activeJobsInBatch"] == "2 of 2"
    assert told["tasks"]["waiting"] == 2
    assert "2 of 2" in " ".join(told["waits"])
    assert place.statuses("limit")["limit-c"] == "waiting"
    first.touch()
    place.is_("limit-d", "completed")
    second.touch()
    place.over("limit")
    entries = place.history()
    assert revision(entries, END, "limit-a") < revision(entries, CREATE, "limit-c")
    assert revision(entries, END, "limit-c") < revision(entries, CREATE, "limit-d")


def test_exit_2_is_retried_and_exit_1_is_not(shared: Place) -> None:
    """A mount failure is retried three times and no more, each time after twice the wait; a configuration
    error never; and the report counts all of it, with reasons."""
    does = {
        "good": "true",
        "once": FLAKY.format(1),
        "twice": FLAKY.format(2),
        "never": "echo the mount is gone >&2; exit 2",
        "config": "exit 1",
    }
    shared.drop(batch("retries", does))
    shared.over("retries")
    jobs = shared.jobs("retries")
    ends = [(job["name"], job["status"], job["verdict"], job["exit_code"]) for job in jobs]
    failed = ("error", "mount-failure", 2)
    assert ends == [
        ("retries-good", "completed", "succeeded", 0),
        ("retries-once", *failed),
        ("retries-once-r1", "completed", "succeeded", 0),
        ("retries-twice", *failed),
        ("retries-twice-r1", *failed),
        ("retries-twice-r2", "completed", "succeeded", 0),
        ("retries-never", *failed),
        ("retries-never-r1", *failed),
        ("retries-never-r2", *failed),
        ("retries-never-r3", *failed),
        ("retries-config", "error", "configuration-error", 1),
    ]
    _backed_off(jobs)
    report = shared.cli("report", "retries", "-o", "json").json
    sums = {"found": 5, "succeeded": 3, "succeeded_after_retry": 2, "failed": 2, "retried": 3, "skipped": 1}
    assert report["totals"].items() >= sums.items()
    assert "limit" in report["tasks"]["never"]["reason"] or "3" in report["tasks"]["never"]["reason"]
    assert report["tasks"]["config"]["attempts"] == 1
    assert "the mount is gone" in shared.job("retries-never-r3")["evidence"]["log_tail"]


def _backed_off(jobs: list[Document]) -> None:
    """Retry n of a task waits 100 ms · 2ⁿ⁻¹ after the attempt before it, and at most a tenth more."""
    by_name = {job["name"]: job for job in jobs}
    for n, before in enumerate(["retries-never", "retries-never-r1", "retries-never-r2"]):
        waited = by_name[f"retries-never-r{n + 1}"]["not_before"] - by_name[before]["finished"]
        least = timedelta(milliseconds=100 * 2**n)
        assert least <= waited <= least * 1.1 + timedelta(milliseconds=1)


def test_no_failed_jobs(shared: Place) -> None:
    """Where nothing failed, asking for retries changes nothing and says so."""
    shared.drop(batch("fine", 3))
    shared.over("fine")
    ran = shared.cli("retry", "--batch", "fine")
    assert ran.code == 0
    assert "nothing to do" in ran.err + ran.out
    assert len(shared.jobs("fine")) == 3


def test_all_failed(shared: Place) -> None:
    """A batch of which everything fails ends as failed, and the report names every reason."""
    shared.drop(batch("doomed", {"a": "exit 1", "b": "exit 1", "c": "exit 3"}))
    shared.over("doomed")
    assert shared.parent("doomed")["result"] == "failed"
    report = shared.cli("report", "doomed", "-o", "json").json
    assert {task: end["verdict"] for task, end in report["tasks"].items()} == {
        "a": "configuration-error",
        "b": "configuration-error",
        "c": "application-error",
    }
    assert all(end["reason"] for end in report["tasks"].values())


def test_a_systemic_failure_holds_the_batch(shared: Place) -> None:
    """When ten first attempts ended alike the rest is not burnt: the batch is held until ``resume``."""
    shared.drop(batch("sick", {str(n): "exit 1" for n in range(16)}, most=2))
    told = shared.tells("sick.json", lambda told: told["state"] == "held")
    assert "systemic-failure" in told["reason"]
    assert "resume sick" in told["next"]
    shared.until("its jobs have ended", lambda: told_active(shared, "sick") == 0)
    burnt = [name for name, status in shared.statuses("sick").items() if status == "error"]
    assert 10 <= len(burnt) < 14
    assert shared.cli("resume", "sick").code == 0
    shared.over("sick")
    assert set(shared.statuses("sick").values()) == {"error"}


def told_active(place: Place, name: str) -> int:
    """How many jobs hold places in the batch's gate."""
    return len(place.gate(name)["holders"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["sigterm", "kill-9"])
def test_interrupted_and_started_again(place: Place, number: signal.Signals) -> None:
    """The daemon ends in the middle; its jobs run on; the next daemon finds them, and nothing runs twice."""
    go = place.root / "go"
    does = {f"w{n}": gate_open(go) for n in range(2)} | {f"q{n}": FLAKY.format(1) for n in range(3)}
    place.drop(batch("cut", does, most=2))
    daemon = place.start()
    for name in ("cut-w0", "cut-w1"):
        place.is_(name, "running")
    running = {name: place.job(name)["scheduler_id"] for name in ("cut-w0", "cut-w1")}
    if number is signal.SIGKILL:
        daemon.kill()
    else:
        assert daemon.stop() == 0
    go.touch()
    place.start()
    place.over("cut")
    assert {name: place.job(name)["scheduler_id"] for name in running} == running
    assert set(starts(place.history()).values()) == {1}
    assert most_at_once(place.history(), lambda name: True) == 2
    assert place.parent("cut")["result"] == "completed"


def test_a_dry_run_changes_nothing(place: Place) -> None:
    """``plan``, ``submit`` and the daemon say what would be done with ``--dry-run``, and do none of it."""
    spec = batch("dry", {"a": "true", "b": "exit 1", "c": "true"}, most=2)
    path = place.root / "dry.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    plan = place.cli("plan", str(path), "-o", "json")
    assert plan.code == 0
    assert place.cli("submit", str(path), "--dry-run").code == 0
    assert not place.parent("dry")
    assert place.cli("submit", str(path)).code == 0
    place.expect(spec)
    before = everything(place)
    would = place.cli("controller", "--dry-run", "-o", "json").json
    assert [(step["deed"], step["subject"]) for step in would if "dry-" in step["subject"]]
    assert everything(place) == before
    place.start()
    place.over("dry")
    place.start_no_more()
    ended = everything(place)
    assert place.cli("retry", "--batch", "dry", "--dry-run").code == 0
    assert place.cli("reap", "--dry-run").code == 0
    assert everything(place) == ended


def everything(place: Place) -> tuple[object, ...]:
    """All records, and all that ever happened in the cluster."""
    collections = sorted(place.db.list_collection_names(filter={"name": {"$not": {"$regex": "^system"}}}))
    records = [list(place.db[name].find().sort("_id")) for name in collections]
    return collections, records, place.history()
