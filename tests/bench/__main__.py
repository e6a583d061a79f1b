"""``python -m tests.bench [ROW…] [--full]``: measures and prints a table. Nothing is asserted."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from tests.bench import cluster
from tests.bench.beside import beside
from tests.bench.cluster_place import control_plane
from tests.bench.figures import Figure, Grid, table
from tests.bench.large import idle, passes
from tests.bench.page import page
from tests.bench.place import Place, place
from tests.bench.records import acceptance, hostile, retries
from tests.bench.refill import refill, submission, utilisation
from tests.bench.scale import FULL, scale

Row = Callable[[Place], Awaitable[list[Figure] | Grid]]
ON_A_CLUSTER: Mapping[str, Row] = {
    "cluster-refill": cluster.refill,
    "cluster-utilisation": cluster.utilisation,
    "cluster-submission": cluster.submission,
    "cluster-requests": cluster.requests,
    "cluster-takeover": cluster.takeover,
    "cluster-idle": cluster.idle,
    "beside": beside,
    "scale": scale,
}
ROWS: Mapping[str, Row] = {
    "refill": refill,
    "utilisation": utilisation,
    "submission": submission,
    "retries": retries,
    "acceptance": acceptance,
    "hostile": hostile,
    "passes": passes,
    "idle": idle,
    "page": page,
    **ON_A_CLUSTER,
}


async def measure(asked: argparse.Namespace) -> str:
    """The tables of these rows, measured one by one; those on a cluster only where there can be one."""
    names: list[str] = asked.rows or list(ROWS)
    figures: list[Figure] = []
    grids: list[Grid] = []
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(place(asked.full))
        where.size, where.ttl, where.patience = asked.size, round(asked.ttl * 60), asked.minutes * 60
        where.bare_patience = where.patience if asked.bare_minutes is None else asked.bare_minutes * 60
        if clustered := [name for name in names if name in ON_A_CLUSTER]:
            plane = stack.enter_context(control_plane())
            if isinstance(plane, str):
                sys.stderr.write(f"left out, {', '.join(clustered)}: {plane}\n")
                names = [name for name in names if name not in clustered]
            else:
                where.plane = plane
        for name in names:
            load = os.getloadavg()[0]
            sys.stderr.write(f"measuring {name} … (load {load:.1f})\n")
            found = await ROWS[name](where)
            # A run that is cut short has told what it knew.
            sys.stderr.write(f"{found if isinstance(found, Grid) else table(found)}\n")
            if isinstance(found, Grid):
                grids.append(found)
            else:
                figures += found
    return "\n\n".join([table(figures)] * bool(figures) + [str(grid) for grid in grids])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all by default")
    parser.add_argument("--full", action="store_true", help="the sizes that take minutes")
    parser.add_argument(
        "--minutes", type=float, default=240, help="for how long at most one size of `scale` goes on (240)"
    )
    parser.add_argument(
        "--bare-minutes", type=float, metavar="MINUTES", help="and the bare loop beside it (as long)"
    )
    parser.add_argument("--size", choices=[size.key for size in FULL], default="", help="this one of `scale`")
    parser.add_argument(
        "--ttl", type=float, default=60, help="for how many minutes `scale` leaves what has ended there (60)"
    )
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    sys.stdout.write(f"{asyncio.run(measure(asked))}\n")


if __name__ == "__main__":
    main()
