"""The API as a whole: put on the application that ``http`` serves, then opened once the store is there.

Made by ``app``. It fails closed: where nobody could be told from anybody it is not served, and says why;
health and metrics go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi import params as kinds
from fastapi.dependencies.utils import get_flat_params

from controller.api import (
    documented,
    page,
    problems,
    routes_batches,
    routes_charts,
    routes_events,
    routes_jobs,
    routes_operate,
    routes_specs,
    rpc,
)
from controller.api.auth import Chain
from controller.api.auth_session import Sessions, router_of
from controller.api.context import Context, Who, World
from controller.api.guard import Guard
from controller.api.live import Live
from controller.api.problems import Problem
from controller.config import Settings
from controller.telemetry import get_logger

ROUTERS = (
    routes_specs.router,
    routes_batches.router,
    routes_charts.router,
    routes_jobs.router,
    routes_operate.router,
    routes_events.router,
)
NOBODY = (
    "the API is not served: nobody could be told from anybody. Set auth.static.file, auth.oidc or "
    "auth.token_review, or listen on a loopback address"
)
_log = get_logger(__name__)


class Api:
    """The API of one process. ``install`` before the server starts, ``open`` when the store answers."""

    def __init__(
        self,
        settings: Settings,
        chain: Chain,
        monotonic: Callable[[], float],
        sessions: Sessions | None = None,
    ) -> None:
        self.context = Context(settings, chain, monotonic, sessions)
        self._settings = settings

    def install(self, app: FastAPI, *extra: APIRouter) -> None:
        """Put the routes on the application; ``extra``: those of others that ask for ``Who`` and ``Here``."""
        app.state.context = self.context
        problems.install(app)
        app.add_middleware(Guard, max_body=self._settings.api.max_body)
        if not self._settings.api.enabled:
            return
        app.include_router(page.router)
        sessions, known = self.context.sessions, self.context.chain.names
        if not known and sessions is None:
            _log.warning("api off", why=NOBODY)
            rpc.refuse(app, NOBODY)
            app.add_api_route("/api/{rest:path}", _off, methods=_METHODS, include_in_schema=False)
            return
        if sessions is not None:
            app.include_router(router_of(sessions))
        for router in (*ROUTERS, *extra):
            app.include_router(router, dependencies=[Depends(known_query)])
        app.include_router(rpc.router)
        app.openapi = lambda: documented.document(app)  # type: ignore[method-assign]
        _log.info("api on", known_by=[*known, *(["session"] if sessions else [])])

    def open(self, world: World) -> None:
        """From now on requests are answered; until then they get 503."""
        self.context.world = world
        self.context.live = Live(world.store, world.desk)

    async def close(self) -> None:
        """End what would go on for ever, before the server stops."""
        await self.context.charting.close()
        if self.context.live is not None:
            await self.context.live.close()

    def page(self, url: str) -> str:
        """The URL of the page, with a token that lets in once where there are sessions."""
        sessions = self.context.sessions
        return sessions.page(url) if sessions and self._settings.api.enabled else url


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def _off() -> None:
    """Nothing is answered."""
    raise Problem(503, "off", NOBODY)


def known_query(request: Request, _: Who) -> None:
    """Refuse a parameter that no route knows: a slip would pass unnoticed. Raises ``Problem`` 422.

    After whoever asks is known: else it would have no pace, and the audit log no name.
    """
    route: Any = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return
    fields = get_flat_params(dependant)
    known = {field.alias for field in fields if isinstance(field.field_info, kinds.Query)}
    if unknown := sorted(set(request.query_params) - known):
        listed = ", ".join(sorted(known)) or "none"
        raise Problem(
            422,
            "invalid",
            f"{', '.join(unknown)[:200]}: no such parameter; known here: {listed}; nothing was done",
        )
