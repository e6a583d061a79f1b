"""Tokens from a file: one ``token user group,group`` a line, the token plain or as ``sha256:<its hash>``.

Only hashes are kept in memory. The file is looked at again when it changes; one that others may read, or
that can't be read now, lets nobody in and says so in the log. A Secret in a pod is root's and its group's.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from controller.api.auth import STATIC, Identity
from controller.ports import Unavailable
from controller.telemetry import get_logger

_log = get_logger(__name__)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
SHORTEST = 16
"""Characters of a token; what is shorter could be guessed."""


class BadTokenFile(Unavailable):
    """The file of tokens can't be used as it is."""


class StaticTokens:
    """The tokens of one file."""

    name = STATIC

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._known: Mapping[str, Identity] = {}
        self._trouble = ""

    async def identify(self, token: str) -> Identity | None:
        """Whose it is by the file as it is now. Raises ``BadTokenFile`` while it can't be used."""
        await asyncio.to_thread(self._look)
        if self._trouble:
            raise BadTokenFile(self._trouble)
        return self._known.get(hashlib.sha256(token.encode()).hexdigest())

    def _look(self) -> None:
        try:
            # Opened once: what was looked at is what is read. A pipe would be waited for.
            with open(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as file:
                found = os.fstat(file.fileno())
                seen = (
                    found.st_mtime_ns,
                    found.st_size,
                    found.st_ino,
                    found.st_mode,
                    found.st_uid,
                    found.st_gid,
                )
                if seen == self._seen:
                    return
                _must_be_private(self._path, found)
                self._known, self._trouble = parsed(file.read(), self._path), ""
            self._seen = seen
            _log.info("tokens read", file=str(self._path), count=len(self._known))
        except (OSError, UnicodeDecodeError, BadTokenFile) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            trouble = f"the file of tokens {self._path} can't be used ({reason}): mend it"
            if trouble != self._trouble:
                _log.error("tokens not read", file=str(self._path), error=trouble)
            self._known, self._seen, self._trouble = {}, None, trouble


def _must_be_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadTokenFile("it is no file")
    if found.st_uid not in (0, os.geteuid()):
        raise BadTokenFile(f"user {found.st_uid} owns it, and could let anybody in: make it your own")
    allowed = 0o040 if _mounted_for_us(found) else 0
    if found.st_mode & 0o077 & ~allowed:
        raise BadTokenFile(f"others may read it: chmod 600 {path}")


def _mounted_for_us(found: os.stat_result) -> bool:
    """Whether it is root's and given to a group of ours, as a Secret is mounted in a pod with an fsGroup.

    A group of people's own file is another matter: its other members would learn the tokens.
    """
    ours = found.st_gid in {os.getegid(), *os.getgroups()}
    return found.st_uid == 0 and os.geteuid() != 0 and ours


def parsed(text: str, path: Path) -> Mapping[str, Identity]:
    """Identities by the SHA-256 of their token. Raises ``BadTokenFile`` with the line, never its content."""
    known: dict[str, Identity] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) not in (2, 3):
            raise BadTokenFile(f"line {number}: write token user group,group")
        hashed = _HASH.fullmatch(words[0])
        if hashed is None and len(words[0]) < SHORTEST:
            raise BadTokenFile(f"line {number}: a token has at least {SHORTEST} characters")
        key = hashed[1] if hashed else hashlib.sha256(words[0].encode()).hexdigest()
        if key in known:
            raise BadTokenFile(f"line {number}: this token stands there twice")
        groups = frozenset(filter(None, words[2].split(","))) if len(words) == 3 else frozenset[str]()
        known[key] = Identity(words[1], groups, STATIC)
    return known
