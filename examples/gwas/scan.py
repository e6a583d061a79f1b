"""One job of the sweep: test one trait against every marker, and write one CSV.

The model is the additive one, per marker: trait = intercept + principal components + beta · dosage.
The covariates are projected out of trait and markers once, so that each marker's regression is two
dot products (Frisch-Waugh-Lovell): the numbers are those of a full least-squares fit per marker.
p-values are exact two-sided Student-t ones, by a continued fraction in NumPy, so SciPy isn't needed.

Environment
    TRAIT_INDEX           column of phenotypes.csv, counted from 1; column 1 holds the sample
    PCA_TOTAL             principal components of the genotypes used as covariates (default 3)
    DATA, OUT             input and output folder (default: data and out beside this file)
    BATCHKEEPER_TASK, BATCHKEEPER_ATTEMPT   who is speaking, in the log lines

Exit codes, which Batchkeeper's verdicts rest on
    0   OUT/trait_<index>.csv is complete: marker, beta, se, t, p (p_adjusted after a permutation test)
    1   configuration error: the same input will fail again, so nobody should retry it
    2   mount failure: the data isn't there, which another node or another minute may mend
    70  anything else (a bug, a full disk): never 1 or 2, which would claim to know the cause
"""

from __future__ import annotations

import csv
import math
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # the batch is what runs in parallel; read at import

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

Array = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
MISSING_VALUES = {"", "NA", "NaN", "nan"}
PERMUTATIONS_AT_ONCE = 400


class ConfigurationError(Exception):
    """What was asked for can't be done with this data, now or later."""


class MountFailure(Exception):
    """The input isn't where it should be."""


@dataclass(frozen=True)
class Settings:
    """What the environment asks for."""

    trait_index: int
    components: int
    data: Path
    out: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read and check the environment; names the variable that is wrong."""
        return cls(
            trait_index=whole_number(env, "TRAIT_INDEX", None, at_least=2),
            components=whole_number(env, "PCA_TOTAL", "3", at_least=0),
            data=Path(env.get("DATA") or HERE / "data"),
            out=Path(env.get("OUT") or HERE / "out"),
        )


@dataclass(frozen=True)
class Dataset:
    """One trait and the genotypes of the samples that have it."""

    trait: str
    permutations: int
    markers: list[str]
    dosage: Array  # samples x markers
    components: Array  # samples x principal components
    values: Array  # samples
    dropped: int


@dataclass(frozen=True)
class Scan:
    """One number per marker, NaN where a marker doesn't vary."""

    beta: Array
    se: Array
    t: Array
    p: Array
    p_adjusted: Array | None = None


# --- reading ---------------------------------------------------------------------------------


def whole_number(env: Mapping[str, str], name: str, default: str | None, at_least: int) -> int:
    """An integer from the environment."""
    text = env.get(name, default)
    if text is None:
        raise ConfigurationError(f"{name} is not set")
    try:
        number = int(text)
    except ValueError:
        raise ConfigurationError(f"{name} is {text!r}, which is not a whole number") from None
    if number < at_least:
        raise ConfigurationError(f"{name} is {number}; it must be at least {at_least}")
    return number


def check_mount(folder: Path) -> None:
    """A lost NFS mount is an empty folder, or none: `mountpoint` and `test -d` don't tell."""
    try:
        empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise MountFailure(f"{folder} is empty or not there ({error.strerror})") from error
    if empty:
        raise MountFailure(f"{folder} is empty or not there (no files in it)")


def read_rows(path: Path) -> list[list[str]]:
    """A CSV, header first."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def read_trait(rows: Sequence[Sequence[str]], index: int) -> tuple[str, dict[str, float]]:
    """The trait's name, and its value per sample that has one."""
    header, *body = rows
    if index > len(header):
        raise ConfigurationError(f"TRAIT_INDEX is {index}, but phenotypes.csv has columns 2 to {len(header)}")
    trait = header[index - 1]
    values: dict[str, float] = {}
    for row in body:
        sample, cell = row[0], row[index - 1].strip()
        if cell in MISSING_VALUES:
            continue
        try:
            values[sample] = float(cell)
        except ValueError:
            values[sample] = math.nan
        if not math.isfinite(values[sample]):
            raise ConfigurationError(f"trait {index} ({trait}) is not numeric: sample {sample} has {cell!r}")
    return trait, values


