"""Whether an index serves a read of EE2's records, by the server's own plan. Called by ``mongo_ee2``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import IndexModel


def unserved_line(explained: Mapping[str, Any], collection: str, index: IndexModel) -> str:
    """One line with the index to create when a read goes through all records; empty: it is served."""
    wanted = index.document
    leading = next(iter(wanted["key"]))
    for stage in _stages(explained.get("queryPlanner", {}).get("winningPlan", {})):
        by_id = stage.get("stage") == "IXSCAN" and next(iter(stage["keyPattern"])) == "_id"
        if stage.get("stage") == "COLLSCAN" or by_id:
            key = ", ".join(f"{name}: 1" for name in wanted["key"])
            only = wanted.get("partialFilterExpression")
            options = f'name: "{wanted["name"]}"' + (
                ", partialFilterExpression: {retry_parent: {$exists: true}}" if only else ""
            )
            return (
                f"reading by {leading} goes through all of {collection}: "
                f"db.{collection}.createIndex({{{key}}}, {{{options}}}), or store.ee2.create_indexes"
            )
    return ""


def _stages(plan: Any) -> Iterator[Mapping[str, Any]]:
    """Every stage of a plan, the inner ones too."""
    if isinstance(plan, Mapping):
        if "stage" in plan:
            yield plan
        for inner in plan.values():
            yield from _stages(inner)
    elif isinstance(plan, list):
        for inner in plan:
            yield from _stages(inner)
