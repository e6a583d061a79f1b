"""Requests to the API, and every way in which one can fail as one line that says what to do.

Used by ``way_api`` alone. A request that may be repeated (a read, or an order with its Idempotency-Key) is
sent once more when its answer was lost; whoever asks too fast waits as the server says, for a while.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from controller.cli.api_address import TOKEN, TOKEN_FILE, Address
from controller.cli.ways import URL, BadSpec
from controller.ports import BatchkeeperError, Unavailable
from controller.shapes import Document

PATIENCE = 60.0
"""Seconds that a command waits in all because it asks too fast."""
MOST_BYTES = 64 * 2**20
"""Of one answer."""
TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=10, sock_read=120)
LATER = (429, 502, 503, 504)
"""Statuses that may be another one in a while."""
OFF = "off"
"""Such a 503 stays: the API has to be turned on first."""
JSON = "application/json"
Query = Sequence[tuple[str, str]]


class ApiError(BatchkeeperError):
    """The API refused. ``kind`` is its stable word for why."""

    def __init__(self, status: int, kind: str, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.kind = kind


class Away(ApiError, Unavailable):
    """The API can't answer now; it may do so later."""


class Nonsense(BatchkeeperError):
    """Whatever answered is not the API."""


@dataclass(frozen=True, slots=True)
class _Got:
    status: int
    kind: str
    content: bytes
    wait: str


