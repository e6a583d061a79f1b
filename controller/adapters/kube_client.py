"""Raw requests to one API server, over one shared session: every outcome is definite or unknown.

Requests and answers are plain JSON. There are no hidden retries: a write that was repeated by a library
would be a second write that nobody knows of.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from controller import __version__
from controller.adapters.kube_credentials import Credentials, proxy_of
from controller.adapters.kube_pace import Pace
from controller.adapters.kube_refusals import Refused as Refused
from controller.adapters.kube_refusals import of_another, status_of
from controller.adapters.kube_refusals import rejected as rejected
from controller.ports import Unavailable
from controller.telemetry import get_logger

Json = dict[str, Any]
Body = Mapping[str, Any] | list[dict[str, Any]]

JSON_PATCH = "application/json-patch+json"
NO_LIMITS = aiohttp.ClientTimeout(total=None)
"""Requests and watches are bounded around it."""
NO_ANSWER = "none"
"""Stands for the code of a request that was not answered."""
LONGEST_LINE = 2**21
"""Bytes of one event of a watch, about: an object has at most 1.5 MB."""
TURN = 16
"""Events of a watch that had come already before everybody else has a turn."""
_UNKNOWN = frozenset({401, 408, 425, 429})
"""Of the 4xx, those that say nothing about the request itself."""
_VERBS = {"POST": "create", "PUT": "update"}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how it is used. ``timeout`` bounds each request as a whole."""

    kubeconfig: str = ""
    context: str = ""
    timeout: timedelta = timedelta(seconds=10)
    rate: float = 50.0
    burst: int = 100
    connections: int = 64
    """Requests under way at one time; watches and what goes ahead don't count."""
    silence: timedelta = timedelta(seconds=70)
    """After how long without a word a watch is dead: bookmarks come every minute."""


Observer = Callable[[str, str, str, float], None]
"""Told verb, resource, code (or ``none``) and seconds of each request."""


