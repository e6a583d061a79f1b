"""What people and platforms were answered: a request that is sent again is not carried out again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.people import Answer

ANSWERED_TWICE = "answered-twice"


@dataclass(slots=True)
class Answers:
    """Every retry that was named in an answer. Whoever asks again is told of the same one."""

    trouble: list[str]
    _named: dict[tuple[str, str], str] = field(default_factory=dict)
    """By request id and the id that was asked about."""

    def hear(self, request_id: str | None, answers: Iterable[Answer]) -> None:
        """The answers to one request; without an id each is a request of its own."""
        for answer in answers:
            if request_id is None:
                return
            named = self._named.get((request_id, answer.job_id))
            if named is None and answer.retry_id:
                self._named[request_id, answer.job_id] = answer.retry_id
            elif named and answer.retry_id != named:
                said = answer.retry_id or answer.error
                self.trouble.append(f"{ANSWERED_TWICE}: {answer.job_id} has {named}, and now {said}")
