"""Is this process alive, and is it ready? Ages of heartbeats and good passes, judged at `now`.

`http` answers /livez and /readyz with it; `app`, the timetable and the watchers tell it what they see.
Livez looks at heartbeats only, those of the passes: one that can neither end nor be cut off is what a restart
heals, and a loop that hangs does not answer. It heals neither the cluster nor the store, so their health is
no matter of it; a watcher that dies ends the process by itself. Times are monotonic seconds, passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from controller.core.durations import format_duration

LEAST = timedelta(minutes=1)
"""Within which at least a heart must beat."""


@dataclass(frozen=True, slots=True)
class Check:
    """An answer to a probe, with its reason in one line."""

    good: bool
    why: str


@dataclass(slots=True)
class _Heart:
    """Something that must be heard of at least so often."""

    within: float
    at: float


@dataclass(slots=True)
class Health:
    """What is known of this process's health. One per process, told and asked on its loop."""

    first_pass: str = "reconcile"
    """The pass that must have gone well once before this process is ready to lead."""
    _hearts: dict[str, _Heart] = field(default_factory=dict)
    _passes: dict[str, float] = field(default_factory=dict)
    _store_trouble: str = "not connected to the store yet"
    _leading: bool | None = None
    _election: Callable[[], str] = lambda: ""

    # -- what it is told

    def expect(self, name: str, within: timedelta, now: float) -> None:
        """From now on this heart must beat at least so often."""
        self._hearts[name] = _Heart(within.total_seconds(), now)

    def expect_pass(self, name: str, interval: timedelta, timeout: timedelta | None, now: float) -> None:
        """From now on this pass must end in twice the time that it may take, at least in a minute: a machine
        may stand still for a while."""
        self.expect(name, max(LEAST, 2 * (interval + (timeout or interval))), now)

    def beat(self, name: str, now: float) -> None:
        """A pass has ended, however it did; unexpected ones are nobody's."""
        if name in self._hearts:
            self._hearts[name].at = now

    def pass_succeeded(self, name: str, now: float) -> None:
        """A pass of this name went through."""
        self._passes[name] = now

    def store_answered(self) -> None:
        """The store was reached."""
        self._store_trouble = ""

    def store_failed(self, why: str) -> None:
        """The store could not be reached."""
        self._store_trouble = " ".join(why.split()) or "the store cannot be reached"

    def leads(self, leading: bool) -> None:
        """This process leads, or stands by."""
        self._leading = leading

    def election(self, trouble: Callable[[], str]) -> None:
        """Whom to ask why the election is out of reach; empty: it is not."""
        self._election = trouble

    # -- what it is asked

    def pass_age(self, name: str, now: float) -> timedelta | None:
        """How long ago the last good pass of this name ended; None: there was none yet."""
        return timedelta(seconds=now - self._passes[name]) if name in self._passes else None

    def livez(self, now: float) -> Check:
        """Whether everything that should beat does. If not, a restart is the remedy."""
        late = [
            f"{name} silent for {_seconds(now - heart.at)}, at most {_seconds(heart.within)} allowed"
            for name, heart in sorted(self._hearts.items())
            if now - heart.at > heart.within
        ]
        return Check(not late, "; ".join(late) or "alive")

    def readyz(self, now: float) -> Check:
        """Whether requests can be answered and, if this process leads, work is being done."""
        if self._store_trouble:
            return Check(False, self._store_trouble)
        if not self._leading and (trouble := self._election()):
            return Check(False, f"nobody can be elected: {trouble}")
        if self._leading is None:
            return Check(False, "not decided yet who leads")
        if not self._leading:
            return Check(True, "standing by: another process leads")
        age = self.pass_age(self.first_pass, now)
        if age is None:
            return Check(False, f"the first {self.first_pass} pass has not gone through yet")
        return Check(True, f"leading; last good {self.first_pass} pass {_seconds(age.total_seconds())} ago")


def _seconds(seconds: float) -> str:
    """To the second: a probe's answer is read, not computed with."""
    return format_duration(timedelta(seconds=round(seconds)))
