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
    _named: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """By request id and the id that was asked about: the retry, and when it was named first."""

    def hear(self, request_id: str | None, answers: Iterable[Answer], asked: float, now: float) -> None:
        """The answers to one request; without an id each is a request of its own.

        ``asked``, ``now``: monotonic seconds. Of two that were sent at once, one may still be refused for an
        id that the other one covers; what was asked after the answer may not.
        """
        if request_id is None:
            return
        for answer in answers:
            retry, at = self._named.get((request_id, answer.job_id), ("", now))
            if not retry and answer.retry_id:
                self._named[request_id or "", answer.job_id] = answer.retry_id, now
            elif retry and answer.retry_id != retry and (answer.retry_id or asked > at):
                said = answer.retry_id or answer.error
                self.trouble.append(f"{ANSWERED_TWICE}: {answer.job_id} has {retry}, and now {said}")
