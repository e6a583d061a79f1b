"""Commands about spec files: validate, plan, submit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from controller.cli.options import AsAdmin, Config, DryRun, Output
from controller.cli.output import Format, complain, note, show, warn, written
from controller.cli.plan_screen import plan_screen
from controller.cli.session import application, caller, go, parts_of, settings_for
from controller.cli.tables import table
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.intake import Outcome
from controller.plan_document import plan_document
from controller.ports import BatchkeeperError
from controller.reading import read_spec_file
from controller.requests import Caller
from controller.spec_pass import Reading
from controller.specfile import json_schema
from controller.submitting import submit_spec
from controller.this_machine import local_user

if TYPE_CHECKING:
    pass

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A batch spec: YAML or JSON.")]


async def read(settings: Settings, path: Path) -> Reading:
    """A spec file as the daemon would read it. Raises ``BatchkeeperError`` when there is no such file."""
    try:
        return await read_spec_file(settings, path, user=local_user())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BatchkeeperError(f"{path}: {reason}: give the path of a batch spec") from None


async def read_good(settings: Settings, path: Path) -> BatchSpec | None:
    """The spec, its warnings told; None: its problems were told."""
    reading = await read(settings, path)
    for line in reading.warnings:
        warn(line)
    if reading.spec is None:
        complain(*reading.problems)
    return reading.spec


# ----------------------------------------------------------------------------------------- validate


def validate(
    specs: Annotated[
        list[Path] | None, typer.Argument(metavar="SPEC...", show_default=False, help="Batch specs.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a spec, for editors.")
    ] = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Check specs: everything that is wrong with them, with its line. Nothing is started."""
    if schema and specs:
        raise typer.BadParameter("stands alone: name no specs with it", param_hint="--schema")
    if schema:
        sys.stdout.write(written(Format.JSON if output is Format.TABLE else output, json_schema()))
        return
    if not specs:
        raise typer.BadParameter("name a spec, or ask for the --schema", param_hint="SPEC...")
    go(_validate(settings_for(config), specs, output))


async def _validate(settings: Settings, paths: Sequence[Path], form: Format) -> int:
    documents, made = [], table("SPEC", "OK", "WHAT")
    for path in paths:
        reading = await read(settings, path)
        documents.append(_verdict(path, reading))
        good = reading.spec is not None
        ok = Text("yes", style="green") if good else Text("no", style="red")
        made.add_row(str(path), ok, _in_short(reading))
        if form is Format.TABLE:
            for line in reading.warnings:
                warn(line)
            complain(*reading.problems)
    show(form, documents, lambda: made)
    return 0 if all(document["valid"] for document in documents) else 1


def _verdict(path: Path, reading: Reading) -> dict[str, object]:
    return {
        "spec": str(path),
        "valid": reading.spec is not None,
        "tasks": len(reading.spec.tasks) if reading.spec else None,
        "problems": list(reading.problems),
        "warnings": list(reading.warnings),
    }


def _in_short(reading: Reading) -> str:
    if reading.spec is None:
        n = len(reading.problems)
        return f"{n} problem{'' if n == 1 else 's'}, told above"
    spec = reading.spec
    return f"batch {spec.name}: {len(spec.tasks)} tasks, at most {spec.max_concurrent} active"


# --------------------------------------------------------------------------------------------- plan


def plan(spec: SpecPath, config: Config = None, output: Output = Format.TABLE) -> None:
    """What a spec would do: how many jobs, their names, peak CPU and memory, retry rules."""
    go(_plan(settings_for(config), spec, output))


async def _plan(settings: Settings, path: Path, form: Format) -> int:
    spec = await read_good(settings, path)
    if spec is None:
        return 1
    show(form, plan_document(settings.cluster.kind, spec), lambda: plan_screen(settings, spec))
    return 0


# ------------------------------------------------------------------------------------------- submit


def submit(
    spec: SpecPath,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a batch of a spec, or bring the batch of its name up to it; the daemon does the rest."""
    go(_submit(settings_for(config), spec, caller(as_admin), dry_run, output))


async def _submit(settings: Settings, path: Path, who: Caller, dry_run: bool, form: Format) -> int:
    spec = await read_good(settings, path)
    if spec is None:
        return 1
    async with parts_of(settings, create=not dry_run) as parts:
        taken = await submit_spec(parts.store, who, spec, f"{who.user}: {path}", dry_run=dry_run)
    document = {
        "outcome": taken.outcome.value,
        "batch": f"{spec.namespace}/{spec.name}",
        "batchId": taken.batch.id if taken.batch and not dry_run else None,
        "sentences": list(taken.sentences),
    }
    if taken.outcome is Outcome.REFUSED and form is Format.TABLE:
        complain(*taken.sentences)
        return 1
    show(form, document, lambda: Text(f"{spec.name}: {'; '.join(taken.sentences)}"))
    if dry_run:
        note("dry run: nothing was changed")
    elif form is Format.TABLE and not application().daemon_is_there(settings):
        note("no daemon looks after this place now: 'batchkeeper controller' starts one")
    return 1 if taken.outcome is Outcome.REFUSED else 0
