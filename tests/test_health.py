"""Alive and ready: two different questions, each with its reason."""

from datetime import timedelta

import pytest

from controller.health import Check, Health

SECOND = timedelta(seconds=1)


def test_alive_when_nothing_is_expected() -> None:
    """A process that expects no heartbeat is alive."""
    assert Health().livez(0) == Check(True, "alive")


def test_a_heart_that_stops_is_named_with_its_silence() -> None:
    """Beyond its time a silent loop or watcher makes the process not alive, and says which."""
    health = Health()
    health.expect("loop", 5 * SECOND, now=100)
    health.expect("watch jobs", 70 * SECOND, now=100)
    assert health.livez(105).good
    assert health.livez(106) == Check(False, "loop silent for 6s, at most 5s allowed")
    health.beat("loop", 106)
    assert health.livez(111).good
    assert health.livez(200).why == (
        "loop silent for 1m34s, at most 5s allowed; watch jobs silent for 1m40s, at most 1m10s allowed"
    )


def test_a_pass_must_end_in_twice_its_time() -> None:
    """However it ends; one that never does is named. A short one has a minute, for a machine may stand still.
    What nobody expects beats for nobody."""
    health = Health()
    health.expect_pass("reconcile", 15 * SECOND, 60 * SECOND, now=0)
    health.expect_pass("sweep", 5 * SECOND, None, now=0)
    health.beat("status", 0)
    for now in range(0, 300, 60):
        assert health.livez(now).good is (now <= 150)
        health.beat("sweep", now)
        assert health.livez(now).good is (now <= 150)
    assert health.livez(285).why == "reconcile silent for 4m45s, at most 2m30s allowed"
    health.beat("reconcile", 290)
    assert health.livez(295).good


def test_alive_in_spite_of_store_and_cluster() -> None:
    """An outage of the others is no reason to restart this process."""
    health = Health()
    health.store_failed("connection refused")
    assert health.livez(1000).good


def test_ready_step_by_step() -> None:
    """Not ready until the store answers, the lead is decided and the first pass went through."""
    health = Health()
    assert health.readyz(0) == Check(False, "not connected to the store yet")
    health.store_answered()
    assert health.readyz(0) == Check(False, "not decided yet who leads")
    health.leads(True)
    assert health.readyz(0) == Check(False, "the first reconcile pass has not gone through yet")
    health.pass_succeeded("repair", 1)
    assert not health.readyz(1).good
    health.pass_succeeded("reconcile", 10)
    assert health.readyz(12) == Check(True, "leading; last good reconcile pass 2s ago")


def test_a_standby_is_ready() -> None:
    """Requests are answered by standbys too, so one is ready without a pass."""
    health = Health()
    health.store_answered()
    health.leads(False)
    assert health.readyz(0) == Check(True, "standing by: another process leads")


def test_a_standby_that_can_not_be_elected_says_why() -> None:
    """Nobody leads while the election is out of reach, so "another process leads" would be a guess; whoever
    leads is judged by its passes."""
    health, trouble = Health(), ["lease lab/batchkeeper: is the API server up?"]
    health.election(lambda: trouble[0])
    health.store_answered()
    health.leads(False)
    why = "nobody can be elected: lease lab/batchkeeper: is the API server up?"
    assert health.readyz(0) == Check(False, why)
    health.leads(True)
    health.pass_succeeded("reconcile", 0)
    assert health.readyz(0).good
    health.leads(False)
    trouble[0] = ""
    assert health.readyz(0).good


def test_an_outage_of_the_store_shows_and_heals() -> None:
    """While the store is away readyz says why, in one line, and is good again after it."""
    health = Health()
    health.store_answered()
    health.leads(True)
    health.pass_succeeded("reconcile", 0)
    health.store_failed("no primary:\n  connection refused")
    assert health.readyz(5) == Check(False, "no primary: connection refused")
    health.store_failed("")
    assert health.readyz(5) == Check(False, "the store cannot be reached")
    health.store_answered()
    assert health.readyz(5).good


@pytest.mark.parametrize(("at", "now", "age"), [(None, 5.0, None), (2.0, 5.5, timedelta(seconds=3.5))])
def test_the_age_of_a_pass(at: float | None, now: float, age: timedelta | None) -> None:
    """The age counts from the last good one; before the first there is none."""
    health = Health()
    if at is not None:
        health.pass_succeeded("reap", 0)
        health.pass_succeeded("reap", at)
    assert health.pass_age("reap", now) == age
