"""Broken specs, each a function of its seed: ``python -m tests.specfile.fuzz --seeds 0:100000``.

Good and bad specs of the corpus are cut, spliced, doubled and nested, and are read as the daemon reads
them: in the reader's process, under bounds that the kernel keeps (two seconds of CPU, 64 MiB on top of an
idle process).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from controller.specfile import ReadSpec, SpecDefaults
from controller.specfile.worker import Limits, SpecReader
from tests.specfile.corpus import cases
from tests.specfile.soundness import sound
from tests.specfile.test_meaning import FULL

BOUNDS = Limits(cpu=2, wall=60.0, csv_cpu=2, csv_wall=60.0, memory=64 * 2**20, csv_memory=64 * 2**20)
HERE = Path("/nowhere")
DEFAULTS = SpecDefaults(max_concurrent=50, namespace="default", user="local:me")
SEEDS = [case.content for case in cases()] + [FULL.encode()] * 20
"""What is mutated: a whole spec as often as a class of bad ones."""
PIECES = (
    *(b"{", b"}", b"[", b"]", b": ", b"\n", b"- ", b"&a ", b"*a", b"!!x ", b"<<: ", b'"', b"'", b"\\", b"\t"),
    *(b"|\n", b">\n", b"? ", b"# ", b"---\n", b"%YAML 1.1\n", b"\xff", b"\0", b"\xe2\x80\xa8", b"-", b""),
    *(
        b"999999999999999999999",
        b"1e999",
        b".nan",
        b"0x7f",
        b"null",
        b"~",
        b"[[[[[[[[",
        b"(a*)*b",
        b"\\u0000",
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A spec that was not dealt with as it must be."""

    seed: int
    what: str
    content: bytes


def mutated(seed: int) -> tuple[str, bytes]:
    """A file name and the bytes of this seed."""
    rng = random.Random(f"spec {seed}")
    content = rng.choice(SEEDS)
    for _ in range(rng.randint(1, 6)):
        content = rng.choice((_spliced, _spliced, _lines_moved, _repeated))(rng, content)
    return rng.choice(("a.yaml", "a.yaml", "a.yaml", "a.json")), content


def _spliced(rng: random.Random, content: bytes) -> bytes:
    """Something cut out, something put in."""
    start, length = rng.randrange(len(content) + 1), rng.choice((0, 1, 3, 20))
    other = rng.choice(SEEDS)
    from_other = other[(cut := rng.randrange(len(other))) : cut + rng.choice((1, 10, 50))]
    return content[:start] + rng.choice((*PIECES, from_other)) + content[start + length :]


def _lines_moved(rng: random.Random, content: bytes) -> bytes:
    """A line of another spec, or of this one, at another depth."""
    lines = content.split(b"\n")
    line = rng.choice(rng.choice(SEEDS).split(b"\n") if rng.random() < 0.5 else lines)
    lines.insert(rng.randrange(len(lines) + 1), b" " * rng.choice((0, 1, 2, 4)) + line.strip())
    return b"\n".join(lines)


def _repeated(rng: random.Random, content: bytes) -> bytes:
    """A stretch many times over: deep, long, or both."""
    start = rng.randrange(len(content) + 1)
    stretch = content[start : start + rng.choice((1, 2, 10, 40))]
    return content[:start] + stretch * rng.choice((2, 20, 400)) + content[start:]


async def fuzz(seeds: Iterable[int], bounds: Limits = BOUNDS) -> list[Finding]:
    """Read the specs of these seeds one after another with one reader; what went wrong."""
    found = []
    async with SpecReader(bounds) as reader:
        for seed in seeds:
            name, content = mutated(seed)
            result = await reader.read(content, name=name, folder=HERE, root=HERE, defaults=DEFAULTS)
            if what := wrong(result):
                found.append(Finding(seed, what, content))
    return found


def wrong(result: ReadSpec) -> str:
    """What is wrong with what was read; empty when nothing is."""
    try:
        sound(result)
    except AssertionError as error:
        return f"unsound: {error}"
    beyond = ("reading it ", "the process that read it", "the reader failed")
    return next((p.message for p in result.problems if p.message.startswith(beyond)), "")


def main() -> int:
    """Fuzz a range of seeds; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.specfile.fuzz", description=__doc__)
    parser.add_argument("--seeds", default="0:100000", help="first:last, the last one left out")
    first, last = map(int, parser.parse_args().seeds.split(":"))
    began = time.perf_counter()
    found = asyncio.run(fuzz(range(first, last)))
    for finding in found:
        sys.stdout.write(f"seed {finding.seed}: {finding.what}\n{finding.content[:500]!r}\n")
    seconds = time.perf_counter() - began
    count = last - first
    sys.stdout.write(f"{count} specs, {count / seconds:.0f} a second, {len(found)} found\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
