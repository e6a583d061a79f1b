"""Raw requests to one API server, over one shared session: every outcome is definite or unknown.

``kubernetes.aio`` reads kubeconfigs, tokens and certificates; requests and answers are plain JSON. There
are no hidden retries: a write that was repeated by a library would be a second write that nobody knows of.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME

from controller.ports import BatchkeeperError, Rejected, Unavailable

Json = dict[str, Any]
Body = Mapping[str, Any] | list[dict[str, Any]]

JSON_PATCH = "application/json-patch+json"
MAX_PAUSE = 60.0
"""Seconds for which one Retry-After may keep the client quiet."""
WATCH_SILENCE = 70.0
"""Seconds of silence after which a watch is dead: bookmarks come every minute."""
RELOAD_AFTER = 5.0
"""Seconds between two readings of the credentials after a 401."""
NO_LIMITS = aiohttp.ClientTimeout(total=None)
"""The whole request is bounded around it."""
_UNKNOWN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how it is used. ``timeout`` bounds each request as a whole."""

    kubeconfig: str = ""
    context: str = ""
    timeout: timedelta = timedelta(seconds=10)
    rate: float = 50.0
    burst: int = 100
    connections: int = 64


class Refused(BatchkeeperError):
    """A definite 4xx of the API server: nothing was changed. ``code`` and ``reason`` are its Status's."""

    def __init__(self, code: int, reason: str, message: str, where: str) -> None:
        super().__init__(f"{where}: {message or reason or 'refused'} ({code})")
        self.code = code
        self.reason = reason
        self.message = message


Observer = Callable[[str, str, str, float], None]
"""Told verb, resource, code (or ``none``) and seconds of each request."""


