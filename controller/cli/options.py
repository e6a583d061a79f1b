"""The options that several commands share, each with one name, one meaning and one help text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.output import Format
from controller.people import LONGEST_WHY, WHY

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        show_default=False,
        help="Configuration file; without it $BATCHKEEPER_CONFIG, else ./config.yaml, else the defaults.",
    ),
]
Output = Annotated[
    Format, typer.Option("--output", "-o", help="A table for people; json or yaml for programs.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
AsAdmin = Annotated[
    bool, typer.Option("--as-admin", help="Act as an operator: on what belongs to others, too.")
]


def _one_line(why: str) -> str:
    if len(why) > LONGEST_WHY or not re.fullmatch(WHY, why):
        raise typer.BadParameter(f"write one line of 1 to {LONGEST_WHY} characters")
    return why


Why = Annotated[
    str,
    typer.Option(
        "--why", metavar="TEXT", show_default=False, callback=_one_line, help="The reason; it is kept."
    ),
]
BatchName = Annotated[
    str, typer.Argument(metavar="BATCH", help="Name of a batch (namespace/name where needed), or its id.")
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a job, as gwas-trait-37-r1, or its id.")]

LOOK, ASK, RUN, OPERATE = "Look", "Ask", "Write and run", "Operate"
"""The panels of the help screen."""
