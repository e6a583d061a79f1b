"""How long every call to the store and to the cluster takes, measured at the port itself.

``app`` puts these around the adapters of the daemon, so that no adapter counts and none is forgotten.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from controller.ports import BatchkeeperError, Cluster, Store, Unavailable
from controller.telemetry.metrics import UNAVAILABLE, Metrics

_Port = TypeVar("_Port")
_Done = Callable[[str, str, float], None]
"""Told the call's name, how it ended (``ok``, ``unavailable``, ``rejected``, ``error``) and the seconds."""


def timed_store(store: Store, metrics: Metrics) -> Store:
    """The same store; each call is one observation of ``store_op_seconds``.

    A call that found no store counts under ``unavailable``: its own name's latency stays that of answers.
    """
    return _timed(store, _of_store(metrics))


@contextmanager
def opening(metrics: Metrics | None) -> Iterator[None]:
    """Opening the store: while it is away at the start, this is the only call that could tell of it."""
    started = time.perf_counter()
    try:
        yield
    except Unavailable:
        if metrics is not None:
            metrics.store_called(UNAVAILABLE, time.perf_counter() - started)
        raise


def timed_cluster(cluster: Cluster, metrics: Metrics) -> Cluster:
    """The same cluster; each call is one observation of ``cluster_request_seconds``."""
    return _timed(cluster, lambda verb, code, seconds: metrics.cluster_requested(verb, "jobs", code, seconds))


def timed_records(records: _Port, metrics: Metrics) -> _Port:
    """EE2's records, in the same way as our own store."""
    return _timed(records, _of_store(metrics))


def _timed(port: _Port, done: _Done) -> _Port:
    """A look-alike whose coroutines are timed; streams and plain methods are passed through."""
    proxy: Any = _Timed(port, done)
    timed: _Port = proxy
    return timed


def _of_store(metrics: Metrics) -> _Done:
    return lambda op, end, seconds: metrics.store_called(UNAVAILABLE if end == UNAVAILABLE else op, seconds)


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
            end = UNAVAILABLE
            raise
        except BatchkeeperError:
            end = "rejected"
            raise
        finally:
            done(name, end, time.perf_counter() - started)

    return measured
