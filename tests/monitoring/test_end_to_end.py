"""What Prometheus has at the end of a run is what the records and the cluster's own history say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from controller.adapters.local_history import CREATE
from tests.e2e.waiting import wait_for
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.story import MOST, Told


def agree(
    server: Prometheus, expression: str, labels: tuple[str, ...], expected: Mapping[Any, float]
) -> None:
    """Wait for the scrape that brings the last of it, then the numbers are these, and no others."""
    seen: dict[tuple[str, ...], float] = {}

    def look() -> bool:
        seen.clear()
        seen.update(server.by(expression, *labels))
        return seen == expected

    try:
        wait_for(expression, look, 20)
    except AssertionError:
        raise AssertionError(f"{expression}: Prometheus has {seen}, and it should be {expected}") from None


def records(run: Told) -> list[dict[str, Any]]:
    """Every attempt's record, with the name of its batch."""
    return [{**job, "batch": name} for name in MOST for job in run.place.jobs(name)]


def test_the_run_was_as_the_oracle_demands(run: Told) -> None:
    """Else nothing could be compared."""
    assert not run.place.judged().violations


def test_ends_by_batch_status_and_verdict(run: Told) -> None:
    """Each terminal record is counted once, under its own batch."""
    ends = Counter((job["batch"], job["status"], job["verdict"]) for job in records(run))
    assert {("late", "terminated", "reaped"), ("stopped", "terminated", "cancelled")} < set(ends)
    agree(run.prometheus, "batchkeeper_jobs_finished_total", ("batch", "status", "verdict"), dict(ends))


def test_retries_by_what_they_were_to_mend(run: Told) -> None:
    """Recorded by a rule, and what became of all that ran."""
    chains = {(job["batch"], job["task_id"], job["attempt"]): job for job in records(run)}
    expected = Counter[tuple[str, ...]]()
    for (name, task, attempt), job in chains.items():
        if not attempt:
            continue
        failed = str(chains[name, task, int(attempt) - 1]["verdict"])
        expected[failed, "succeeded" if job["status"] == "completed" else "failed"] += 1
        expected[failed, "recorded"] += job["origin"] == "auto"
    assert {verdict for verdict, _ in expected} == {
        "mount-failure",
        "configuration-error",
        "application-error",
    }
    wanted = {key: n for key, n in expected.items() if n}
    agree(run.prometheus, "batchkeeper_retries_total", ("verdict", "outcome"), dict(wanted))


def test_submissions_are_the_creates_of_the_history(run: Told) -> None:
    """As many as the cluster made objects: the tombstone under the reaped one's name is none."""
    made = [entry.name for entry in run.place.history() if entry.kind == CREATE]
    assert "late-created" not in made
    agree(run.prometheus, "batchkeeper_submissions_total", ("outcome",), {("created",): len(made)})


def test_reaped_repaired_and_refused(run: Told) -> None:
    """One of each happened, and one of each is told."""
    agree(run.prometheus, "batchkeeper_reaped_total", ("state",), {("created",): 1})
    (repaired,) = run.prometheus.ask("batchkeeper_repaired_total")
    assert 1 <= repaired.value <= len(run.daemon.said("repaired")), "on a busy machine a slow one, too"
    agree(run.prometheus, "batchkeeper_quarantined_specs", (), {(): 1})
    expected = {("accepted",): len(MOST), ("refused",): 1}
    agree(run.prometheus, "batchkeeper_specs_total", ("result",), expected)


def test_nothing_is_left(run: Told) -> None:
    """No job is active or waits, no lifecycle is open, nobody broke a rule, one leads."""
    for gauge in ("active_jobs", "waiting_jobs", "foreign_active_jobs", "retry_lifecycle_incomplete"):
        agree(run.prometheus, f"batchkeeper_{gauge}", (), {})
    for counter in ("invariant_violations_total", "reconcile_errors_total", "unknown_outcome_total"):
        agree(run.prometheus, f"batchkeeper_{counter}", (), {})
    agree(run.prometheus, "sum(batchkeeper_leader)", (), {(): 1})
    agree(run.prometheus, "batchkeeper_config_last_reload_successful", (), {(): 1})


def test_no_scrape_ever_showed_more_than_the_bound(run: Told) -> None:
    """In no scrape of the whole run, and work was seen: each bounded batch was seen at work."""
    shown = {
        gauge: {
            one.labels["batch"]: dict(one.samples) for one in run.prometheus.ask(f"batchkeeper_{gauge}[1h]")
        }
        for gauge in ("active_jobs", "max_concurrent")
    }
    assert set(shown["active_jobs"]) == set(MOST)
    for name, samples in shown["active_jobs"].items():
        bounds = shown["max_concurrent"][name]
        assert all(n <= bounds[at] for at, n in samples.items()), name
        assert set(bounds.values()) - {0.0} == {float(MOST[name])}
    assert max(shown["active_jobs"]["good"].values()) > 0


def test_places_that_were_taken_again(run: Told) -> None:
    """About as often as batches without failures have more tasks than places; more, for retries were due."""
    attempts = Counter(job["batch"] for job in records(run))
    least = sum(attempts[name] - MOST[name] for name in ("good", "wide"))
    (count,) = run.prometheus.ask("batchkeeper_slot_refill_seconds_count")
    # A pass that a slow store cuts off after its claim counts none; tests/engine/test_refills.py is exact.
    assert least / 2 <= count.value <= sum(attempts.values()) - len(MOST), attempts
    (spent,) = run.prometheus.ask("batchkeeper_slot_refill_seconds_sum")
    assert spent.value > 0


def test_the_rules_are_judged_without_an_error(run: Told) -> None:
    """Every alert is evaluated on real series; the reaper's one fires, and nobody is paged."""
    rules = run.prometheus.rules()
    assert not [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")]
    wait_for("the reaper's alert", lambda: "BatchkeeperReaperActing" in _firing(run.prometheus), 20)
    firing = {rule["name"]: rule["labels"]["severity"] for rule in rules if rule["state"] == "firing"}
    assert "critical" not in firing.values(), firing
    told = [alert["annotations"] for rule in rules for alert in rule["alerts"]]
    assert not [text for text in told if "error" in str(text).casefold() and "template" in str(text)]


def _firing(server: Prometheus) -> set[str]:
    return {rule["name"] for rule in server.rules() if rule["state"] == "firing"}
