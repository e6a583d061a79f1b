"""The tree of commands: which there are, under which heading, in which order. Nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from controller import __version__
from controller.cli import commands_ask as ask
from controller.cli import commands_look as look
from controller.cli import commands_operate as operate
from controller.cli import commands_run as running
from controller.cli import commands_specs as specs
from controller.cli.adopting import adopt
from controller.cli.options import ASK, LOOK, OPERATE, RUN

app = typer.Typer(
    name="batchkeeper",
    help="Keeps batches of jobs going on a shared cluster: bounded, retried, explained, for weeks.",
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

COMMANDS: dict[str, list[tuple[str, Callable[..., None]]]] = {
    RUN: [
        ("validate", specs.validate),
        ("plan", specs.plan),
        ("run", running.run),
        ("submit", specs.submit),
    ],
    LOOK: [
        ("list", look.list_batches),
        ("status", look.status),
        ("jobs", look.jobs),
        ("logs", look.logs),
        ("explain", look.explain),
        ("report", look.report),
    ],
    ASK: [
        ("retry", ask.retry),
        ("cancel", ask.cancel),
        ("pause", ask.pause),
        ("resume", ask.resume),
        ("scale", ask.scale),
    ],
    OPERATE: [
        ("controller", operate.controller),
        ("repair", operate.repair),
        ("reap", operate.reap),
        ("halt", operate.halt),
        ("unhalt", operate.unhalt),
        ("adopt", adopt),
    ],
}
"""Every command under its heading."""

for _panel, _commands in COMMANDS.items():
    for _name, _function in _commands:
        app.command(_name, rich_help_panel=_panel)(_function)


@app.callback()
def batchkeeper(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a bug; may stand anywhere.")
    ] = False,
) -> None:
    """Keeps batches of jobs going on a shared cluster: bounded, retried, explained, for weeks."""
    if version:
        typer.echo(f"batchkeeper {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
