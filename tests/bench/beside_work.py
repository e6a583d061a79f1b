"""What is given to each system that is measured beside Batchkeeper, and what is read of how it did.

Every figure is from the API server's audit log, for all of them alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.figures import percentile
from tests.bench.slots import Slots

Document = dict[str, Any]
HEADER = (
    "workload",
    "by",
    "time, s (ideal)",
    "slots used",
    "refill p50, ms",
    "refill p99, ms",
    "API requests per job",
    "at once, most (cap)",
    "starts above the cap",
    "what became of failures",
)


@dataclass(frozen=True)
class Work:
    """So many equal jobs, so many at a time."""

    what: str
    n: int
    at_once: int
    seconds: float
    """How long each runs."""
    pending: float = 0
    """How long each is Pending before it runs: images are pulled, nodes are found."""
    ends: Mapping[int, str] = field(default_factory=dict)
    """How those end that fail, by number, in the words of ``control_plane.endings``."""
    measured: int = 0
    """Ends after which the measurement is over; 0: all."""

    @property
    def until(self) -> int:
        """Ends that are waited for."""
        return self.measured or self.n

    @property
    def ideal(self) -> float:
        """Seconds to the end if starting cost nothing and everything succeeded."""
        return -(-self.until // self.at_once) * (self.pending + self.seconds)

    def env(self, number: int = -1) -> dict[str, str]:
        """The environment of a job, by which its simulated pod behaves."""
        asked = {"RUN_SECONDS": f"{self.seconds:g}", "START_SECONDS": f"{self.pending:g}"}
        return asked | ({"END": self.ends[number]} if number in self.ends else {})


HEALS, WRONG = "exit-2,exit-0", "exit-1"
"""A mount failure whose second attempt succeeds; a configuration error, which no attempt mends."""
GWAS = Work("186 jobs of 2 s, 50 at a time", 186, 50, 2)
HARD = Work(
    "9 jobs of 2 s, each 12 s Pending, 3 at a time; 2 mount failures, 1 configuration error",
    *(9, 3, 2, 12),
    ends={1: HEALS, 4: HEALS, 7: WRONG},
)


def many(full: bool) -> Work:
    """15,000 jobs, 500 at a time; less than ``full`` is the beginning of them."""
    measured = 0 if full else 1_500
    told = "" if full else f", until {measured:,} have ended"
    return Work(f"15,000 jobs of 15 s, 500 at a time{told}", 15_000, 500, 15, measured=measured)


@dataclass(frozen=True)
class Done:
    """What one system made of one workload."""

    work: Work
    by: str
    slots: Slots
    requests: float | None = None
    """Of the system's own, per job that ended."""
    failures: str = ""
    of: int = 0
    """Jobs that this was measured on, where they are fewer than the workload's."""

    def row(self) -> tuple[str, ...]:
        """As a line under ``HEADER``."""
        slots = self.slots.first(self.of or self.work.measured or len(self.slots.ends))
        # Where the cap is broken no start takes a certain end's place.
        refills = [] if slots.violations else slots.refills()
        ideal = f"{self.work.ideal:.0f}" if not self.of else f"the first {self.of} of {self.work.n}"
        return (
            self.work.what,
            self.by,
            f"{slots.span:.1f} ({ideal})",
            f"{100 * slots.utilisation(self.work.seconds + self.work.pending):.0f} %",
            f"{1000 * percentile(refills, 50):,.0f}" if refills else "–",
            f"{1000 * percentile(refills, 99):,.0f}" if refills else "–",
            "–" if self.requests is None else f"{self.requests:.1f}",
            f"{slots.most} ({slots.at_once})",
            f"{slots.violations}",
            self.failures or "–",
        )


def fate(pods: Sequence[Document]) -> str:
    """What became of the tasks that fail, from the pods that the cluster shows in the end.

    A task's pods are known by ``TASK`` in their environment, or by their index in an Indexed Job.
    """
    attempts: dict[str, list[Document]] = defaultdict(list)
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        attempts[_task(pod)].append(pod)
    mended = [_phase(tries[-1]) == "Succeeded" for tries in attempts.values() if _end(tries[0]) == HEALS]
    wrong = [len(tries) for tries in attempts.values() if _end(tries[0]) == WRONG]
    lost = mended.count(False)
    told = [f"{mended.count(True)} of {len(mended)} mount failures retried and well"]
    if lost:
        told.append(f"{lost} lost")
    if wrong:
        tries = max(wrong)
        told.append(
            "configuration error not retried" if tries == 1 else f"configuration error run {tries} times"
        )
    return ", ".join(told)


def _task(pod: Document) -> str:
    index = pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", "")
    return _variable(pod, "TASK") or f"{pod['metadata']['labels']['job-name']}/{index}"


def _end(pod: Document) -> str:
    return _variable(pod, "END")


def _variable(pod: Document, name: str) -> str:
    env = pod["spec"]["containers"][0].get("env", ())
    return next((str(one["value"]) for one in env if one["name"] == name and "value" in one), "")


def _phase(pod: Document) -> str:
    return str(pod.get("status", {}).get("phase", ""))
