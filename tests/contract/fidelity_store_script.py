"""Draws the store's part of the fidelity script: valid calls, and stale, repeated and refused ones.

It keeps a rough idea of each record, so that most calls could apply; what really becomes of them is for the
stores to say, and whether they agree for ``test_fidelity_store``.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import BatchStatus, Result, Status
from controller.core.notices import Channel, Topic
from tests.contract.fidelity import Operation
from tests.contract.fidelity_dice import Dice, Given, Known

SEED = 17
DEALT = {
    "change": 80, "changes_many": 10, "claim": 20, "take_over": 5, "leave": 9, "add_jobs": 20,
    "set_batch": 10, "set_setting": 4, "add_counts": 3, "recount": 3, "gates": 3, "set_gate": 10,
    "replace_hold": 5, "lift_cancel": 4, "ensure_gate": 3, "enter_foreign": 5, "drop_foreign": 4,
    "add_batch": 5, "batch": 3, "batches_with": 3, "recorded": 3, "batch_named": 3, "batches": 3,
    "batches_with_live_jobs": 3, "job": 3, "jobs": 3, "job_named": 3, "waiting": 5, "waiting_for_end": 4,
    "next_due": 4, "has": 4, "waiting_ids": 3, "active": 3, "roots": 3, "chain": 3, "roots_of": 3,
    "chains": 3, "find_jobs": 5, "list_children": 5, "list_retries": 5, "listed": 4, "toggle": 5,
    "unfinished_lifecycles": 3, "last_failures": 4, "set_quarantine": 5, "quarantine": 3, "nudge": 3,
    "untold": 3, "move_notice": 7, "requests": 5, "new_id": 3, "quarantined": 3, "now": 3, "next_epoch":
    4, "epoch": 3, "standing": 4, "stamp": 4, "halts": 3, "set_halt": 4, "note_good_pass": 5, "blind_gaps": 3,
}  # fmt: skip
"""How often each method is called; ``close`` comes once, at the end."""
HELD = "systemic-failure: 9 of 10 first attempts failed"
OPENED = {"paused": False, "cancel": None, "hold": None, "max": 8}
HOSTILE = ("$where", "a.b", "", "née ☃", "{$set: 1}")


class Drawer(Dice):
    """A method for each one of the port that takes arguments."""

    def draw(self) -> list[Operation]:
        """All operations on the store."""
        deck = [name for name, times in DEALT.items() for _ in range(times)]
        for name in ("next_epoch", "add_batch", "add_batch", "add_jobs", "add_jobs"):
            deck.remove(name)
        self._dice.shuffle(deck)
        first = ["next_epoch", "add_batch", "add_batch", "add_jobs", "add_jobs"]
        return [*(self._one(name) for name in (*first, *deck)), {"do": "close"}]

    def _one(self, name: str) -> Operation:
        # "batches" and "jobs" are also what it knows.
        drawer: Callable[[], Operation] = getattr(
            self, f"_{name}_" if name in ("batches", "jobs") else f"_{name}", dict
        )
        return {"do": name, **drawer()}

    # ------------------------------------------------------------------------- leadership, what holds

    def _next_epoch(self) -> Operation:
        self._newest += 1
        return {"holder": f"replica-{self._newest}"}

    def _stamp(self) -> Operation:
        return {"epoch": self._newest - self._bad(0.4)}

    def _set_halt(self) -> Operation:
        halt = None if self._bad(0.4) else {"by": "$ada", "why": "the disk is full", "at": -1}
        return {
            "what": "everything" if self._bad(0.15) else self._dice.choice(["submissions", "retries"]),
            "halt": halt,
        }

    def _note_good_pass(self) -> Operation:
        names = self._dice.sample(["lab", "other", "third"], self._dice.randint(0, 2))
        return {"at": self._dice.choice([-1600, -3, -2, 0, 0.5, 2, 30]), "longest": 1800, "namespaces": names}

    # ---------------------------------------------------------------------------- batches and gates

    def _add_batch(self) -> Operation:
        again = bool(self._known) and self._bad()
        batch = self._dice.choice(self._known) if again and self._bad(0.5) else f"b{len(self._known) + 1}"
        name = self._names[self._known[0]] if again else f"gwas-{len(self._known) + 1}"
        most = self._dice.randint(2, 6)
        if not again:
            self._known.append(batch)
            self._names[batch] = name
        parent = {
            "id": batch,
            "namespace": "lab",
            "name": name,
            "user": "ada",
            "status": "running",
            "spec": {self._dice.choice(HOSTILE): [1, "$x"]},
            "spec_hash": "0" * 8,
            "source": f"{name}.yaml",
            "settings": {},
            "tasks": 9,
            "inserted": -4 + len(self._known) / 64,
            "updated": -4,
        }
        return {"batch": parent, "gate": {"batch_id": batch, "max": most}}

    def _ensure_gate(self) -> Operation:
        batch = self._dice.choice(self._known) if self._bad(0.5) else self._nobody()
        return {"gate": {"batch_id": batch, "max": 9, "cancel": self._stop()}}

    def _batch(self) -> Operation:
        return {"batch_id": self._batch_id(0.3)}

    def _gates(self) -> Operation:
        return {"batch_ids": self._batch_ids()}

    def _standing(self) -> Operation:
        return {"batch_id": self._batch_id(0.3), "job_ids": [self._job_of().id]}

    def _batches_with(self) -> Operation:
        return {"batch_ids": [*self._batch_ids(), "no id"]}

    _recorded = _batches_with

    def _batch_named(self) -> Operation:
        name = self._names[self._dice.choice(self._known)]
        return {"namespace": "other" if self._bad() else "lab", "name": name}

    def _batches_(self) -> Operation:
        return {"closed": self._dice.choice([None, True, False]), "limit": self._dice.choice([0, 2])}

    def _set_batch(self) -> Operation:
        status = self._dice.choice(list(BatchStatus))
        fields: Given = {"status": status.value, "reason": self._dice.choice(HOSTILE)}
        if status is BatchStatus.FINISHED and not self._bad():
            fields["result"] = self._dice.choice(list(Result)).value
        if self._bad():
            fields = {"resumed": -0.5} if self._bad(0.5) else {"counts": {}}
        batch, topic = self._batch_id(), self._dice.choice(list(Topic))
        channel = self._dice.choice(list(Channel))
        sources = list(BatchStatus)[: self._dice.choice([3, 6, 6])]
        notices = [{"topic": topic.value, "channel": channel.value, "sentence": f"{topic} of {batch}"}]
        self._told.append((batch, topic, channel))
        if self._bad(0.3):
            fields = {}
        return {
            "batch_id": batch,
            "sources": [s.value for s in sources],
            "fields": fields,
            "notices": notices,
        }

    def _set_setting(self) -> Operation:
        name = self._dice.choice(["maxConcurrent", "paused", "maxConcurrent", "tasks"])
        setting = {"value": self._dice.choice([3, True, [{"$a": "b1"}]]), "source": "traits.yaml"}
        return {
            "batch_id": self._batch_id(),
            "name": name,
            "setting": {**setting, "at": self._dice.choice([-2, -1, -3])},
        }

    def _add_counts(self) -> Operation:
        delta = {
            "status": {"waiting": self._dice.choice([2, -1])},
            "first": {"lost": self._dice.choice([1, -1])},
        }
        return {"batch_id": self._batch_id(), "delta": delta}

    def _set_gate(self) -> Operation:
        batch = self._batch_id()
        fields: Given = self._dice.choice(
            [
                *({"max": self._dice.randint(0, 8)}, {"max": 6}, {"paused": True}, {"paused": False}),
                *({"hold": HELD}, {"hold": None}, {"cancel": None}, {"cancel": self._stop()}),
                *(OPENED, OPENED, OPENED, {"max": None}, {"epoch": 9}),
            ]
        )
        if fields.get("cancel"):
            self._orders[batch] = fields["cancel"]
        if "hold" in fields:
            self._holds[batch] = fields["hold"] or ""
        return {"batch_id": batch, "fields": fields}

    def _replace_hold(self) -> Operation:
        batch = self._batch_id()
        before, after = self._dice.choice([("", HELD), (HELD, "adopting: 3 jobs"), ("adopting: 3 jobs", "")])
        if self._holds.get(batch, "") == before:
            self._holds[batch] = after
        return {"batch_id": batch, "before": before, "after": after}

    def _lift_cancel(self) -> Operation:
        batch = self._dice.choice(sorted(self._orders)) if self._orders else self._batch_id()
        cancel = self._orders.get(batch, self._stop())
        return {"batch_id": batch, "cancel": {**cancel, "by": "eve"} if self._bad(0.3) else cancel}

    def _claim(self) -> Operation:
        batch = self._batch_id(0.06)
        here = [job.id for job in self._records if job.batch == batch and job.status is Status.WAITING]
        some = self._dice.sample(here, min(len(here), self._dice.randint(1, 2))) or [self._job_of().id]
        if self._bad(0.06):
            some.append(some[0])
        ended = [job.id for job in self._records if job.batch == batch and job.status.terminal]
        leaving = self._dice.sample(ended, min(len(ended), self._dice.choice([0, 1, 2])))
        places = [[job, self._slot()] for job in some]
        return {"batch_id": batch, "places": places, "epoch": self._leader(), "leaving": leaving}

    def _take_over(self) -> Operation:
        places = [
            {
                "job": self._job_of().id,
                "slot": self._slot(),
                "uid": f"theirs-{self._dice.randint(1, 4)}",
                "kind": "Job",
            }
        ]
        held = [batch for batch, hold in self._holds.items() if hold]
        batch = self._dice.choice(held) if held else self._batch_id()
        hold = self._dice.choice([HELD, *[self._holds.get(batch, "")] * 3])
        return {"batch_id": batch, "places": places, "hold": hold, "epoch": self._leader()}

    def _leave(self) -> Operation:
        batch = self._batch_id()
        ended = [job.id for job in self._records if job.batch == batch and job.status.terminal]
        return {"batch_id": batch, "job_ids": ended if self._bad(0.6) else self._job_ids()}

    def _enter_foreign(self) -> Operation:
        some = [f"theirs-{self._dice.randint(1, 4)}" for _ in range(2)]
        cause = self._dice.choice(["foreign", "ghost", "orphan"])
        foreign = [{"uid": uid, "name": f"gwas-{uid}", "kind": "Job", "cause": cause} for uid in some]
        return {"batch_id": self._batch_id(), "foreign": foreign}

    def _drop_foreign(self) -> Operation:
        return {"batch_id": self._batch_id(), "uid": f"theirs-{self._dice.randint(1, 4)}"}

    # -------------------------------------------------------------------------------------- records

    def _add_jobs(self) -> Operation:
        return {"jobs": [self._new_job() for _ in range(self._dice.randint(1, 4))]}

    def _new_job(self) -> Given:
        roots = [job for job in self._records if job.number == 0 and job.status.terminal]
        root = self._dice.choice(roots) if roots and self._bad(0.45) else None
        job = self._retry_of(root) if root else self._root()
        made: Given = {
            "id": job.id,
            "batch_id": job.batch,
            "namespace": "lab",
            "user": self._dice.choice(["ada", "bob"]),
            "task_id": job.task,
            "index": job.index,
            "attempt": job.number,
            "name": job.name,
            "status": "waiting",
            "job_input": {"image": "image@sha256:0", "env": {"A": self._dice.choice(HOSTILE)}},
            "origin": "spec",
            "inserted": -3 + int(job.id[1:]) / 1024,
            "updated": -3,
        }
        if root:
            made |= {
                "retry_parent": root.id,
                "retry_toggle": False,
                "origin": self._dice.choice(["auto", "user"]),
                "not_before": self._dice.choice([-1, 1, -1 if job.number > 1 else None]),
                "when": self._dice.choice(["now", "now", "batch-end"]),
                "request_id": self._dice.choice([None, "r1", "r2"]),
            }
            if made["not_before"] is not None:  # no two stand at one place in line
                made["not_before"] += len(self._records) / 1024
        if self._records and self._bad(0.15):  # a key that another one has
            other = self._dice.choice(self._records)
            return {**made, **self._dice.choice([{"id": other.id}, {"name": other.name}])}
        self._records.append(job)
        return made

    def _root(self) -> Known:
        number = len(self._records) + 1
        batch, job = self._dice.choice(self._known), f"j{number}"
        return Known(job, batch, f"t{number}", 0, number, Status.WAITING, job)

    def _retry_of(self, root: Known) -> Known:
        number = sum(job.root == root.id for job in self._records)
        job = f"j{len(self._records) + 1}"
        return Known(job, root.batch, root.task, number, root.index, Status.WAITING, root.id)

    def _change(self) -> Operation:
        change = self._event()
        return {"change": change, "epoch": None if self._bad(0.05) else self._leader()}

    def _changes_many(self) -> Operation:
        return {
            "changes": [self._event() for _ in range(self._dice.randint(2, 4))],
            "epoch": self._newest,
        }

    # ---------------------------------------------------------------------------------- being asked

    def _job(self) -> Operation:
        return {"job_id": self._nobody() if self._bad(0.3) else self._job_of().id}

    def _jobs_(self) -> Operation:
        return {"job_ids": [*self._job_ids(), "no id"]}

    _roots_of = _jobs_

    def _job_named(self) -> Operation:
        job = self._job_of()
        return {
            "namespace": "lab",
            "name": job.name if self._bad(0.7) else "gwas",
        }

    def _waiting(self) -> Operation:
        return {
            "batch_id": self._batch_id(),
            "limit": self._dice.choice([0, 2, 50]),
            "now": self._dice.choice([0.5, 2]),
            "with_auto": self._bad(0.6),
        }

    def _waiting_for_end(self) -> Operation:
        return {
            "batch_id": self._batch_id(),
            "limit": self._dice.choice([1, 50]),
            "now": self._dice.choice([0.5, 2]),
        }

    def _next_due(self) -> Operation:
        return {"batch_id": self._batch_id(), "after": self._dice.choice([-2, 0.5])}

    def _has(self) -> Operation:
        some = self._dice.sample(list(Status), 2)
        return {
            "batch_id": self._batch_id(),
            "statuses": [status.value for status in some],
            "when": self._dice.choice(["", "", "batch-end"]),
        }

    def _waiting_ids(self) -> Operation:
        return {"batch_id": self._batch_id(), "limit": self._dice.choice([0, 500])}

    def _active(self) -> Operation:
        return {"but": [] if self._bad(0.5) else self._job_ids()}

    def _roots(self) -> Operation:
        return {"batch_id": self._batch_id()}

    _recount = _roots

    def _chain(self) -> Operation:
        job = self._job_of()
        return {"batch_id": job.batch, "task_id": "t99" if self._bad() else job.task}

    def _chains(self) -> Operation:
        return {"root_ids": [*{self._job_of().root: None for _ in range(3)}, self._nobody()]}

    def _find_jobs(self) -> Operation:
        what: Given = {"batch_id": self._batch_id(), "newest_only": self._bad(0.5)}
        what |= self._dice.choice(
            [{}, {"status": ["error", "waiting"]}, {"user": "bob"}, {"verdict": ["lost", "rejected"]}]
        )
        after = self._dice.choice(["", "", "", self._job_of().id, self._nobody()])
        return {"what": what if self._bad(0.8) else {}, "after": after, "limit": self._dice.choice([0, 3])}

    # ---------------------------------------------------------------------------- the retry lifecycle

    def _retries(self) -> list[Known]:
        return [job for job in self._records if job.number > 0]

    def _list_children(self) -> Operation:
        return {"batch_id": self._batch_id(), "ids": [job.id for job in self._retries()] or self._job_ids()}

    def _list_retries(self) -> Operation:
        some = self._dice.sample(self._retries(), min(3, len(self._retries())))
        return {"by_root": {**{job.root: [job.id] for job in some}, self._nobody(): [self._nobody()]}}

    def _listed(self) -> Operation:
        return {"children": [f"@{job.id}" for job in self._retries()[:6]]}

    def _toggle(self) -> Operation:
        some = self._dice.sample(self._retries(), min(2, len(self._retries())))
        return {"ids": [*(job.id for job in some), self._job_of().id, self._nobody()]}

    def _unfinished_lifecycles(self) -> Operation:
        return {"before": self._dice.choice([-2.9, 0.5]), "limit": self._dice.choice([1, 50])}

    def _last_failures(self) -> Operation:
        return {"batch_id": self._batch_id(), "limit": self._dice.choice([0, 2, 50])}

    # -------------------------------------------------------------------------- refused specs, notices

    def _set_quarantine(self) -> Operation:
        key = self._dice.choice(["a.yaml", "in/$b.yaml"])
        problems = [] if self._bad(0.3) else [self._dice.choice(["line 1: $x", "line 2"])]
        notices = [
            {"topic": Topic.REFUSED.value, "channel": each.value, "sentence": "refused"} for each in Channel
        ]
        return {"key": key, "problems": problems, "notices": notices}

    def _move_notice(self) -> Operation:
        batch, topic, channel = (
            self._dice.choice(self._told) if self._told else ("b1", Topic.REAPED, Channel.EVENT)
        )
        self._moved += 1
        due, tries = [(1, 0), (2, 1), (None, 0)][self._moved % 3]
        return {"batch": batch, "topic": topic.value, "channel": channel.value, "tries": tries, "due": due}
