"""``run --fresh``: forget a batch that has ended here, so that the same spec may run again.

A batch's name is its own for ever, in one store. Where the store is a database of our own in the state
folder and holds nothing but this batch, the folder's content can go; anything else is somebody's records,
and stays.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.output import note
from controller.cli.session import application, has_state, parts_of
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.finding import full_name
from controller.ports import BatchkeeperError

if TYPE_CHECKING:
    from controller.app import Parts

DATABASE, LEAVING = "mongo", "mongo.leaving"
OURS = ("cluster", LEAVING, "mongod.log", "mongod.log.1", "mongod.users", "mongod.starting")
"""What the local cluster and the database leave in a state folder, in the order in which it goes: jobs
without records would be taken for somebody else's, and half a database can't be opened to be forgotten.
Secrets and the lock are not among it."""
DATABASE_IN_USE = "mongod.json"
"""There while somebody uses the database."""


async def start_over(settings: Settings, spec: BatchSpec) -> None:
    """Remove the records of an earlier run of this batch if it has ended; one that has not goes on.

    Raises ``BatchkeeperError`` when that would lose anything else.
    """
    if settings.store.uri.get_secret_value():
        await _must_not_have_ended(settings, spec)
        return
    if application().daemon_is_there(settings):
        raise BatchkeeperError(
            f"--fresh can't empty {settings.state_dir} under the daemon that uses it: end that daemon first"
        )
    if not has_state(settings):
        return
    async with parts_of(settings) as parts:
        ended = await _has_ended(parts, spec)
    if ended:
        _only_ours(settings.state_dir / "cluster", spec.namespace)
        try:
            _remove(settings.state_dir)
        except OSError as error:
            raise BatchkeeperError(
                f"--fresh can't remove {error.filename} ({error.strerror}): remove it yourself, and run again"
            ) from error
        note(f"--fresh: what the earlier run of {spec.name} left in {settings.state_dir} is removed")


async def _must_not_have_ended(settings: Settings, spec: BatchSpec) -> None:
    """A database of the operator's is never emptied; where there is nothing to forget, none needs to be."""
    async with parts_of(settings) as parts:
        batch = await parts.store.batch_named(spec.namespace, spec.name)
    if batch is not None and batch.status.closed:
        raise BatchkeeperError(
            f"--fresh removes a database of our own, and this one is yours (store.uri): batch {spec.name} "
            "has ended there, so give the spec another name, or another store.database"
        )


async def _has_ended(parts: Parts, spec: BatchSpec) -> bool:
    batches = await parts.store.batches()
    mine = f"{spec.namespace}/{spec.name}"
    if others := [full_name(batch) for batch in batches if full_name(batch) != mine]:
        raise BatchkeeperError(
            f"--fresh would also lose the records of {', '.join(others[:3])} in {parts.settings.state_dir}: "
            "give this run a state_dir of its own in its configuration"
        )
    return bool(batches) and all(batch.status.closed for batch in batches) and not await parts.store.active()


def _remove(state: Path) -> None:
    if (state / DATABASE_IN_USE).exists():
        raise BatchkeeperError(
            f"--fresh can't empty {state}: another command still uses its database; end that one first"
        )
    for name in OURS:
        path = state / name
        if name == LEAVING and (state / DATABASE).is_dir():
            _remove_one(path)  # of a removal that was cut off
            (state / DATABASE).rename(path)
        _remove_one(path)


def _remove_one(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _only_ours(cluster: Path, namespace: str) -> None:
    """A state folder that is a project's own may hold a folder of this name that was there before us.

    Raises ``BatchkeeperError``.
    """
    found = sorted(path.name for path in cluster.iterdir()) if cluster.is_dir() else []
    known = (namespace, "logs")
    if others := [name for name in found if name not in known and not name.startswith((".", "history."))]:
        raise BatchkeeperError(
            f"--fresh would also lose {cluster / others[0]}, which is not of this run: give this run a "
            "state_dir of its own in its configuration"
        )
