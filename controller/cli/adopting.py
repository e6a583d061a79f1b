"""The ``adopt`` command: what others run under a batch's names, what each becomes, and the order to do so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from controller.adopting import Look, ask_to_adopt, look_for_others
from controller.cli.options import AsAdmin, BatchName, Config, DryRun, Output
from controller.cli.output import Format, note, show
from controller.cli.session import go
from controller.cli.tables import styled, table
from controller.cli.ways import open_way
from controller.core.adoption import Binding, about_others
from controller.core.model import Batch, Status
from controller.core.sight import Adoptable
from controller.requests import Caller
from controller.surroundings import names_of

if TYPE_CHECKING:
    from controller.app import Parts

NOTHING = Look((), ())


def adopt(
    batch: BatchName,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Take over jobs that others run under a batch's names; theirs are followed and never touched."""
    go(_adopt(config, as_admin, batch, dry_run, output))


async def _adopt(config: Path | None, as_admin: bool, name: str, dry_run: bool, form: Format) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        document = await way.adopt(name, dry_run=dry_run)
    show(form, document, lambda: _screen(document))
    if dry_run:
        note("dry run: nothing was changed")
    return 0


async def adoption(parts: Parts, who: Caller, batch: Batch, dry_run: bool) -> dict[str, Any]:
    """The order. The look comes before it: what is shown is what there was to take over."""
    gate = (await parts.store.gates([batch.id])).get(batch.id)
    did, look = await ask_to_adopt(parts.people, who, batch, dry_run=True), NOTHING
    if gate and about_others(gate):
        names = names_of(await parts.store.batches(closed=False))
        look = await look_for_others(parts.engine, batch, gate, names=names.get(batch.namespace, frozenset()))
    if not dry_run:
        did = await ask_to_adopt(parts.people, who, batch)
    return _document(batch, look, did)


def _document(batch: Batch, look: Look, did: str) -> dict[str, Any]:
    by_status = {
        status.value: sum(one.status is status for one in look.bound)
        for status in (Status.COMPLETED, Status.ERROR, Status.QUEUED, Status.RUNNING)
    }
    waiting = max(0, batch.counts.status.get(Status.WAITING, 0) - len(look.bound))
    others = [_other(one) for one in look.others]
    foreign = sum(one["state"] == "active" for one in others)
    return {
        "batch": batch.name,
        "did": did,
        "tasks": [_bound(one) for one in look.bound],
        "others": others,
        "totals": {**by_status, "submitted": waiting, "foreign": foreign},
    }


def _bound(one: Binding) -> dict[str, Any]:
    return {
        "task": one.job.task_id,
        "kind": one.found.kind,
        "name": one.found.job.name,
        "uid": one.found.job.uid,
        "state": "active" if one.found.job.active else "ended",
        "becomes": one.status.value,
        "verdict": one.verdict.value if one.verdict else None,
        "because": one.because,
    }


def _other(one: Adoptable) -> dict[str, Any]:
    state = "active" if one.job.active else "ended"
    return {"kind": one.kind, "name": one.job.name, "uid": one.job.uid, "state": state}


def _screen(document: dict[str, Any]) -> Group:
    made = table("TASK", "OBJECT", "STATE", "BECOMES", "WHY")
    for one in document["tasks"]:
        why = f"{one['verdict']}: {one['because']}" if one["verdict"] else one["because"]
        made.add_row(one["task"], f"{one['kind']}/{one['name']}", one["state"], styled(one["becomes"]), why)
    for one in document["others"]:
        stays = "counts as foreign" if one["state"] == "active" else "is left alone"
        made.add_row("", f"{one['kind']}/{one['name']}", one["state"], "", f"no task's name: {stays}")
    totals = ", ".join(f"{n} {word}" for word, n in document["totals"].items() if n)
    rows = document["tasks"] or document["others"]
    said = Text(f"{document['batch']} {document['did']}")
    return Group(made, Text(totals), said) if rows else Group(said)
