"""The command ``run``: its words. What it does is in ``run``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.commands_specs import SpecPath
from controller.cli.dropping import places
from controller.cli.expectation import read_expectation
from controller.cli.options import Config, Output
from controller.cli.output import Format
from controller.cli.run import Wanted, run_batch
from controller.cli.session import go, settings_for
from controller.cli.spec_files import read_good
from controller.cli.starting_over import start_over
from controller.cli.ways import only_here
from controller.config import Settings
from controller.ports import BatchkeeperError


def run(
    spec: SpecPath,
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect",
            metavar="FILE",
            show_default=False,
            help="How it must end, task by task (report -o yaml writes one); exit code 1 if it differs.",
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="If it has ended here before, forget that run and run it again."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Let the daemon go on after the batch's end, until Ctrl-C.")
    ] = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Run one batch to its end on this machine, with live progress and a report."""
    only_here("run is for this machine", "or use 'batchkeeper submit'")
    settings = settings_for(config)
    if settings.cluster.kind != "local":
        raise BatchkeeperError(
            f"run is for this machine, and cluster.kind is {settings.cluster.kind}: use 'batchkeeper submit' "
            "beside its controller, or name another configuration with --config"
        )
    go(_run(settings, spec, expect, fresh, keep, output))


async def _run(
    settings: Settings, path: Path, expect: Path | None, fresh: bool, keep: bool, form: Format
) -> int:
    expected = read_expectation(expect) if expect else None
    spec = await read_good(settings, path)
    if fresh:
        await asyncio.to_thread(places, path, spec, settings)  # what can't be dropped costs no earlier run
        await start_over(settings, spec)
    return await run_batch(settings, Wanted(path, spec, expected, keep, form))
