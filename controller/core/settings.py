"""The four fields of a spec that may change while its batch runs, and rules read back from them.

``intake`` keeps them on the batch parent as JSON data; every pass makes core's rules from that data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.core.durations import parse_duration
from controller.core.model import Verdict, When
from controller.core.quantities import parse_cpu, parse_memory
from controller.core.spec import Backoff, BatchSpec, Escalation, Match, RetryRule

CHANGEABLE = ("maxConcurrent", "paused", "priority", "retry")
MOST_CONCURRENT = 1_000_000
"""More jobs of a batch can't be asked for, however it is asked: in a spec, by command or over the API."""
ORDERS = ("adopt",)
"""Fields that ask for something to be done once: they may come and go with any later content."""


def settings_of(spec: BatchSpec) -> dict[str, Any]:
    """The changeable fields of a spec as JSON data, by their names in the file."""
    return {
        "maxConcurrent": spec.max_concurrent,
        "paused": spec.paused,
        "priority": spec.priority,
        "retry": spec.document.get("retry", []),
    }


_read: dict[str, tuple[RetryRule, ...]] = {}
_MOST_READ = 1000


def rules_of(retry: Sequence[Mapping[str, Any]]) -> tuple[RetryRule, ...]:
    """The rules of a ``retry`` value in its canonical form, named ``spec[0]``, ``spec[1]`` …

    Every look at a batch asks for them, so what was read once is kept, by what is written there.
    """
    written = repr(retry)
    rules = _read.get(written)
    if rules is None:
        if len(_read) >= _MOST_READ:
            _read.clear()
        rules = tuple(_rule(f"spec[{number}]", rule) for number, rule in enumerate(retry))
        _read[written] = rules
    return rules


def _rule(name: str, rule: Mapping[str, Any]) -> RetryRule:
    on, backoff = rule["on"], rule["backoff"]
    return RetryRule(
        name,
        Match(
            tuple(Verdict(verdict) for verdict in on.get("verdict", ())),
            tuple(on.get("exitCodes", ())),
            tuple(on.get("reasons", ())),
            on.get("logs", ""),
        ),
        rule["limit"],
        Backoff(parse_duration(backoff["base"]), float(backoff["factor"]), parse_duration(backoff["max"])),
        When(rule["when"]),
        {what: _escalation(what, growth) for what, growth in rule.get("resources", {}).items()},
    )


def _escalation(what: str, growth: Mapping[str, Any]) -> Escalation:
    most = growth.get("max")
    if most is not None and what != "gpu":
        most = parse_memory(most) if what == "memory" else parse_cpu(most)
    return Escalation(float(growth["factor"]), most)
