"""Disasters of the end-to-end tests: a database set back or lost, a cluster gone; and who judges after them.

The oracle follows one life of a database; here the cluster's own history alone is the judge.
"""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections import Counter
from typing import Any

from controller.adapters import local_proc
from controller.adapters.local_history import CREATE, DELETE, END
from tests.e2e.place import Document, Place

Backup = dict[str, list[Document]]


def backup(place: Place) -> Backup:
    """What ``mongodump`` takes: every document of every collection."""
    names = place.db.list_collection_names(filter={"name": {"$not": {"$regex": "^system"}}})
    return {name: list(place.db[name].find()) for name in names}


def restore(place: Place, saved: Backup) -> None:
    """What ``mongorestore --drop`` leaves: those documents and no others."""
    for name in place.db.list_collection_names(filter={"name": {"$not": {"$regex": "^system"}}}):
        place.db[name].delete_many({})
        if saved.get(name):
            place.db[name].insert_many(saved[name])


def lose_database(place: Place) -> None:
    """Nothing is left of the records."""
    place.db.client.drop_database(place.database)


def lose_cluster(place: Place) -> None:
    """No job runs any more, and no object is left; only the history, which the tests judge by, stays."""
    for entry in [one for one in place.history() if one.kind == CREATE]:
        while left := local_proc.marked(f"BATCHKEEPER_JOB={entry.job_id}"):
            for process in left:
                local_proc.send(process, signal.SIGKILL)
            time.sleep(0.01)
    shutil.rmtree(place.folder("x").parent)


def collect(place: Place, *jobs: str) -> None:
    """The time to live of these finished objects is over."""
    for job in jobs:
        shutil.rmtree(place.folder(job))


def assert_never_too_many(place: Place, most: int, gone_at: int = -1) -> None:
    """By the cluster's history: at no instant more than ``most`` jobs, or two of one task.

    ``gone_at``: the number of its lines when all objects were lost.
    """
    alive: dict[str, str] = {}
    for number, entry in enumerate(place.history()):
        if number == gone_at:
            alive.clear()
        if entry.kind == CREATE:
            alive[entry.uid] = re.sub(r"-r\d+$", "", entry.name)
            tasks: Any = Counter(alive.values())
            assert len(alive) <= most, f"{sorted(tasks.elements())} at once, at most {most} were allowed"
            assert max(tasks.values()) == 1, f"two of one task at once: {sorted(tasks.elements())}"
        elif entry.kind in (END, DELETE):
            alive.pop(entry.uid, None)
