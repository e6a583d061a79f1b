"""What the tests of the spec folder share: faults on chosen names, and a count of what was opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.adapters import spec_directory, spec_directory_watch
from controller.telemetry.logs import get_logger


def give_away(path: Path) -> int:
    """Give a file to a user without a name, whose number is returned; skips where nobody may do so."""
    try:
        os.chown(path, 54321, -1)
    except PermissionError:
        pytest.skip("may not give a file away here: needs CAP_CHOWN")
    return 54321


class Opens:
    """Stands before ``os.open``: counts, and fails where told to. Names are compared as they are opened,
    which for everything below the watched folder is part by part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.faults: dict[str, int] = {}
        self._real = os.open
        monkeypatch.setattr(os, "open", self)

    def __call__(self, path: Any, flags: int, *args: Any, **options: Any) -> int:
        name = os.fspath(path)
        self.names.append(name)
        for fault, number in self.faults.items():
            if fault == name or (fault == "creating" and flags & os.O_CREAT):
                raise OSError(number, os.strerror(number), name)
        return self._real(path, flags, *args, **options)


@contextmanager
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the spec folder logs, however logging was set up (and its loggers cached) before."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (spec_directory, spec_directory_watch):
            patch.setattr(module, "_log", get_logger(module.__name__))
        with capture_logs() as logs:
            yield logs
