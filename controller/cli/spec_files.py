"""Spec files as the commands read them: ``validate``, ``plan``, ``submit`` and ``run``."""

from __future__ import annotations

from pathlib import Path

from controller.cli.output import warn
from controller.cli.ways import BadSpec
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError
from controller.reading import read_spec_file
from controller.spec_pass import Reading
from controller.this_machine import local_user


async def read(settings: Settings, path: Path) -> Reading:
    """A spec file as the daemon would read it. Raises ``BatchkeeperError`` when there is no such file."""
    try:
        return await read_spec_file(settings, path, user=local_user())
    except OSError as error:
        raise no_file(path, error) from None


def no_file(path: Path, error: OSError) -> BatchkeeperError:
    """Why a file can't be read."""
    reason = (error.strerror or str(error)).lower()
    return BatchkeeperError(f"{path}: {reason}: give the path of a batch spec")


async def read_good(settings: Settings, path: Path, *, tell: bool = True) -> BatchSpec:
    """The spec, its warnings told. Raises ``BadSpec``."""
    reading = await read(settings, path)
    for line in reading.warnings if tell or reading.spec is None else ():
        warn(line)
    if reading.spec is None:
        raise BadSpec(reading.problems)
    return reading.spec
