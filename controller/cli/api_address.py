"""Where the API is and who asks there, from the environment. Read by ``way_api``.

A token is never part of a message, and never sent where others could read it on its way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from controller.cli.ways import URL
from controller.ports import BatchkeeperError

TOKEN, TOKEN_FILE, INSECURE = "BATCHKEEPER_TOKEN", "BATCHKEEPER_TOKEN_FILE", "BATCHKEEPER_INSECURE"
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Address:
    """The URL without a slash at its end, and the token; empty: none was given."""

    url: str
    token: str = field(repr=False)


def address_of(environment: Mapping[str, str]) -> Address:
    """The address that is meant. Raises ``BatchkeeperError`` that says which variable to mend."""
    url = environment.get(URL, "").strip().rstrip("/")
    parts = _parts(url)
    token = _token(environment)
    open_to_others = parts.scheme == "http" and not _is_loopback(parts.hostname or "")
    if token and open_to_others and environment.get(INSECURE) != "1":
        raise BatchkeeperError(
            f"{URL} is http:// and {parts.hostname} is not this machine: the token could be read on its way; "
            f"use https://, or set {INSECURE}=1 if that network is yours"
        )
    return Address(url, token)


def _parts(url: str) -> SplitResult:
    """The parts of the URL; it is not repeated where it may hold a password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BatchkeeperError(f"{URL} is no address: write it as https://batchkeeper.example.org")
    if parts.username or parts.password:
        raise BatchkeeperError(f"{URL} holds a user or a password: give a token as {TOKEN} instead")
    if parts.query or parts.fragment:
        raise BatchkeeperError(f"{URL} holds more than an address: leave out what begins with ? or #")
    return parts


def _token(environment: Mapping[str, str]) -> str:
    token, whence = environment.get(TOKEN, "").strip(), TOKEN
    if not token and (named := environment.get(TOKEN_FILE)):
        token, whence = _from_file(Path(named)), f"the file of {TOKEN_FILE}"
    if token and not _VISIBLE.fullmatch(token):
        raise BatchkeeperError(f"{whence} holds blanks or characters that no token has: give the token alone")
    return token


def _from_file(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise BatchkeeperError(f"{TOKEN_FILE}: {path}: {reason.lower()}: name the file of a token") from None
    if not token:
        raise BatchkeeperError(f"{TOKEN_FILE}: {path} is empty: put the token there")
    return token


def _is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