class KubeClient:
    """One API server. ``open`` first; every call is bounded in time and raises ``Unavailable`` past it."""

    def __init__(self, access: Access, observer: Observer | None = None) -> None:
        self._timeout = access.timeout.total_seconds()
        self._silence = access.silence.total_seconds()
        self._observer = observer or (lambda verb, resource, code, seconds: None)
        self._credentials = Credentials(access.kubeconfig, access.context)
        self._pace = Pace(access.rate, access.burst, self._timeout)
        self._free = asyncio.Semaphore(access.connections)
        self._renewal: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._retired: aiohttp.ClientSession | None = None
        self._outdated = False
        """What connections are made of is another one by now, and no session could be made of it yet."""
        self._options: dict[str, Any] = {}

    @property
    def namespace(self) -> str:
        """The namespace of the context, or of the pod this runs in; empty when neither says."""
        return self._credentials.namespace

    @property
    def quiet(self) -> str:
        """Why requests wait now, as the API server asked for it; empty: they don't."""
        return self._pace.quiet

    async def open(self) -> None:
        """Read the credentials and make the session. Raises ``Unavailable`` with what to do."""
        await self._credentials.read()
        await self._connect()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        sessions, self._session, self._retired = (self._session, self._retired), None, None
        for session in filter(None, sessions):
            await session.close()

    # ---------------------------------------------------------------------------------------- requests

    async def request(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        resource: str,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
        read: Callable[[bytes], Awaitable[Json]] | None = None,
        ahead: bool = False,
    ) -> Json:
        """One request, one JSON object for an answer. Raises ``Refused`` (definite) or ``Unavailable``
        (unknown). ``read``: how to read a long one; it raises ``ValueError`` for what is no such object.
        ``ahead``: it waits for no other request, neither for the rate nor for a connection; only while the
        API server asked to be left alone."""
        asked = (method, path, body, content, query)
        data = await self._exchange(asked, resource, lambda response: response.read(), ahead=ahead)
        try:
            answer = await read(data) if read else json.loads(data)
        except ValueError as error:
            raise Unavailable(f"{method} {path}: the API server's answer is no JSON: {error}") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {path}: the API server's answer is no object")
        return answer

    async def read_end(
        self, path: str, size: int, *, resource: str, query: Mapping[str, str] | None = None
    ) -> bytes:
        """The last ``size`` bytes of what a GET answers, however long that is."""

        async def end(response: aiohttp.ClientResponse) -> bytes:
            kept = b""
            async for chunk in response.content.iter_any():
                kept = (kept + chunk)[-size:]
            return kept

        return await self._exchange(("GET", path, None, "", query), resource, end)

    async def _exchange(
        self,
        asked: _Asked,
        resource: str,
        read: Callable[[aiohttp.ClientResponse], Awaitable[bytes]],
        *,
        ahead: bool = False,
    ) -> bytes:
        await (self._pace.silence() if ahead else self._pace.turn())
        place = nullcontext() if ahead else self._free
        where = f"{asked[0]} {asked[1]}"
        started, code = time.perf_counter(), NO_ANSWER
        try:
            async with asyncio.timeout(self._timeout), place, self._sent(*asked) as response:
                code = str(response.status)
                if 200 <= response.status < 300:
                    return await read(response)
                text = (await response.read()).decode("utf-8", "replace")
            raise await self._meaning(response, text, where)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise await self._unanswered(where, error, self._timeout) from None
        finally:
            self._observer(_verb(asked[0], asked[1], resource), resource, code, time.perf_counter() - started)

    @asynccontextmanager
    async def _sent(
        self, method: str, path: str, body: Body | None, content: str, query: Mapping[str, str] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if body is not None else {})
        if token := await self._token():
            headers["Authorization"] = token
        if self._session is None:
            raise Unavailable(f"{method} {path}: the client is closed")
        async with self._session.request(
            method,
            f"{self._credentials.configuration.host.rstrip('/')}/{path}",
            data=json.dumps(body) if body is not None else None,
            params=query or None,
            headers=headers,
            timeout=NO_LIMITS,
            allow_redirects=False,
            **self._options,
        ) as response:
            yield response

    async def _meaning(
        self, response: aiohttp.ClientResponse, text: str, where: str
    ) -> Refused | Unavailable:
        """What an answer means that is no success. A 5xx may have been applied: its outcome is unknown. So is
        that of a write which something else than the API server refused."""
        code = response.status
        told = status_of(text)
        reason, message = told or ("", "")
        wait = response.headers.get("Retry-After", "").strip()
        if code == 429 or (code >= 500 and wait.isdigit()):
            self._pace.keep_quiet(float(wait) if wait.isdigit() else 1.0, code)
        if code == 401:
            await self._renew(response.request_info.headers.get("Authorization", ""))
        if 400 <= code < 500 and code not in _UNKNOWN:
            if told or response.method == "GET":
                return Refused(code, reason, message, where)
            return of_another(where, code)
        hint = ": are the credentials current?" if code == 401 else ""
        return Unavailable(f"{where}: the API server answers {code} {message or reason}".rstrip() + hint)

    async def _unanswered(self, where: str, error: Exception, limit: float) -> Unavailable:
        """One line for people about a request without an answer: what happened, where."""
        if isinstance(error, aiohttp.ClientSSLError):
            await self._renew()  # its CA may have been renewed
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
            return Unavailable(f"{where}: no answer within {limit:g} s")
        hint = ": is the API server up?" if isinstance(error, aiohttp.ClientConnectorError) else ""
        return Unavailable(f"{where}: {' '.join(str(error).split()) or type(error).__name__}{hint}")

    # ------------------------------------------------------------------------------------------- watch

    async def watch(
        self, path: str, query: Mapping[str, str], *, resource: str
    ) -> AsyncGenerator[Json, None]:
        """The events of a watch, until it ends by itself.

        Raises ``Refused`` when it is not granted, ``Unavailable`` when it breaks or falls silent.
        """
        await self._pace.turn()
        where, limit = f"WATCH {path}", self._timeout
        asked = {**query, "watch": "true", "allowWatchBookmarks": "true"}
        try:
            async with AsyncExitStack() as stack:
                response = await self._begun(stack, path, asked, resource)
                if response.status != 200:
                    async with asyncio.timeout(limit):
                        text = await response.text(errors="replace")
                    raise await self._meaning(response, text, where)
                limit = self._silence
                for number in itertools.count(1):
                    async with asyncio.timeout(limit):
                        line = await response.content.readline()
                    if not line:
                        return
                    yield _event(line, where)
                    if number % TURN == 0:
                        await asyncio.sleep(0)  # to read what has come already is no wait
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise await self._unanswered(where, error, limit) from None

    async def _begun(
        self, stack: AsyncExitStack, path: str, asked: Mapping[str, str], resource: str
    ) -> aiohttp.ClientResponse:
        """The watch as it was answered: the API server sends its headers at once."""
        started, code = time.perf_counter(), NO_ANSWER
        try:
            async with asyncio.timeout(self._timeout):
                response = await stack.enter_async_context(self._sent("GET", path, None, "", asked))
            code = str(response.status)
            return response
        finally:
            self._observer("watch", resource, code, time.perf_counter() - started)

    # ------------------------------------------------------------------------------------- credentials

    async def _token(self) -> str:
        if self._credentials.due:
            renewal = self._renewal_under_way()
            if not self._credentials.good:  # else it goes on beside requests: a plugin may hang for long
                with suppress(Unavailable):  # what we have may be good all the same
                    await asyncio.shield(renewal)
        return await self._credentials.header()

    async def _renew(self, refused: str = "") -> None:
        """Read the credentials again, unless somebody just did. ``refused``: what the server did not take.

        A plugin may take longer than a request: its answer is not thrown away with whoever asked first.
        """
        current = await self._credentials.header() if refused else ""
        if self._renewal is None and (self._credentials.just_read or refused != current):
            return
        await asyncio.shield(self._renewal_under_way())

    def _renewal_under_way(self) -> asyncio.Task[None]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._read_again(), name="credentials")
            self._renewal.add_done_callback(self._renewed)
        return self._renewal

    async def _read_again(self) -> None:
        self._outdated |= await self._credentials.read()
        if self._outdated:
            await self._connect()

    def _renewed(self, task: asyncio.Task[None]) -> None:
        self._renewal = None
        if not task.cancelled() and (error := task.exception()):  # nobody may have waited for it
            _log.warning("credentials-not-renewed", error=str(error))

    async def _connect(self) -> None:
        """A new session. The last one may have requests under way: the one before it is closed."""
        configuration = self._credentials.configuration
        try:
            context = (await asyncio.to_thread(RESTClientObject, configuration)).ssl_context
        except (OSError, ValueError) as error:
            raise Unavailable(f"the certificates for {configuration.host} can't be read: {error}") from None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"batchkeeper/{__version__}"},
            read_bufsize=LONGEST_LINE,
        )
        # aiohttp repeats a DELETE, PUT or GET on a connection that was dropped while idle, by itself.
        session._retry_connection = False
        before, self._session, self._retired = self._retired, session, self._session
        self._outdated = False
        self._options = _options(configuration)
        if before is not None:
            await before.close()


_Asked = tuple[str, str, Body | None, str, Mapping[str, str] | None]
"""Method, path, body, content type and query of a request."""


def _options(configuration: Any) -> dict[str, Any]:
    """What each request of a session is told: the environment is asked once, not for every request."""
    told = {"proxy": proxy_of(configuration), "server_hostname": configuration.tls_server_name}
    return {key: value for key, value in told.items() if value}


def _verb(method: str, path: str, resource: str) -> str:
    """As Kubernetes calls it."""
    if method == "GET":
        return "list" if path.rpartition("/")[2] == resource else "get"
    return _VERBS.get(method, method.lower())


def _event(line: bytes, where: str) -> Json:
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise Unavailable(f"{where}: an event of the watch makes no sense")
    return event
