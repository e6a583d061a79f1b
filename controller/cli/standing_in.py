"""A pass that only who leads may make, where nobody does: for ``reap``."""

from __future__ import annotations

from types import ModuleType

from controller.cli.output import note
from controller.cli.session import application
from controller.config import Settings
from controller.leading import LedByAnother

BY_ITSELF = "the daemon reaps by itself, in its next pass"


async def pass_for(found: bool, settings: Settings, root: ModuleType) -> int:
    """One complete pass by this root if something was found and no daemon is there; the exit code.

    On a cluster the election alone tells whether there is one.
    """
    there = application().daemon_is_there(settings)
    if there or not found:
        if there:
            note(BY_ITSELF)
        return 0
    unless = "no daemon is there" if there is False else "unless a daemon leads, which takes a while to tell"
    note(f"{unless}: one complete pass is made now; time without passes does not count")
    try:
        return int(await root.run_controller(settings, once=True))
    except LedByAnother:
        note(BY_ITSELF)
        return 0
