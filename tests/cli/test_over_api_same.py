"""The same command lines over the store and over the API: the same documents, screens and exit codes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from controller.cli.api_records import BATCH_KEYS
from controller.cli.way_api import ApiWay
from controller.people import NotFound
from controller.this_machine import local_user
from tests.api.place import SPEC
from tests.cli.two_ways import TwoWays, normal

LOOKS = [
    "list",
    "list --limit 1",
    "status sweep",
    "status default/sweep",
    "status nothing",
    "status sweeep",
    "jobs sweep",
    "jobs sweep --limit 2",
    "jobs sweep --status error --verdict mount-failure",
    "jobs nothing",
    "logs sweep-1",
    "logs sweep-9",
    "explain sweep",
    "explain sweep-2",
    "explain nothing",
    "report sweep",
    "plan new.yaml",
    "plan wrong.yaml",
    "plan nowhere.yaml",
]
"""Nothing changes, so both may ask of one batch."""

DRY = [
    "retry sweep-1 --dry-run",
    "retry sweep-1 sweep-2 nothing sweep --dry-run",
    "retry sweep-1 sweep-1 --dry-run",
    "retry --batch sweep --dry-run",
    "retry --batch sweep --verdict lost --dry-run",
    "retry --batch sweep --memory 3Gi --cpu 500m --now --dry-run",
    "cancel sweep sweep-1 nothing --dry-run",
    "pause sweep --dry-run",
    "resume sweep --dry-run",
    "scale sweep 9 --dry-run",
    "repair --as-admin --dry-run",
    "reap --as-admin --dry-run",
    "halt submissions --as-admin --dry-run",
    "unhalt retries --as-admin --dry-run",
    "submit new.yaml --dry-run",
    "submit changed.yaml --dry-run",
    "submit refused.yaml --dry-run",
]

ORDERS = [
    "retry {0}-1 {0}-2",
    "retry {0}-1 {0}-2 nothing {0} --memory 3Gi",
    "retry {0}-1 --memory 1.1Gi",
    "retry {0}-1 --memory 500k",
    "retry --batch {0}",
    "retry --batch {0} --verdict mount-failure --now",
    "cancel {0}-1 {0}-2 --why never-mind",
    "cancel {0} nothing",
    "pause {0}",
    "resume {0}",
    "scale {0} 9",
    "scale {0} 0",
    "scale {0} 1000001",
    "submit {0}.yaml",
    "submit {0}-refused.yaml",
]
"""Each is given to a batch of its own on either way."""


async def place(ways: TwoWays, *names: str) -> None:
    """Batches of which two of three tasks have failed, and specs that change or are refused."""
    for name in names:
        await ways.here.failed(name, 3, user=local_user())
        await ways.here.store._jobs.update_many({"name": f"{name}-3"}, {"$set": {"status": "waiting"}})
    await asyncio.to_thread(_write_specs, names)


def _write_specs(names: tuple[str, ...]) -> None:
    for name in names:
        spec = SPEC.format(name=name, tasks=3)
        changed, refused = spec.replace("maxConcurrent: 4", "maxConcurrent: 5"), spec.replace("1Gi", "2Gi")
        for path, text in (
            (f"{name}.yaml", changed),
            (f"{name}-refused.yaml", refused),
            ("changed.yaml", changed),
            ("refused.yaml", refused),
        ):
            Path(path).write_text(text)
    Path("new.yaml").write_text(SPEC.format(name="new", tasks=2))
    Path("wrong.yaml").write_text(SPEC.format(name="wrong", tasks=2).replace("image", "imago"))


@pytest.mark.parametrize("form", ["json", "table"])
async def test_what_only_looks_or_is_a_dry_run_is_the_same(ways: TwoWays, form: str) -> None:
    """Word by word, to programs and to people, with the same exit code; a dry run changes nothing."""
    await place(ways, "sweep")
    different = {}
    for line in [*LOOKS, *DRY]:
        words = line if line.startswith(("logs", "halt", "unhalt")) else f"{line} -o {form}"
        store, api = await ways.store(words), await ways.api(words)
        told = [(one.code, normal(one.out, "sweep")) for one in (store, api)]
        if told[0] != told[1]:
            different[line] = [*told, store.err, api.err]
    assert different == {}


@pytest.mark.parametrize("line", ORDERS)
async def test_an_order_does_and_says_the_same(ways: TwoWays, line: str) -> None:
    """On twins, each over its own way: the same answers, the same exit code, the same records after."""
    await place(ways, "left", "right")
    store = await ways.store(f"{line.format('left')} -o json")
    api = await ways.api(f"{line.format('right')} -o json")
    assert (api.code, normal(api.out, "right")) == (store.code, normal(store.out, "left")), api.err
    left, right = [await ways.store(f"jobs {name} -o json") for name in ("left", "right")]
    assert normal(right.out, "right") == normal(left.out, "left")
    left, right = [await ways.store(f"status {name} -o json") for name in ("left", "right")]
    assert normal(right.out, "right") == normal(left.out, "left")


@pytest.mark.parametrize("line", ["plan wrong.yaml", "submit wrong.yaml"])
async def test_a_bad_spec_goes_by_its_own_name(ways: TwoWays, line: str) -> None:
    """What is wrong is told of the file that was named here, and not of what was sent."""
    await place(ways, "sweep")
    store, api = await ways.store(line), await ways.api(line)
    assert api.err.startswith("error: wrong.yaml:")
    assert api.err == store.err


async def test_a_dry_run_of_a_halt_is_an_operator_s_too(ways: TwoWays) -> None:
    """As the real one is; it was not refused over the store."""
    for line in ("halt submissions --dry-run", "unhalt retries --dry-run"):
        store, api = await ways.store(line), await ways.api(line)
        assert (store.code, api.code) == (1, 1)
        assert "as-admin" in store.err


async def test_a_batch_that_has_come_since_is_found() -> None:
    """A command keeps the list of batches that it has read: whoever waits for one would never see it come."""
    client = AsyncMock()
    batch = dict.fromkeys(BATCH_KEYS, "") | {"batch": "default/sweep", "batchId": "1" * 24}
    client.get.side_effect = [{"items": [], "next": None}, {"items": [batch], "next": None}, batch]
    way = ApiWay(client, as_admin=False)
    with pytest.raises(NotFound):
        await way.batch("sweep")
    assert await way.batch("sweep") == batch
