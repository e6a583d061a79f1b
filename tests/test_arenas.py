"""Threads keep no memory of their own, and what is large goes back.

Counted in processes of their own, for the settings are the process's.
"""

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
from tests.bench.telling import malloc

COUNT = """
import ctypes, sys, tempfile, threading
from controller import arenas
if sys.argv[1] == "shared":
    arenas.set_up()
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

LARGE = """
import sys
from controller import arenas
from tests.bench.telling import malloc
if sys.argv[1] == "apart":
    arenas.set_up()
for _ in range(2):
    held = [bytearray(2**18) for _ in range(64)]
    mapped = malloc()["mapped"]
    del held
print(mapped - malloc()["mapped"])
"""
"""Buffers as each connection has one are made, let go and made again."""

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


def _given_back(how: str) -> int:
    """Bytes that were mapped for a large piece and are no more, where such pieces came and went before."""
    ended = subprocess.run([sys.executable, "-c", LARGE, how], capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(not any(malloc().values()), reason="another C library than glibc")
def test_what_is_large_is_given_back() -> None:
    """The second buffers come out of the pool otherwise, and leave gaps in it; a few may find room there."""
    assert _given_back("apart") >= 32 * 2**18
    assert _given_back("as it likes") == 0, "it is not counted what is to be counted"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl and macOS have no such setting."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    arenas.set_up()


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

    monkeypatch.setattr(arenas, "set_up", asked)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Asked):
        asyncio.run(program.run_controller(Settings(), stop=told_to_end))