def check_trait(label: str, values: Array, components: int) -> None:
    """A model needs more samples than covariates, and something to explain."""
    if len(values) < components + 3:
        raise ConfigurationError(
            f"{label} has {len(values)} genotyped samples with a value, "
            f"too few for {components} principal components"
        )
    if np.all(values == values[0]):
        raise ConfigurationError(f"{label} is constant: all {len(values)} values are {values[0]:g}")


def impute(calls: NDArray[np.int8]) -> Array:
    """Dosages with each missing call replaced by its marker's mean."""
    dosage = calls.astype(np.float64)
    dosage[calls < 0] = np.nan
    return np.where(calls < 0, np.nanmean(dosage, axis=0), dosage)


def principal_components(dosage: Array, count: int) -> Array:
    """The first axes of the samples' genetic relationship matrix."""
    centred = dosage - dosage.mean(axis=0)
    spread = centred.std(axis=0)
    standard = centred[:, spread > 0] / spread[spread > 0]
    _, axes = np.linalg.eigh(standard @ standard.T)
    return np.asarray(axes[:, ::-1][:, :count], dtype=np.float64)


def read_dataset(settings: Settings) -> Dataset:
    """Join the trait with the genotypes by sample; order and presence differ between the files."""
    check_mount(settings.data)
    try:
        phenotypes = read_rows(settings.data / "phenotypes.csv")
        options = read_rows(settings.data / "traits.csv")
        samples = [row[0] for row in read_rows(settings.data / "samples.csv")[1:]]
        markers = [row[0] for row in read_rows(settings.data / "markers.csv")[1:]]
        calls: NDArray[np.int8] = np.load(settings.data / "genotypes.npy")
    except OSError as error:
        raise MountFailure(f"{settings.data} can't be read: {error}") from error

    trait, values = read_trait(phenotypes, settings.trait_index)
    used = [row for row, sample in enumerate(samples) if sample in values]
    wanted = np.array([values[samples[row]] for row in used])
    check_trait(f"trait {settings.trait_index} ({trait})", wanted, settings.components)

    dosage = impute(calls)
    permutations = {int(row[0]): int(row[2]) for row in options[1:]}
    return Dataset(
        trait=trait,
        permutations=permutations.get(settings.trait_index, 0),
        markers=markers,
        dosage=dosage[used],
        components=principal_components(dosage, settings.components)[used],
        values=wanted,
        dropped=len(phenotypes) - 1 - len(used),
    )


# --- the model -------------------------------------------------------------------------------


def covariate_basis(components: Array) -> Array:
    """Orthonormal columns that span the intercept and the principal components."""
    intercept = np.ones((len(components), 1))
    return np.asarray(np.linalg.qr(np.hstack([intercept, components]))[0], dtype=np.float64)


def residuals(basis: Array, columns: Array) -> Array:
    """What of the columns the covariates don't explain."""
    return columns - basis @ (basis.T @ columns)


def scan(data: Dataset) -> Scan:
    """Fit every marker, one at a time as a model, all at once as arithmetic."""
    basis = covariate_basis(data.components)
    trait = residuals(basis, data.values)
    dosage = residuals(basis, data.dosage)
    freedom = len(trait) - basis.shape[1] - 1

    dosage_squares = np.einsum("ij,ij->j", dosage, dosage)
    dosage_squares[dosage_squares < 1e-9] = np.nan  # doesn't vary among these samples
    beta = (trait @ dosage) / dosage_squares
    residual_squares = np.maximum(trait @ trait - beta**2 * dosage_squares, 0.0)
    se = np.sqrt(residual_squares / freedom / dosage_squares)
    t = beta / se
    adjusted = None
    if data.permutations:
        unit = np.nan_to_num(dosage / np.sqrt(dosage_squares))
        adjusted = adjusted_p(basis, trait, unit, data.permutations)
    return Scan(beta, se, t, two_sided_p(t, freedom), adjusted)


def two_sided_p(t: Array, freedom: int) -> Array:
    """P(|T| >= |t|) for Student's t, as the regularised incomplete beta function I_x(f/2, 1/2)."""
    a, b = freedom / 2, 0.5
    x = freedom / (freedom + t**2)
    turn = (a + 1) / (a + b + 2)  # beyond it the mirrored fraction is the one that converges
    far, near = x < turn, x >= turn  # a marker without a t is in neither
    p = np.full_like(x, np.nan)
    p[far] = beta_tail(a, b, x[far])
    p[near] = 1 - beta_tail(b, a, 1 - x[near])
    return p


