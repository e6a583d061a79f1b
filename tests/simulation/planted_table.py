"""How soon each planted bug is caught, from seed 0 on: the table of docs/proof.md, the long form of the test.

``python -m tests.simulation.planted_table [--within 1000] [--processes 2] [--only BUG …] [--write]``. The
exit code is 1 when one was not caught, or when its schedule is bad without it too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.oracle.invariants import Invariant
from tests.simulation import traps
from tests.simulation.answers import ANSWERED_TWICE
from tests.simulation.ears import DEAF
from tests.simulation.planted import BUGS, Bug, planted
from tests.simulation.planted_adoption import ADOPTION_BUGS
from tests.simulation.planted_brake import BRAKE_BUGS
from tests.simulation.planted_care import CARE_BUGS
from tests.simulation.planted_rules import RULE_BUGS
from tests.simulation.planted_speed import SPEED_BUGS
from tests.simulation.planted_telling import TELLING_BUGS
from tests.simulation.planted_truth import TRUTH_BUGS
from tests.simulation.play import Played, play
from tests.simulation.scenario import draw

ALL: tuple[Bug, ...] = (
    *BUGS,
    *RULE_BUGS,
    *ADOPTION_BUGS,
    *SPEED_BUGS,
    *TELLING_BUGS,
    *CARE_BUGS,
    *TRUTH_BUGS,
    *BRAKE_BUGS,
)
"""Every bug that schedules catch."""
PROOF = Path(__file__).parents[2] / "docs" / "proof.md"
WORDS: Mapping[str, str] = {
    Invariant.PLACES: "more places than the maximum, or none",
    Invariant.FOREIGN_COUNTED: "what others run is counted wrongly",
    Invariant.FOREIGN_DROPPED: "a live foreign object no longer counted",
    Invariant.FOREIGN_KEPT: "what is over goes on counting",
    Invariant.GATE_SHUT: "a place taken while the gate was shut",
    Invariant.SLOT: "a job or a slot twice",
    Invariant.ONE_LIVE: "two live jobs of a task",
    Invariant.ORDER: "an attempt before its turn",
    Invariant.COMPLETED_AGAIN: "a completed task ran again",
    Invariant.SLOT_FREED: "a place freed while its job was alive",
    Invariant.AFTER_END: "a job started after its record ended",
    Invariant.TOKEN: "a create that the record does not know",
    Invariant.NAME_FREE: "an attempt ended with its name free",
    Invariant.BUDGET: "more retries than the budget",
    Invariant.BACK_OFF: "back-off",
    Invariant.FORBIDDEN: "a forbidden retry",
    Invariant.LIKENESS: "a retry of something else",
    Invariant.BRAKE: "held for like failures wrongly, or not at all",
    Invariant.GIVEN_UP: "an owed retry not recorded",
    Invariant.TOGGLE: "a toggle before the lists",
    Invariant.LIFECYCLE: "a retry's lifecycle incomplete, or listed twice",
    Invariant.ONCE: "a request carried out twice",
    Invariant.TABLE: "a move that the table does not have",
    Invariant.IMMUTABLE: "an end changed",
    Invariant.TRUTH: "an end that is not the truth",
    Invariant.UNFINISHED: "something never ended, or was closed before its end",
    Invariant.REOPENED: "open again for nothing",
    Invariant.STRANGER: "something not ours was written to",
    Invariant.ADOPTION: "taken over wrongly",
    Invariant.UNORDERED: "deleted, or let expire, without an order",
    Invariant.REAPED: "reaped early",
    Invariant.EPOCH: "a stale leader's write",
    Invariant.CANCEL_LOST: "a cancel lost",
    Invariant.OUTAGE: "acted without seeing",
    ANSWERED_TWICE: "a request answered twice",
    DEAF: "a process that lives and hears nothing",
}
TROUBLE = "the engine's own alarm, or what people were told"
_PART = re.compile(r"(<!-- (planted|traps)[^>]*-->\n).*?(<!-- /\2 -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """How a hunt ended. ``schedules``: until it was caught; None: it was not."""

    bug: str
    schedules: int | None
    first: str
    innocent: bool

    def __str__(self) -> str:
        return f"| {self.bug} | {self.schedules or 'not caught'} | {self.first} |"


def hunt(bug: Bug, seeds: Iterable[int]) -> Played | None:
    """The first schedule in which the bug is found; one that only makes somebody crash proves nothing."""
    with planted(bug):
        for seed in seeds:
            played = play(replace(draw(seed), **bug.figures))
            if played.found:
                return played
    return None


def innocent(bug: Bug, caught: Played) -> Played:
    """The very same schedule without the bug."""
    return play(replace(draw(caught.seed), **bug.figures))


def broken_first(caught: Played) -> str:
    """In words: the first invariant that was broken."""
    return next((WORDS[one] for one in caught.invariants if one in WORDS and one in caught.found), TROUBLE)


def find(place: int, within: int) -> Found:
    """Hunt the bug at this place of ``ALL`` from seed 0 on."""
    bug = ALL[place]
    caught = hunt(bug, range(within))
    if caught is None:
        return Found(bug.name, None, "-", innocent=True)
    return Found(bug.name, caught.seed + 1, broken_first(caught), innocent(bug, caught).good)


def rendered(text: str, found: Sequence[Found] | None = None) -> str:
    """The document with its tables as they are now; what is not ``found`` anew stays as it is."""
    head = "| bug | schedules until it is caught | what is broken first |\n|---|---|---|\n"

    def part(match: re.Match[str]) -> str:
        if match[2] == "traps":
            return match[1] + traps.table() + match[3]
        if not found:
            return match[0]
        rows = {
            line.split("|")[1].strip(): f"{line}\n" for line in match[0].splitlines() if line.startswith("|")
        }
        rows |= {one.bug: f"{one}\n" for one in found}
        return match[1] + head + "".join(rows.get(bug.name, "") for bug in ALL) + match[3]

    return _PART.sub(part, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Hunt all of them; print, and write, the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted_table")
    parser.add_argument("--within", type=int, default=1000, help="schedules per bug")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[], metavar="BUG", help="the rows of others stay")
    parser.add_argument("--write", action="store_true", help="put the table into docs/proof.md")
    asked = parser.parse_args(argv)
    places = [place for place, bug in enumerate(ALL) if not asked.only or bug.name in asked.only]
    with multiprocessing.Pool(asked.processes, maxtasksperchild=1) as pool:
        hunts = [pool.apply_async(find, (place, asked.within)) for place in places]
        found = []
        for one in hunts:
            found.append(one.get())
            sys.stdout.write(f"{found[-1]}{'' if found[-1].innocent else ' NOT INNOCENT'}\n")
            sys.stdout.flush()
    if asked.write:
        PROOF.write_text(rendered(PROOF.read_text("utf-8"), found), "utf-8")
    return 0 if all(one.schedules and one.innocent for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
