"""Write expected.yaml, the end that `make run` must reach: `python make_expected.py [FILE]`.

It is worked out from what was planted, never from a run: the faults in faults.yaml, the broken and
the hungry traits in make_data.py, and the retry rules in traits.yaml. A test keeps the committed
file equal to what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_data import CONSTANT_TRAIT, PERMUTED_TRAIT, TEXT_TRAIT
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
HEADER = """\
# How the sweep must end, task by task. Written by make_expected.py; `make run` compares.
#   found                  tasks of the batch: succeeded + failed
#   succeeded              tasks whose newest attempt completed
#   succeeded_after_retry  those of them that took more than one attempt
#   failed                 tasks whose newest attempt did not complete
#   retried                tasks with more than one attempt
#   skipped                failed tasks that no rule retried
"""


@dataclass(frozen=True)
class End:
    """How one task ends."""

    status: str
    verdict: str
    attempts: int

    @property
    def succeeded(self) -> bool:
        """Whether its newest attempt completed."""
        return self.status == "completed"


def end_of(index: int, broken_mounts: int | str, mount_retries: int) -> End:
    """The end of one trait; no two faults are planted in the same one."""
    if index in (TEXT_TRAIT, CONSTANT_TRAIT):
        return End("error", "configuration-error", 1)
    if index == PERMUTED_TRAIT:
        return End("completed", "succeeded", 2)  # twice the memory is enough
    if broken_mounts == "always" or int(broken_mounts) > mount_retries:
        return End("error", "mount-failure", 1 + mount_retries)
    return End("completed", "succeeded", 1 + int(broken_mounts))


def totals(ends: Iterable[End]) -> dict[str, int]:
    """The report's sums, as the header defines them."""
    ends = list(ends)
    return {
        "found": len(ends),
        "succeeded": sum(end.succeeded for end in ends),
        "succeeded_after_retry": sum(end.succeeded and end.attempts > 1 for end in ends),
        "failed": sum(not end.succeeded for end in ends),
        "retried": sum(end.attempts > 1 for end in ends),
        "skipped": sum(not end.succeeded and end.attempts == 1 for end in ends),
    }


def result(sums: dict[str, int]) -> str:
    """The batch's result."""
    if not sums["failed"]:
        return "completed"
    return "partial" if sums["succeeded"] else "failed"


def expected_ends(spec: dict[str, Any], faults: dict[str, Any]) -> dict[str, End]:
    """The end of every task, by its id."""
    tasks = spec["tasks"]["range"]
    broken = faults["mountFailures"][spec["name"]]
    (mount_rule,) = (rule for rule in spec["retry"] if rule["on"]["verdict"] == "mount-failure")
    return {
        str(index): end_of(index, broken.get(str(index), 0), mount_rule["limit"])
        for index in range(tasks["from"], tasks["to"] + 1)
    }


def load(name: str) -> Any:
    """A YAML file beside this one."""
    return YAML(typ="safe", pure=True).load(HERE / name)


def render() -> str:
    """The whole file, one line per task."""
    spec = load("traits.yaml")
    ends = expected_ends(spec, load("faults.yaml"))
    sums = totals(ends.values())
    lines = [f"batch: {spec['name']}", f"result: {result(sums)}", "totals:"]
    lines += [f"  {name}: {number}" for name, number in sums.items()]
    lines += ["tasks:"]
    lines += [
        f'  "{task}": {{status: {end.status}, verdict: {end.verdict}, attempts: {end.attempts}}}'
        for task, end in ends.items()
    ]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "expected.yaml"
    target.write_text(render(), encoding="utf-8")
