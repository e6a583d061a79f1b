"""Write the example's data set: `python make_data.py [FOLDER]` (default: `data` beside this file).

The committed files are what this script writes, byte for byte; a test keeps it so. It draws from
`RandomState`, whose stream NumPy has frozen for ever, and rounds what it writes.

    genotypes.npy   int8, one row per line of samples.csv, one column per line of markers.csv:
                    0, 1 or 2 copies of the minor allele, -1 where the call is missing
    samples.csv     sample
    markers.csv     marker, chromosome, position
    phenotypes.csv  Taxa, then one column per trait: trait index i is column i, counted from 1
    traits.csv      trait_index, trait, permutations (0: no permutation test)
    planted.csv     trait_index, marker: the associations that a scan must find

Three populations with drifted allele frequencies give the principal components something to
correct for. The two tables don't list the same samples in the same order, as in real life.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20240187
SAMPLES, MARKERS, CHROMOSOMES, POPULATIONS = 200, 1500, 5, 3
DRIFT = 0.1  # Fst of the populations against their ancestor
NOT_GENOTYPED = 4  # lines that were grown but never genotyped

FIRST_TRAIT = 2  # column 1 holds the sample
ELEMENTS = "Li B Na Mg Al P S K Ca Ti V Cr Mn Fe Co Ni Cu Zn Ga As Se Rb Sr Y Mo Ag Cd Sn Cs Ba Pb"
TISSUES = ("root", "shoot", "seed")
CONDITIONS = ("control", "drought")

TEXT_TRAIT = 44  # scored in words: a configuration error
CONSTANT_TRAIT = 133  # below the detection limit everywhere: a configuration error
PERMUTED_TRAIT = 76  # asks for a permutation test, which outgrows the memory of the spec
PERMUTATIONS = 24_000
PLANTED_TRAITS = (2, 15, 37, 58, 76, 95, 118, 140, 163, 187)

Genotypes = NDArray[np.int8]


def trait_names() -> list[str]:
    """The traits in the order of their columns: an ionome of two treatments and three tissues."""
    return [f"{e}_{t}_{c}" for c in CONDITIONS for t in TISSUES for e in ELEMENTS.split()]


def draw_markers(random: np.random.RandomState) -> list[tuple[str, int, int]]:
    """Marker name, chromosome and position, in the order of the genome."""
    gaps = random.randint(1, 200_000, (CHROMOSOMES, MARKERS // CHROMOSOMES))
    return [
        (f"S{chromosome}_{position}", chromosome, position)
        for chromosome, positions in enumerate(gaps.cumsum(axis=1).tolist(), 1)
        for position in positions
    ]


def draw_genotypes(random: np.random.RandomState, population: NDArray[np.int64]) -> Genotypes:
    """Balding-Nichols: each population's allele frequencies drift from one ancestor's."""
    ancestor = random.uniform(0.1, 0.9, MARKERS)
    weight = (1 - DRIFT) / DRIFT
    frequency = random.beta(ancestor * weight, (1 - ancestor) * weight, (POPULATIONS, MARKERS))
    genotypes = random.binomial(2, frequency[population]).astype(np.int8)
    major = genotypes.sum(axis=0) > SAMPLES
    genotypes[:, major] = 2 - genotypes[:, major]
    return genotypes


def draw_trait(
    random: np.random.RandomState, population: NDArray[np.int64], causal: Genotypes | None
) -> NDArray[np.float64]:
    """One trait: a level, a shift per population, noise, and the planted marker if there is one."""
    level = 10 ** random.uniform(0, 3)
    value = random.normal(0, 0.5, POPULATIONS)[population] + random.standard_normal(SAMPLES)
    if causal is not None:
        value += 0.9 * causal
    return np.asarray(level * (1 + 0.1 * value), dtype=np.float64)


def trait_column(
    index: int, values: NDArray[np.float64], missing: NDArray[np.bool_], ranks: Sequence[str]
) -> list[str]:
    """A trait as it is written, with its two kinds of broken column."""
    if index == TEXT_TRAIT:
        cuts = np.quantile(values, [1 / 3, 2 / 3])
        cells = [ranks[i] for i in np.searchsorted(cuts, values)]
    elif index == CONSTANT_TRAIT:
        cells = ["0"] * len(values)
    else:
        cells = [f"{value:.4g}" for value in values]
    return ["NA" if gone else cell for cell, gone in zip(cells, missing, strict=True)]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """One CSV with Unix line ends."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def make_data(folder: Path) -> None:
    """Draw everything, in one fixed order, and write it."""
    random = np.random.RandomState(SEED)
    names = trait_names()
    population = random.randint(0, POPULATIONS, SAMPLES)
    markers = draw_markers(random)
    genotypes = draw_genotypes(random, population)
    called = random.random_sample(genotypes.shape) >= 0.01
    common = np.flatnonzero(genotypes.mean(axis=0) > 0.5)
    causes = random.choice(common, len(PLANTED_TRAITS), replace=False).tolist()
    planted = dict(zip(PLANTED_TRAITS, causes, strict=True))

    columns = []
    for index in range(FIRST_TRAIT, FIRST_TRAIT + len(names)):
        causal = genotypes[:, planted[index]] if index in planted else None
        values = draw_trait(random, population, causal)
        missing = random.random_sample(SAMPLES) < 0.03
        columns.append(trait_column(index, values, missing, ("low", "medium", "high")))

    samples = [f"L{number:03}" for number in range(1, SAMPLES + 1)]
    grown = random.permutation(SAMPLES)
    taxa = [f"X{samples[i][1:]}" if k < NOT_GENOTYPED else samples[i] for k, i in enumerate(grown)]
    taxa_rows = [[taxon, *(column[i] for column in columns)] for taxon, i in zip(taxa, grown, strict=True)]

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "genotypes.npy", np.where(called, genotypes, -1).astype(np.int8))
    write_csv(folder / "samples.csv", ["sample"], [[sample] for sample in samples])
    write_csv(folder / "markers.csv", ["marker", "chromosome", "position"], markers)
    write_csv(folder / "phenotypes.csv", ["Taxa", *names], taxa_rows)
    write_csv(
        folder / "traits.csv",
        ["trait_index", "trait", "permutations"],
        [
            [index, name, PERMUTATIONS if index == PERMUTED_TRAIT else 0]
            for index, name in enumerate(names, FIRST_TRAIT)
        ],
    )
    write_csv(
        folder / "planted.csv",
        ["trait_index", "marker"],
        [[index, markers[column][0]] for index, column in planted.items()],
    )


if __name__ == "__main__":
    make_data(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