class Client:
    """One command's connection. ``sleep`` waits; tests give their own."""

    def __init__(
        self,
        address: Address,
        session: aiohttp.ClientSession,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = address
        self._session = session
        self._sleep = sleep
        self._patience = PATIENCE
        self.now = datetime.now(UTC)
        """The server's clock, by its last answer."""

    async def get(self, path: str, query: Query = (), *, keys: Sequence[str] = ()) -> Document:
        """Read; ``keys``: those that the answer must have. Raises ``BatchkeeperError``."""
        return await self._ask("GET", path, query, b"", {}, keys, again=True)

    async def post(
        self, path: str, body: Document, *, dry_run: bool = False, keys: Sequence[str] = ()
    ) -> Document:
        """Give an order, under a key of its own. Raises ``BatchkeeperError``."""
        content = json.dumps(body, separators=(",", ":")).encode()
        return await self.send(path, content, JSON, [], dry_run=dry_run, keys=keys)

    async def send(
        self,
        path: str,
        content: bytes,
        kind: str,
        query: Query,
        *,
        dry_run: bool = False,
        keys: Sequence[str] = (),
    ) -> Document:
        """The same with a body of another kind."""
        headers = {"Content-Type": kind, "Idempotency-Key": secrets.token_hex(16)}
        query = [*query, *([("dry_run", "true")] if dry_run else [])]
        return await self._ask("POST", path, query, content, headers, keys, again=True)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Query,
        content: bytes,
        headers: Mapping[str, str],
        keys: Sequence[str],
        *,
        again: bool,
    ) -> Document:
        if self._address.token:
            headers = {**headers, "Authorization": f"Bearer {self._address.token}"}
        while True:
            try:
                got = await self._once(method, path, query, content, headers)
            except _Lost as lost:
                if not again:
                    raise Unavailable(str(lost)) from None
                again = False
                continue
            if got.status != 429 or not await self._waited(got):
                return self._read(got, keys)

    async def _once(
        self, method: str, path: str, query: Query, content: bytes, headers: Mapping[str, str]
    ) -> _Got:
        """One exchange. Raises ``_Lost`` when it may have been taken, ``BatchkeeperError`` when not."""
        where = self._address.url
        try:
            async with self._session.request(
                method,
                f"{where}/api/v1/{path}",
                params=list(query),
                data=content or None,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                self._set_clock(answer.headers.get("Date", ""))
                kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return _Got(answer.status, kind, await _whole(answer), answer.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
            raise BatchkeeperError(
                f"the certificate of {where} can't be verified ({why}): name your CA's file in SSL_CERT_FILE"
            ) from None
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise BatchkeeperError(f"{where} does not speak TLS as it should: is {URL} right?") from None
        except aiohttp.ClientConnectorError as error:
            why = (error.os_error.strerror or type(error.os_error).__name__).lower()
            raise Unavailable(
                f"{where} can't be reached ({why}): is the controller up, and {URL} right?"
            ) from None
        except aiohttp.InvalidURL:
            raise BatchkeeperError(f"{URL} is no address: mend it") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Lost(
                f"{where} did not answer ({type(error).__name__}): 'batchkeeper status' tells whether it was "
                "done; then ask again"
            ) from None

    def _set_clock(self, date: str) -> None:
        try:
            self.now = parsedate_to_datetime(date).astimezone(UTC)
        except ValueError:
            self.now = datetime.now(UTC)

    async def _waited(self, got: _Got) -> bool:
        """Wait as the server says; False: that is longer than this command waits."""
        seconds = float(got.wait) if got.wait.isdecimal() else 1.0
        if seconds > self._patience:
            return False
        self._patience -= max(seconds, 0.1)
        await self._sleep(max(seconds, 0.1))
        return True

    def _read(self, got: _Got, keys: Sequence[str]) -> Document:
        """The document of an answer. Raises ``ApiError``, ``BadSpec``, ``Nonsense``."""
        document = _parsed(got)
        if 200 <= got.status < 300:
            if isinstance(document, dict) and all(key in document for key in keys):
                return document
        elif 300 <= got.status < 400:
            raise BatchkeeperError(f"{self._address.url} sends on to elsewhere: set {URL} to where it ends")
        elif isinstance(document, dict) and isinstance(document.get("detail"), str):
            raise self._error(got.status, document)
        elif got.status in (401, 403, 404, 413, 429, 502, 503, 504):
            refusal = Away if got.status in LATER else ApiError
            raise refusal(got.status, "", f"{self._address.url}: {_BARE[got.status]}")
        kind = got.kind or "nothing"
        raise Nonsense(
            f"{self._address.url} answers {got.status} with {kind}, which is not Batchkeeper's API: "
            f"is {URL} the address of its controller?"
        )

    def _error(self, status: int, problem: Document) -> BatchkeeperError:
        """What a problem document says, in the words of a command line."""
        kind = str(problem.get("type", "")).rpartition(":")[2]
        said = self._safe(problem["detail"]).replace("with as_admin", "with --as-admin")
        said = said.replace("without as_admin", "without --as-admin")
        listed = problem.get("errors")
        if status == 401:
            said = f"{self._address.url} does not know you: {said} ({TOKEN} or {TOKEN_FILE})"
        if status == 422 and isinstance(listed, list) and all(_is_spec(one) for one in listed) and listed:
            return BadSpec([self._safe(one["problem"]) for one in listed])
        return (Away if status in LATER and kind != OFF else ApiError)(status, kind, said)

    def _safe(self, text: str) -> str:
        """A server that repeats our token must not get it onto a screen."""
        return text.replace(self._address.token, "…") if self._address.token else text


_BARE = {
    401: f"it does not know you: set {TOKEN} or {TOKEN_FILE} to a token that is valid",
    403: "it does not let you in: ask whoever runs it",
    404: f"there is no Batchkeeper API: is {URL} right, without /api/v1?",
    413: "what was sent is too long: send less at once",
    429: "it is asked too much: ask again later",
    502: "the controller behind it is away: ask again later",
    503: "it is not available now: ask again later",
    504: "the controller behind it does not answer: ask again later",
}
"""What a proxy means that says no more than a number."""


class _Lost(Exception):
    """The request may have been taken; its answer did not come."""


def _is_spec(error: Any) -> bool:
    return isinstance(error, dict) and error.get("where") == "spec" and isinstance(error.get("problem"), str)


def _parsed(got: _Got) -> Any:
    try:
        return json.loads(got.content) if "json" in got.kind else None
    except (ValueError, RecursionError):
        return None


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """An answer to its end. Raises ``Nonsense`` for one without end."""
    kept = bytearray()
    async for some in answer.content.iter_chunked(2**16):
        kept += some
        if len(kept) > MOST_BYTES:
            raise Nonsense(f"an answer has more than {MOST_BYTES:,} bytes: is {URL} right?")
    return bytes(kept)
