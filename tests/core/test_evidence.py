"""Evidence: bounded, printable and storable, whatever a program wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.evidence import (
    MAX_EVENTS,
    MAX_LOG_BYTES,
    MAX_MESSAGE_BYTES,
    evidence_of,
    head,
    printable,
    reasons,
    tail,
)
from controller.core.model import Evidence
from controller.core.sight import ClusterJob

ODD = st.text(st.characters(min_codepoint=0, max_codepoint=0x1F600), max_size=300)
ANY = st.one_of(ODD, st.sampled_from(["\ud800", "é" * 5000, "\x1b[31mred\x1b[0m", "\x00", "😀" * 3000]))


def job(**fields: object) -> ClusterJob:
    """An object with this evidence."""
    return ClusterJob(name="n", namespace="lab", uid="u", job_id="j", batch_id="b", **fields)  # type: ignore[arg-type]


def test_reasons_are_kept_once_and_found_again() -> None:
    """The pod's, the container's and the disruption's reasons are all there for a rule to match."""
    seen = job(
        pod_reason="Evicted", container_reason="OOMKilled", conditions=("PodScheduled", "DisruptionTarget")
    )
    kept = evidence_of(seen, "", ())
    assert kept.reason == "Evicted, OOMKilled, DisruptionTarget"
    assert reasons(kept) == {"evicted", "oomkilled", "disruptiontarget"}
    assert evidence_of(job(pod_reason="Error", container_reason="Error"), "", ()).reason == "Error"
    assert reasons(Evidence()) == set()


def test_the_end_of_the_log_and_the_newest_events_survive() -> None:
    """Bounds cut the old events and the log's beginning, and a message's end."""
    events = tuple(f"Event: {n}" for n in range(30))
    kept = evidence_of(job(events=events, message="start" + "x" * 9999), "x" * 9999 + "end", ("a", "b", "a"))
    assert kept.events == events[-MAX_EVENTS:]
    assert kept.log_tail.endswith("end")
    assert kept.message.startswith("start")
    assert kept.matched == ("a", "b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("a\x00b\x07c\x9bd", "abcd"),
        ("\ud800", "?"),
        ("grün 😀", "grün 😀"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Colours, control characters and half surrogates go; everything that is text stays."""
    assert printable(text) == shown


@given(ANY, ANY, st.lists(ANY, max_size=20))
def test_evidence_is_bounded_and_storable(message: str, log: str, events: list[str]) -> None:
    """No text, however odd or long, raises, exceeds its bound, or can't be encoded."""
    kept = evidence_of(job(message=message, events=tuple(events), pod_reason=message, node=log), log, ())
    assert len(kept.log_tail.encode()) <= MAX_LOG_BYTES
    assert len(kept.message.encode()) <= MAX_MESSAGE_BYTES
    assert len(kept.events) <= MAX_EVENTS
    assert len("".join((kept.reason, kept.node, *kept.events)).encode()) <= 10_000
    assert not set("".join((kept.log_tail, kept.message))) & set("\x00\x1b\r\x7f")


@given(ANY, st.integers(1, 50))
def test_cuts_keep_whole_characters(text: str, size: int) -> None:
    """A cut text is a piece of the printable whole: no half character, nothing invented."""
    assert printable(text[: size * 4]).startswith(head(text, size))
    assert printable(text[-size * 4 :]).endswith(tail(text, size))