def beta_tail(a: float, b: float, x: Array) -> Array:
    """I_x(a, b) by its continued fraction, evaluated with Lentz's method."""
    tiny = 1e-300
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    with np.errstate(divide="ignore"):
        front = np.exp(scale + a * np.log(x) + b * np.log1p(-x)) / a
    d = 1 / (1 - (a + b) * x / (a + 1))
    c, fraction = np.ones_like(x), d
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / np.where(np.abs(1 + term * d) < tiny, tiny, 1 + term * d)
            c = np.where(np.abs(1 + term / c) < tiny, tiny, 1 + term / c)
            fraction = fraction * c * d
        if np.all(np.abs(c * d - 1) < 1e-13):
            break
    return front * fraction


def adjusted_p(basis: Array, trait: Array, unit: Array, permutations: int) -> Array:
    """Family-wise p-values: Westfall and Young's step-down maxT, permuting residuals.

    The statistic is the squared partial correlation, which orders markers as |t| does. The whole
    permutations x markers matrix is held, as the textbook writes it (in single precision: only
    ranks count). It is what makes one trait of this example outgrow its memory.
    """
    observed = (trait @ unit) ** 2 / (trait @ trait)
    rising = np.argsort(observed)
    unit, observed = unit[:, rising], observed[rising]

    random = np.random.default_rng(len(trait))
    statistics = np.full((permutations, len(observed)), np.nan, dtype=np.float32)
    chunks = [
        statistics[start : start + PERMUTATIONS_AT_ONCE]
        for start in range(0, permutations, PERMUTATIONS_AT_ONCE)
    ]
    for chunk in chunks:
        shuffled = random.permuted(np.tile(trait, (len(chunk), 1)), axis=1)
        shuffled = residuals(basis, shuffled.T).T
        squares = np.einsum("ij,ij->i", shuffled, shuffled)
        chunk[:] = (shuffled @ unit) ** 2 / squares[:, None]

    np.maximum.accumulate(statistics, axis=1, out=statistics)
    at_least = sum(np.count_nonzero(chunk >= observed, axis=0) for chunk in chunks)
    p = (np.asarray(at_least, dtype=np.float64) + 1) / (permutations + 1)
    falling = np.maximum.accumulate(p[::-1])  # a weaker marker is never more significant

    adjusted = np.empty_like(p)
    adjusted[rising[::-1]] = falling
    return adjusted


# --- writing ---------------------------------------------------------------------------------


def write_result(path: Path, markers: Sequence[str], result: Scan) -> None:
    """All or nothing: a job killed half-way leaves no file that looks complete."""
    columns = {"beta": result.beta, "se": result.se, "t": result.t, "p": result.p}
    if result.p_adjusted is not None:
        columns["p_adjusted"] = result.p_adjusted
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(",".join(["marker", *columns]) + "\n")
        for marker, *numbers in zip(markers, *columns.values(), strict=True):
            file.write(",".join([marker, *(f"{number:.6g}" for number in numbers)]) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def say(message: str) -> None:
    """One log line, at once: the last ones are kept as evidence."""
    task, attempt = (os.environ.get(f"BATCHKEEPER_{name}") for name in ("TASK", "ATTEMPT"))
    print(f"task {task} attempt {attempt}: {message}" if task else message, flush=True)


def run(env: Mapping[str, str]) -> None:
    """The job from its environment to its file."""
    started = time.monotonic()
    settings = Settings.from_environment(env)
    data = read_dataset(settings)
    say(
        f"trait {settings.trait_index} ({data.trait}): {len(data.values)} samples used, "
        f"{data.dropped} dropped, {len(data.markers)} markers, "
        f"{settings.components} principal components, {data.permutations} permutations"
    )
    result = scan(data)
    top = int(np.nanargmin(result.p))
    say(f"top marker {data.markers[top]}: beta {result.beta[top]:.4g}, p {result.p[top]:.3g}")
    path = settings.out / f"trait_{settings.trait_index}.csv"
    write_result(path, data.markers, result)
    say(f"wrote {path} after {time.monotonic() - started:.2f} s")


def main() -> int:
    """Run, and turn each kind of failure into its exit code and one clear line."""
    try:
        run(os.environ)
    except ConfigurationError as error:
        print(f"configuration error: {error}", file=sys.stderr)
        return 1
    except MountFailure as error:
        print(f"mount failure: {error}", file=sys.stderr)
        return 2
    except Exception:  # noqa: BLE001 - Python's own exit code for this would be 1
        traceback.print_exc()
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
