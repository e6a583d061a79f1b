"""A store that counts what it is asked. Wraps any ``ports.Store``."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any, cast

from controller.ports import Store


class Counting:
    """Passes every call on and counts it by the method's name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return await method(*args, **kwargs)

        return call


def counting(store: Store) -> tuple[Store, Counter[str]]:
    """The same store, and the counter that fills while it is used."""
    wrapped = Counting(store)
    return cast("Store", wrapped), wrapped.calls
