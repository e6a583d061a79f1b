"""How long every call to the store and to the cluster takes, measured at the port itself.

``app`` puts these around the adapters of the daemon, so that no adapter counts and none is forgotten.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from controller.ports import BatchkeeperError, Cluster, Store, Unavailable
from controller.telemetry.metrics import Metrics

_Port = TypeVar("_Port")
_Done = Callable[[str, str, float], None]
"""Told the call's name, how it ended (``ok``, ``unavailable``, ``rejected``, ``error``) and the seconds."""


def timed_store(store: Store, metrics: Metrics) -> Store:
    """The same store; each call is one observation of ``store_op_seconds``."""
    return _timed(store, lambda op, _, seconds: metrics.store_called(op, seconds))


def timed_cluster(cluster: Cluster, metrics: Metrics) -> Cluster:
    """The same cluster; each call is one observation of ``cluster_request_seconds``."""
    return _timed(cluster, lambda verb, code, seconds: metrics.cluster_requested(verb, "jobs", code, seconds))


def _timed(port: _Port, done: _Done) -> _Port:
    """A look-alike whose coroutines are timed; streams and plain methods are passed through."""
    proxy: Any = _Timed(port, done)
    timed: _Port = proxy
    return timed


class _Timed:
    def __init__(self, port: object, done: _Done) -> None:
        self._port = port
        self._done = done

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if inspect.iscoroutinefunction(found):
            found = _measured(found, name, self._done)
            setattr(self, name, found)
        return found


def _measured(call: Callable[..., Awaitable[Any]], name: str, done: _Done) -> Callable[..., Awaitable[Any]]:
    @wraps(call)
    async def measured(*args: Any, **kwargs: Any) -> Any:
        started, end = time.perf_counter(), "error"
        try:
            answer = await call(*args, **kwargs)
            end = "ok"
            return answer
        except Unavailable:
            end = "unavailable"
            raise
        except BatchkeeperError:
            end = "rejected"
            raise
        finally:
            done(name, end, time.perf_counter() - started)

    return measured