class KubeClient:
    """One API server. ``open`` first; every call is bounded in time and raises ``Unavailable`` past it."""

    def __init__(self, access: Access, observer: Observer | None = None) -> None:
        self._access = access
        self._observer = observer or (lambda verb, resource, code, seconds: None)
        self._configuration: Any = None
        self._session: aiohttp.ClientSession | None = None
        self._rest: Any = None
        self._tokens = float(access.burst)
        self._refilled = time.monotonic()
        self._quiet_until = 0.0
        self._reloaded = 0.0
        self.namespace = ""
        """The namespace of the context, or of the pod this runs in; empty when neither says."""

    async def open(self) -> None:
        """Read the credentials and make the session. Raises ``Unavailable`` with what to do."""
        self._configuration = await self._configured()
        await self._connect()

    async def close(self) -> None:
        """Let go of the connections."""
        rest, self._rest, self._session = self._rest, None, None
        if rest is not None:
            await rest.close()

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
    ) -> Json:
        """One request, one JSON answer. Raises ``Refused`` (definite) or ``Unavailable`` (unknown)."""
        text = await self._text(method, path, body, resource=resource, content=content, query=query)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise Unavailable(f"{method} {path}: the API server's answer is no JSON: {error}") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {path}: the API server's answer is no object")
        return answer

    async def read_text(self, path: str, *, resource: str, query: Mapping[str, str] | None = None) -> str:
        """A GET whose answer is text, such as a log."""
        return await self._text("GET", path, None, resource=resource, content="", query=query)

    async def _text(
        self,
        method: str,
        path: str,
        body: Body | None,
        *,
        resource: str,
        content: str,
        query: Mapping[str, str] | None,
    ) -> str:
        await self._turn()
        started, code = time.perf_counter(), "none"
        where = f"{method} {path}"
        try:
            async with asyncio.timeout(self._access.timeout.total_seconds()):
                async with self._sent(method, path, body, content, query) as response:
                    code = str(response.status)
                    text = (await response.read()).decode("utf-8", "replace")
            await self._judge(response, text, where)
            return text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(_why(where, error, self._access.timeout)) from None
        finally:
            self._observer(method.lower(), resource, code, time.perf_counter() - started)

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        path: str,
        body: Body | None,
        content: str,
        query: Mapping[str, str] | None,
        limits: aiohttp.ClientTimeout = NO_LIMITS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise Unavailable(f"{method} {path}: the client is closed")
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if body is not None else {})
        headers |= await self._authorization()
        options: dict[str, Any] = {}
        if self._configuration.tls_server_name:
            options["server_hostname"] = self._configuration.tls_server_name
        if self._configuration.proxy:
            options["proxy"] = self._configuration.proxy
        async with self._session.request(
            method,
            f"{self._configuration.host.rstrip('/')}/{path}",
            data=json.dumps(body) if body is not None else None,
            params=query or None,
            headers=headers,
            timeout=limits,
            allow_redirects=False,
            **options,
        ) as response:
            yield response

    async def _judge(self, response: aiohttp.ClientResponse, text: str, where: str) -> None:
        """Nothing for a 2xx; else what it means. A 5xx may have been applied: its outcome is unknown."""
        code = response.status
        if 200 <= code < 300:
            return
        reason, message = _status(text)
        if code == 429:
            self._keep_quiet(response.headers.get("Retry-After", ""))
        if code == 401:
            await self._reload()
        if 400 <= code < 500 and code not in _UNKNOWN and code != 401:
            raise Refused(code, reason, message, where)
        hint = ": are the credentials current?" if code == 401 else ""
        raise Unavailable(f"{where}: the API server answers {code} {message or reason}{hint}".rstrip())

    # ------------------------------------------------------------------------------------------- watch

    async def watch(self, path: str, query: Mapping[str, str], *, resource: str) -> AsyncIterator[Json]:
        """The events of a watch, until it ends by itself.

        Raises ``Refused`` when it is not granted, ``Unavailable`` when it breaks or falls silent.
        """
        await self._turn()
        where, started, code = f"WATCH {path}", time.perf_counter(), "none"
        asked = {**query, "watch": "true", "allowWatchBookmarks": "true"}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._access.timeout.total_seconds())
        try:
            async with self._sent("GET", path, None, "", asked, limits) as response:
                code = str(response.status)
                if response.status != 200:
                    async with asyncio.timeout(self._access.timeout.total_seconds()):
                        await self._judge(response, await response.text(), where)
                self._observer("watch", resource, code, time.perf_counter() - started)
                while True:
                    async with asyncio.timeout(WATCH_SILENCE):
                        line = await response.content.readline()
                    if not line:
                        return
                    yield _event(line, where)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(_why(where, error, timedelta(seconds=WATCH_SILENCE))) from None

    # ----------------------------------------------------------------------------------- pace, credentials

    async def _turn(self) -> None:
        """Wait for this request's turn: the rate, and what the server asked for by Retry-After."""
        while True:
            now = time.monotonic()
            refill = (now - self._refilled) * self._access.rate
            self._tokens = min(float(self._access.burst), self._tokens + refill)
            self._refilled = now
            wait = self._quiet_until - now
            if wait > self._access.timeout.total_seconds():
                raise Unavailable(f"the API server asked to be left alone for another {wait:.0f} s (429)")
            if wait <= 0 and self._tokens >= 1:
                self._tokens -= 1
                return
            await asyncio.sleep(max(wait, (1 - self._tokens) / self._access.rate, 0.001))

    def _keep_quiet(self, retry_after: str) -> None:
        seconds = float(retry_after) if retry_after.strip().isdigit() else 1.0
        self._quiet_until = max(self._quiet_until, time.monotonic() + min(seconds, MAX_PAUSE))

    async def _authorization(self) -> dict[str, str]:
        """The header as the configuration says now: a token in the pod is read anew every minute."""
        try:
            auth = (await self._configuration.auth_settings()).get("BearerToken")
        except (OSError, config.ConfigException) as error:
            raise Unavailable(f"the token of the service account can't be read: {error}") from None
        return {"Authorization": str(auth["value"])} if auth and auth["value"] else {}

    async def _reload(self) -> None:
        """The server did not know us: read the credentials again, for a token that was rotated."""
        if time.monotonic() - self._reloaded < RELOAD_AFTER:
            return
        self._reloaded = time.monotonic()
        before, self._configuration = self._configuration, await self._configured()
        if _identity(before) != _identity(self._configuration):
            rest = self._rest
            await self._connect()
            await rest.close()

    async def _configured(self) -> Any:
        found = client.Configuration()
        access = self._access
        try:
            if not access.kubeconfig and os.environ.get(SERVICE_HOST_ENV_NAME):
                config.load_incluster_config(found)  # type: ignore[no-untyped-call]
                self.namespace = self.namespace or _pod_namespace()
            else:
                loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
                    access.kubeconfig or None, access.context or None, found, persist_config=False
                )
                context = loader.current_context.get("context", {})
                self.namespace = self.namespace or str(context.get("namespace") or "")
        except (config.ConfigException, OSError, ValueError) as error:
            name = access.kubeconfig or "the default kubeconfig"
            raise Unavailable(
                f"no way to the API server: {name}: {error}: name one in kubernetes.kubeconfig"
            ) from None
        found.retries = None
        found.connection_pool_maxsize = access.connections
        return found

    async def _connect(self) -> None:
        self._rest = RESTClientObject(self._configuration)
        session = self._rest.pool_manager = self._rest._create_pool_manager()
        # aiohttp repeats a DELETE, PUT or GET on a connection that was dropped while idle, by itself.
        session._retry_connection = False
        self._session = session


def _identity(configuration: Any) -> tuple[object, ...]:
    """What a connection is made of, tokens apart; certificates are files named by their content."""
    return configuration.host, configuration.cert_file, configuration.key_file, configuration.ssl_ca_cert


def _pod_namespace() -> str:
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _status(text: str) -> tuple[str, str]:
    """Reason and message of a Status, if it is one."""
    try:
        found = json.loads(text)
    except ValueError:
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("reason") or ""), " ".join(str(found.get("message") or "").split())[:500]


def _event(line: bytes, where: str) -> Json:
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise Unavailable(f"{where}: an event of the watch makes no sense")
    return event


def _why(where: str, error: BaseException, timeout: timedelta) -> str:
    """One line for people: what happened, where."""
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {timeout.total_seconds():g} s"
    return f"{where}: {' '.join(str(error).split()) or type(error).__name__}"


def rejected(error: Refused) -> Rejected:
    """The port's word for a definite refusal."""
    return Rejected(str(error), error.code)
