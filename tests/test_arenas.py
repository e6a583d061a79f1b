"""Threads keep no memory of their own: counted in a process of its own, for the setting is the process's."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from controller import app, arenas, ee2_app
from controller.config import Settings

COUNT = """
import ctypes, sys, tempfile, threading
from controller import arenas
if sys.argv[1] == "shared":
    arenas.share_one()
there = threading.Barrier(6)
def work():
    held = [bytes(2000) for _ in range(50)]
    there.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile() as file:
    out = ctypes.c_void_p(libc.fdopen(file.fileno(), b"w"))
    libc.malloc_info(0, out)
    libc.fflush(out)
    file.seek(0)
    print(file.read().count(b"<heap nr="))
"""

NO_SUCH_CALL = ("undefined symbol", "symbol not found")
"""As glibc says it, and as musl and macOS do."""


def _pools(how: str) -> int:
    ended = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=False)
    if any(words in ended.stderr.lower() for words in NO_SUCH_CALL):
        pytest.skip(f"this C library does not tell its arenas: {ended.stderr[-200:]}")
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def test_threads_share_one_pool() -> None:
    """Ten threads had thirteen pools, nearly all of it free and none of it given back."""
    assert _pools("shared") == 1
    assert _pools("each its own") > 1, "it is not counted what is to be counted"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl and macOS have no such setting."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    arenas.share_one()


class Asked(Exception):
    """The setting was asked for."""


@pytest.mark.parametrize("program", [app, ee2_app])
def test_a_daemon_begins_with_it(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over our own records and over EE2's, before anything of it could start a thread."""
    told_to_end = asyncio.Event()
    told_to_end.set()

    def asked() -> None:
        raise Asked

    monkeypatch.setattr(arenas, "share_one", asked)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Asked):
        asyncio.run(program.run_controller(Settings(), stop=told_to_end))
