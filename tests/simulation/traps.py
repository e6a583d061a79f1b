"""Which planted bug breaks which rule, trace, invariant or trap: none of them is there without one.

The labels are those of docs/lifecycle.md (rules R0–R13, traces A1–E) and of the invariants that the oracle
reports by their numbers. docs/proof.md shows this table; ``test_planted.py`` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RULES = tuple(f"R{number}" for number in range(14))
TRACES = tuple("A1 A2 A3 A4 A5 A7 A8 A10 B1 B2 B4 B5 F5 E".split())
INVARIANTS = tuple(f"invariant {number}" for number in range(1, 10))


@dataclass(frozen=True, slots=True)
class Trap:
    """What may go wrong, in a few words, and the planted bugs in which it does."""

    what: str
    bugs: tuple[str, ...]


TRAPS: Mapping[str, Trap] = {
    "R0": Trap("what can un-happen is acted on", ("slot freed on 404", "lost judged from the list")),
    "R1": Trap(
        "the gate does not bound",
        ("only running jobs count", "paused ignored", "maximum not asked again", "shut gate not asked again"),
    ),
    "R2": Trap(
        "others' jobs count wrongly",
        (
            "foreign not counted",
            "foreign object dropped unasked",
            "an old list will do",
            "any prefix will do",
            "prefix not anchored",
            "our own are counted as others'",
            "what is over goes on counting",
        ),
    ),
    "R3": Trap(
        "a place without its attempt, or the reverse",
        ("place given back", "a lost gate stays lost", "a lost gate forgets owed retries"),
    ),
    "R4": Trap(
        "the end is not the one and true one",
        (
            "terminal write while a pod lingers",
            "ended once its delete was asked",
            "success in spite of a stop is lost",
            "expires before it is recorded",
            "a second cancel takes the first one's place",
            "a success is called others'",
        ),
    ),
    "R5": Trap(
        "a create that is still under way is forgotten",
        (
            "timeout taken for a failure",
            "token removed on timeout",
            "burial skipped",
            "result expires while a create is open",
        ),
    ),
    "R6": Trap("lost is believed", ("lost judged from the list", "another uid is lost", "not seen is gone")),
    "R7": Trap(
        "a retry too soon, or too late",
        ("back-off ignored", "batch's end is now", "a back-off takes twice its time"),
    ),
    "R8": Trap(
        "a retry that nobody is owed, or one that is not given",
        (
            "exit 1 retried",
            "no-retry ignored",
            "retry counter without memory",
            "a person's retry resets nothing",
            "given up one retry early",
        ),
    ),
    "R9": Trap(
        "a lifecycle that is not complete",
        ("toggle before parents", "lists are no sets", "a retry of a retry", "a repair that never looks"),
    ),
    "R10": Trap(
        "the reaper's time is not time",
        ("reaper without compare-and-set", "outages count for the reaper"),
    ),
    "R11": Trap("absence from a list that is older than the record", ("lost judged from the list",)),
    "R12": Trap(
        "two decide",
        ("epoch ignored", "records not stamped", "two leaders take over", "half a stamp will do"),
    ),
    "R13": Trap(
        "a job of ours that nobody knows",
        (
            "ghost left alone",
            "what has just ended is a ghost",
            "an orphan is deleted",
            "an orphan is not counted",
            "an orphan with a waiting record is not counted",
        ),
    ),
    "A1": Trap("lost is judged while a create is in flight", ("slot freed on 404", "burial skipped")),
    "A2": Trap("the same by the reaper", ("slot freed on 404", "burial skipped")),
    "A3": Trap("a late create finds its finished twin's name", ("result expires while a create is open",)),
    "A4": Trap("a cancel frees on 404", ("slot freed on 404",)),
    "A5": Trap("max is lowered between plan and claim", ("maximum not asked again",)),
    "A7": Trap("others arrive between plan and claim", ("foreign not asked again",)),
    "A8": Trap("a namesake of what others ran", ("known by its name",)),
    "A10": Trap("a cancel between plan and claim", ("shut gate not asked again",)),
    "B1": Trap("ended early, then retried", ("ended once its delete was asked",)),
    "B2": Trap("a collision that vanishes before a late create", ("timeout taken for a failure",)),
    "B4": Trap("a child ends before its parents know of it", ("toggle before parents",)),
    "B5": Trap("exit 2 during a cancel", ("stop forgotten at the end",)),
    "F5": Trap("a live job of another uid", ("another uid is lost",)),
    "E": Trap("a stale leader writes", ("epoch ignored", "records not stamped")),
    "invariant 1": Trap("more run than may", ("only running jobs count", "limit over batches forgotten")),
    "invariant 2": Trap("two live jobs of a task", ("lost judged from the list", "a new name each time")),
    "invariant 3": Trap("retries beyond what is allowed", ("retry counter without memory", "exit 1 retried")),
    "invariant 4": Trap("a retry's four steps", ("toggle before parents", "lists are no sets")),
    "invariant 5": Trap("a batch that is over and is not", ("closed while a retry waits",)),
    "invariant 6": Trap(
        "what is not ours", ("foreign object deleted", "no uid precondition", "an orphan is deleted")
    ),
    "invariant 7": Trap("reaped, and not overdue", ("reaper without compare-and-set",)),
    "invariant 8": Trap("an older decision", ("epoch ignored",)),
    "invariant 9": Trap(
        "acts without seeing", ("an old list will do", "not seen is gone", "a refused namespace is empty")
    ),
    "clocks": Trap(
        "this machine's clock, or its zone, against the store's", ("own clock", "naive datetimes")
    ),
    "exit codes": Trap("137 says nothing of a mount", ("killed is a mount failure",)),
    "ends": Trap(
        "an end is called what its object did not show",
        (
            "exit 1 is unknown",
            "a failure is lost",
            "the exit code is left out",
            "a cancel is a reaping",
            "given up is lost",
        ),
    ),
    "names": Trap("a create that can't be repeated", ("a new name each time",)),
    "place and retry": Trap(
        "an end is followed up before its place goes", ("leaves before the retry is recorded",)
    ),
    "kill switch": Trap("a halt that stops nothing", ("halt ignored", "a halt keeps no create back")),
    "places": Trap("a place is taken for a leave to start", ("a full gate keeps no create back",)),
    "brake": Trap("the rest is burnt too, or held for nothing", ("the brake for five", "no brake")),
    "likeness": Trap(
        "a retry that is another task's, or another's", ("a retry runs another image", "a retry is another's")
    ),
    "taking over": Trap(
        "what others run is taken for ours",
        (
            "a gate is born open",
            "opened without a look",
            "taken over by prefix",
            "pending is taken over as ended",
            "ended is taken over as done",
            "place without its object",
            "taken over and counted as foreign",
            "hold lifted before the records",
            "half a take-over is forgotten",
            "taken over, then cancelled",
            "taken over, then reaped",
            "taken over, gone from the list",
        ),
    ),
    "haste": Trap(
        "what was not read is believed, and what was read for good",
        (
            "told before it is written",
            "a record that changed is not read again",
            "who has left still holds a place",
        ),
    ),
    "requests": Trap(
        "what is asked for again is done again",
        (
            "a request is another each time",
            "a request's id is forgotten",
            "a second cancel takes the first one's place",
            "a cancel is carried out again",
        ),
    ),
    "watches": Trap(
        "a watcher dies, and nobody minds",
        ("a stream that is over is not asked for again", "a dead ear is ignored", "nobody looks unless told"),
    ),
    "repair": Trap("what is left unfinished stays so", ("a repair that never looks",)),
    "telling": Trap(
        "people are told late, twice, or what is not so",
        ("dropped before it is delivered", "forgotten when told", "told in a write of its own"),
    ),
}


def table() -> str:
    """The table as docs/proof.md shows it."""
    rows = [f"| {label} | {trap.what} | {', '.join(trap.bugs)} |" for label, trap in TRAPS.items()]
    return (
        "\n".join(("| rule, trace, trap | what goes wrong | planted bugs |", "|---|---|---|", *rows)) + "\n"
    )


if __name__ == "__main__":
    from tests.simulation.planted_table import PROOF, rendered

    PROOF.write_text(rendered(PROOF.read_text("utf-8")), "utf-8")
