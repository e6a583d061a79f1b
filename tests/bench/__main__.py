"""``python -m tests.bench [ROW…] [--full]``: measures and prints a table. Nothing is asserted."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

from tests.bench.figures import Figure, table
from tests.bench.large import idle, passes
from tests.bench.place import Place, place
from tests.bench.records import acceptance, hostile, retries
from tests.bench.refill import refill, submission, utilisation

Row = Callable[[Place], Awaitable[list[Figure]]]
ROWS: Mapping[str, Row] = {
    "refill": refill,
    "utilisation": utilisation,
    "submission": submission,
    "retries": retries,
    "acceptance": acceptance,
    "hostile": hostile,
    "passes": passes,
    "idle": idle,
}


async def measure(names: list[str], full: bool) -> list[Figure]:
    """The rows of these names, one after the other."""
    figures: list[Figure] = []
    async with place(full) as where:
        for name in names:
            sys.stderr.write(f"measuring {name} …\n")
            figures += await ROWS[name](where)
    return figures


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all by default")
    parser.add_argument("--full", action="store_true", help="the sizes that take minutes")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    sys.stdout.write(table(asyncio.run(measure(asked.rows or list(ROWS), asked.full))) + "\n")


if __name__ == "__main__":
    main()
