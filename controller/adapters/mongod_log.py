"""What a mongod that would not start says in its log, in one line. Called by ``mongod`` only."""

from __future__ import annotations

import json
from pathlib import Path

TAIL_BYTES = 16 * 1024

_KNOWN = {
    "No space left on device": "the disk is full: make room",
    "already locked": "another mongod uses this folder: stop it, or name another state_dir",
    "Permission denied": "a file in it belongs to somebody else: make it yours, or name another state_dir",
    "incompatible version": "a newer MongoDB wrote this folder: put that version on PATH",
    "UPGRADE PROBLEM": "an older or newer MongoDB wrote this folder: put that version on PATH",
}
"""What to do about a sentence in the log."""


def explained(state: Path) -> str:
    """One line about a mongod that has ended: its last error, and what to do about it."""
    text = _last_bytes(state)
    advice = next((advice for sentence, advice in _KNOWN.items() if sentence in text), "see that log")
    return f"mongod ended by itself ({state / 'mongod.log'}: {tail(state)}): {advice}"


def tail(state: Path) -> str:
    """The last error in the log, else its last line."""
    lines = [line for line in _last_bytes(state).splitlines() if line.strip()]
    errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    chosen = (errors or lines or ["it is empty"])[-1]
    return _sentence(chosen)[:400]


def _sentence(line: str) -> str:
    """A line of mongod's JSON log as people would say it."""
    try:
        entry = json.loads(line)
        attributes = entry.get("attr", {})
        detail = attributes.get("error") or attributes.get("message") or attributes.get("reason") or ""
        return f"{entry['msg']} {detail}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return line.strip()


def _last_bytes(state: Path) -> str:
    try:
        with (state / "mongod.log").open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""
