"""A webhook that speaks as Slack's do (``{"text": …}``): ``ports.Notifier``. Made by ``app``.

Its address is a secret, for who knows it may post: it is in no error, and neither is the answer. No
redirect is followed, TLS is verified, and plain http is taken on this machine only.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from controller import __version__
from controller.adapters.oidc_keys import safe_url
from controller.ports import Rejected, Throttled, Unavailable

LATER = frozenset({408, 425, 429})
"""Of the 4xx, those that say nothing about the message."""
LONGEST_ADDRESS = 4096


class Webhook:
    """One address. ``address`` is asked for it each time: a mounted secret may change."""

    def __init__(self, address: Callable[[], str], timeout: timedelta) -> None:
        self._address = address
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def post(self, text: str) -> None:
        """See ``Notifier.post``: a 2xx answer alone is success; what it says is not read."""
        url = self._address()
        if not _usable(url):
            raise Unavailable("the webhook's address is not https, and not on this machine: correct it")
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, headers={"User-Agent": AGENT}) as session,
                session.post(url, json={"text": text}, allow_redirects=False, proxy=_proxy(url)) as answer,
            ):
                status, wait = answer.status, answer.headers.get("Retry-After", "").strip()
        except TimeoutError:
            raise Unavailable(f"the webhook did not answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not as a cause either: the library's own words quote the address.
            raise Unavailable(f"the webhook can't be reached ({type(error).__name__})") from None
        _judge(status, wait)


AGENT = f"batchkeeper/{__version__}"


def _judge(status: int, wait: str) -> None:
    if 200 <= status < 300:
        return
    if status in LATER or status >= 500:
        if wait.isascii() and wait.isdecimal() and len(wait) < 10:
            raise Throttled(f"the webhook answered {status} and asks for {wait} s", float(wait))
        raise Unavailable(f"the webhook answered {status}")
    if 300 <= status < 400:
        raise Rejected(f"the webhook answered {status}: a redirect is not followed, give its end", status)
    raise Rejected(f"the webhook answered {status}: is its address still valid?", status)


def _usable(url: str) -> bool:
    try:
        return safe_url(url)
    except ValueError:  # no URL at all
        return False


def _proxy(url: str) -> str | None:
    """The environment's proxy for it, if any."""
    place = urlsplit(url)
    if urllib.request.proxy_bypass(place.hostname or ""):  # type: ignore[attr-defined,unused-ignore]
        return None
    return urllib.request.getproxies().get(place.scheme)


def address_in(file: Path) -> str:
    """The address in a mounted secret. Raises ``Unavailable``: it may be mounted later."""
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(LONGEST_ADDRESS).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Unavailable(f"the webhook's address can't be read from {file} ({why})") from None
