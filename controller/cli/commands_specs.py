"""Commands about spec files: validate, plan, submit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from controller.cli.options import AsAdmin, Config, DryRun, Output
from controller.cli.output import Format, complain, note, show, warn, written
from controller.cli.plan_screen import plan_screen
from controller.cli.session import application, go, settings_for
from controller.cli.spec_files import read, read_good
from controller.cli.tables import table
from controller.cli.ways import no_config_beside_url, open_way, over_api
from controller.config import Settings
from controller.intake import Outcome
from controller.plan_document import plan_document
from controller.spec_pass import Reading
from controller.specfile import json_schema

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A batch spec: YAML or JSON.")]

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
    go(_plan(config, spec, output))


async def _plan(config: Path | None, path: Path, form: Format) -> int:
    """A plan needs no store, and leaves none behind."""
    no_config_beside_url(config)
    if over_api():
        from controller.cli.way_api import plan_by_api

        document = await plan_by_api(path)
    else:
        settings = settings_for(config)
        document = plan_document(settings.cluster.kind, await read_good(settings, path))
    show(form, document, lambda: plan_screen(document))
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
    go(_submit(config, as_admin, spec, dry_run, output))


async def _submit(config: Path | None, as_admin: bool, path: Path, dry_run: bool, form: Format) -> int:
    if not over_api():  # a spec that is none must not begin a new place
        await read_good(settings_for(config), path, tell=False)
    async with open_way(config, as_admin=as_admin, create=not dry_run) as way:
        try:
            taken = await way.submit(path, dry_run=dry_run)
        except asyncio.CancelledError:
            if not dry_run:
                note("broken off: its batch may be recorded in part; the same command again goes on with it")
            raise
    refused = taken["outcome"] == Outcome.REFUSED.value
    if refused and form is Format.TABLE:
        complain(*taken["sentences"])
        return 1
    name = taken["batch"].partition("/")[2]
    show(form, taken, lambda: Text(f"{name}: {'; '.join(taken['sentences'])}"))
    if dry_run:
        note("dry run: nothing was changed")
    elif form is Format.TABLE and not over_api() and _somebody_is_there(config) is False:
        note("no daemon looks after this place now: 'batchkeeper controller' starts one")
    return 1 if refused else 0


def _somebody_is_there(config: Path | None) -> bool | None:
    there: bool | None = application().daemon_is_there(settings_for(config))
    return there
