"""Draws the cluster's part of the fidelity script: what is asked of a few names, and what becomes of them.

It knows what each name holds, so that every call is made in a state that is settled: waiting is a part of
the operations that begin something.
"""

from __future__ import annotations

import random

from tests.contract.fidelity import Operation

SEED = 20260306
OPERATIONS = 142
"""Those that are drawn; what dice seldom meet follows them."""
NAMES = 6
LIVES = ("succeed", "fail", "stay")
ASKED = ("get", "get_uid", "observe", "find", "find_uid", "log_tail")
WHOSE = ("ours", "ours", "ours", "another", "nobody")


class Drawer:
    """The dice, and what each name holds: a way to live, ``tombstone``, ``foreign``, or nothing."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._holds = {f"sweep-{n}": "" for n in range(1, NAMES + 1)}
        self._expiring: set[str] = set()

    def draw(self) -> list[Operation]:
        """All operations on the cluster: something is done, and then asked about."""
        made: list[Operation] = []
        while len(made) < OPERATIONS:
            name = self._dice.choice(list(self._holds))
            made.append(self._deed(name) if len(made) % 2 == 0 else self._question(name))
        return [*made, *_buried("sweep-7"), *_kept_for_an_hour("sweep-8"), {"do": "close"}]

    def _question(self, name: str) -> Operation:
        method = self._dice.choice(ASKED)
        if method == "observe":
            return {"do": method}
        if method == "find":
            return {"do": method, "prefix": self._dice.choice(["sweep-", name, "other-"])}
        if method == "log_tail" and self._holds[name] == "succeed":  # what others say, simulated pods do not
            return {"do": method, "name": name, "max_bytes": self._dice.choice([0, 5, 100])}
        method = "get" if method == "log_tail" else method
        return {"do": method, "name": name, "whose": self._dice.choice(WHOSE)}

    def _deed(self, name: str) -> Operation:
        held = self._holds[name]
        if not held:
            return self._first(name)
        deeds = ["create", "bury", "delete", "delete", "expire"]
        method = self._dice.choice([*deeds, "remove_foreign"] if held == "foreign" else deeds)
        if method == "remove_foreign":
            self._holds[name] = ""
            return {"do": method, "name": name}
        if method in ("create", "bury"):
            whose = self._dice.choice(["ours", "ours", "another"])
            return {"do": method, "name": name, "does": "stay", "whose": whose}
        uid = self._dice.choice(["right", "right", "wrong"])
        if method == "expire":
            return self._expire(name, held, uid)
        goes = uid == "right" and held != "foreign"
        if goes:
            self._holds[name] = ""
        return {"do": method, "name": name, "uid": uid, "goes": goes}

    def _expire(self, name: str, held: str, uid: str) -> Operation:
        ttl = self._dice.choice([0, 3600])
        goes = uid == "right" and ttl == 0 and held in ("succeed", "fail")
        if goes:
            self._holds[name] = ""
        return {
            "do": "expire",
            "name": name,
            "uid": uid,
            "ttl": ttl if held != "tombstone" else 3600,
            "goes": goes,
        }

    def _first(self, name: str) -> Operation:
        what = self._dice.choice([*LIVES, *LIVES, "tombstone", "foreign"])
        self._holds[name] = what
        if what == "foreign":
            return {"do": "add_foreign", "name": name}
        if what == "tombstone":
            return {"do": "bury", "name": name, "does": "stay", "whose": "ours"}
        return {"do": "create", "name": name, "does": what, "whose": "ours"}


def _looked_for(name: str) -> list[Operation]:
    """Every way in which a name is asked about, which other calls don't wait for."""
    asked = {"name": name, "whose": "ours"}
    return [{"do": "find", "prefix": name}, {"do": "observe"}, {"do": "get", **asked}]


def _buried(name: str) -> list[Operation]:
    """A tombstone is nobody's to find, before it is deleted and after."""
    bury = {"do": "bury", "name": name, "does": "stay", "whose": "ours"}
    delete = {"do": "delete", "name": name, "uid": "right", "goes": True}
    return [bury, *_looked_for(name), {"do": "find", "prefix": "sweep-"}, delete, *_looked_for(name)]


def _kept_for_an_hour(name: str) -> list[Operation]:
    """What has ended stays for its time to live, and goes when that is over: a success and a failure."""

    def expire(ttl: int, *, goes: bool) -> Operation:
        return {"do": "expire", "name": name, "uid": "right", "ttl": ttl, "goes": goes}

    made: list[Operation] = []
    for does in ("succeed", "fail"):
        made += [{"do": "create", "name": name, "does": does, "whose": "ours"}, *_looked_for(name)]
        made += [expire(3600, goes=False), *_looked_for(name)]
        made += [{"do": "get_uid", "name": name, "whose": "ours"}, expire(0, goes=True), *_looked_for(name)]
    return made
