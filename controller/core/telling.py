"""What follows for people from what happened to a batch, and in which words. Pure.

The plan asks ``happened`` and ``batch_deeds`` asks ``moved``, both before anything is written; ``teller``
asks for the words when it delivers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from controller.core.batches import BatchMove
from controller.core.durations import span
from controller.core.model import Attempt, Batch, BatchStatus, Gate, Hold, Verdict
from controller.core.notices import Channel, Topic
from controller.core.retry import RetryReason, decide_retry
from controller.core.view import View

SHOWN = 3
"""Problems of a refused spec that are quoted."""
_ENDS = {BatchStatus.FINISHED: Topic.FINISHED, BatchStatus.CANCELLED: Topic.CANCELLED}
Told = tuple[Topic, str]


def happened(view: View) -> Iterator[Told]:
    """What is so and was not yet told as an Event: from the records, never from memory of what was seen.

    An ended attempt shows it as long as it holds its place, so it is told, or remembered, before it leaves.
    """
    if Channel.EVENT not in view.channels or view.batch.status.closed:
        return
    for topic, sentence in _facts(view):
        if topic not in view.batch.told:
            yield topic, sentence


def _facts(view: View) -> Iterator[Told]:
    batch, gate = view.batch, view.gate
    if batch.status is not BatchStatus.EXPANDING:
        yield Topic.ACCEPTED, f"{_tasks(batch.tasks)}, at most {gate.max} active"
    if gate.free <= 0 and gate.holders:
        foreign = f", and {len(gate.foreign)} of others count" if gate.foreign else ""
        yield Topic.CAP_REACHED, f"{len(gate.holders)} of {gate.max} places are taken{foreign}"
    ended = [job for job in view.holders if job.status.terminal]
    reaped = next((job for job in ended if job.verdict is Verdict.REAPED), None)
    if reaped is not None:
        yield Topic.REAPED, f"{reaped.name} was reaped: {_why_reaped(reaped)}"
    if Topic.RETRIES_EXHAUSTED not in batch.told:
        yield from _exhausted(view, ended)


def _exhausted(view: View, ended: Sequence[Attempt]) -> Iterator[Told]:
    """The first task whose failure a rule matches, and which no rule tries again."""
    for job in ended:
        chain = view.chains.get(job.root_id, ())
        if not chain or chain[-1].id != job.id:
            continue
        decision = decide_retry(chain, view.rules, view.max_auto_retries, jitter=0.0)
        used_up = decision.because is RetryReason.LIMIT and decision.rule and decision.rule.limit > 0
        if used_up or decision.because is RetryReason.MAX_AUTO_RETRIES:
            yield (
                Topic.RETRIES_EXHAUSTED,
                f"{job.name} failed for good ({job.verdict}): {decision.sentence}",
            )
            return


def _why_reaped(job: Attempt) -> str:
    return job.error or (job.stop.why if job.stop else "it was stuck")


def moved(gate: Gate, move: BatchMove) -> Iterator[Told]:
    """What a batch parent's move tells: its end, or that it waits for somebody to put something right."""
    if move.status in _ENDS:
        yield _ENDS[move.status], move.sentence
    elif move.status is BatchStatus.HELD and gate.held_for(Hold.SYSTEMIC_FAILURE):
        yield Topic.SYSTEMIC_FAILURE, move.sentence.partition(": ")[2] or move.sentence


def refused(problems: Sequence[str]) -> str:
    """Why a spec is refused, in one line."""
    shown = "; ".join(problem.rstrip(".") for problem in problems[:SHOWN])
    rest = len(problems) - SHOWN
    return shown + (f"; and {rest} more" if rest > 0 else "")


# ----------------------------------------------------------------------------------------------- words


def end_line(sentence: str, failures: Mapping[Verdict, int], took: timedelta) -> str:
    """The report of a batch in one line. ``failures``: tasks that did not complete, by their verdict."""
    parts = [sentence]
    if number := sum(failures.values()):
        by = sorted(failures.items(), key=lambda item: (-item[1], item[0].value))
        parts.append(f"{number} failed (" + ", ".join(f"{verdict} {n}" for verdict, n in by) + ")")
    return ", ".join((*parts, f"after {span(took)}"))


def event_name(batch: Batch, topic: Topic) -> str:
    """The name of a batch's Event on a topic: always the same, so it can't be there twice."""
    return f"{batch.name}.{batch.id}.{topic.value.lower()}"


def slack_text(headline: str, line: str, link: str = "") -> str:
    """One message as Slack reads it; what comes from people can't mention anybody or hide a link."""
    text = f"*{escaped(headline)}*: {escaped(line)}"
    return f"{text} <{link}|open>" if link else text


def escaped(text: str) -> str:
    """Text whose control characters are shown and not obeyed (``<!channel>``)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tasks(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"
