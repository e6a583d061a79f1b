"""The example's job: its statistics are right, and its exit codes tell the truth."""

import csv
import dataclasses
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from examples.gwas import make_data, scan

GWAS = Path(scan.__file__).parent


def dataset(index: int) -> scan.Dataset:
    """The committed data of one trait, without its permutation test."""
    env = {"TRAIT_INDEX": str(index), "DATA": str(GWAS / "data")}
    return dataclasses.replace(scan.read_dataset(scan.Settings.from_environment(env)), permutations=0)


def planted() -> list[tuple[int, str]]:
    """Trait index and marker of each planted association."""
    with (GWAS / "data" / "planted.csv").open(encoding="utf-8") as file:
        return [(int(row["trait_index"]), row["marker"]) for row in csv.DictReader(file)]


@dataclasses.dataclass
class Job:
    """Calls scan.py's main with an environment of its own, and keeps what it printed."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, out: Path, **env: str) -> tuple[int, str]:
        """The exit code and standard error."""
        self.monkeypatch.setattr(os, "environ", {"DATA": str(GWAS / "data"), "OUT": str(out)} | env)
        code = scan.main()
        return code, self.capsys.readouterr().err


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Job:
    """scan.py, run in this process."""
    return Job(monkeypatch, capsys)


# --- the statistics --------------------------------------------------------------------------


@pytest.mark.parametrize("index", [2, 76, 150])
def test_a_scan_equals_a_least_squares_fit_per_marker(index: int) -> None:
    """Projecting the covariates out gives the very numbers of one full regression per marker."""
    data = dataset(index)
    found = scan.scan(data)
    for marker in range(0, len(data.markers), 50):
        design = np.column_stack([np.ones(len(data.values)), data.components, data.dosage[:, marker]])
        fit, squares, *_ = np.linalg.lstsq(design, data.values, rcond=None)
        variance = squares[0] / (len(data.values) - design.shape[1])
        se = math.sqrt(variance * np.linalg.inv(design.T @ design)[-1, -1])
        assert (found.beta[marker], found.se[marker]) == pytest.approx((fit[-1], se), rel=1e-8)
        assert found.t[marker] == pytest.approx(fit[-1] / se, rel=1e-8)


@pytest.mark.parametrize(("index", "marker"), planted())
def test_each_planted_association_is_the_top_marker(index: int, marker: str) -> None:
    """The scan finds what was planted, far beyond a Bonferroni threshold."""
    data = dataset(index)
    p = scan.scan(data).p
    assert data.markers[int(np.argmin(p))] == marker
    assert p.min() < 0.05 / len(p) / 1000


def test_p_values_are_uniform_where_nothing_was_planted() -> None:
    """The principal components correct for the populations: no inflation is left."""
    p = scan.scan(dataset(150)).p
    assert 0.4 < np.median(p) < 0.6


def test_p_values_are_those_of_closed_forms() -> None:
    """Student's t has a closed form with one, two and four degrees of freedom; all t must agree."""
    t = np.array([0.0, 1e-6, 0.1, 0.7, 1.0, 2.5, 10.0, 50.0])
    one = 1 - 2 / math.pi * np.arctan(t)
    two = 1 - t / np.sqrt(2 + t**2)
    s = t**2 / (4 + t**2)
    four = 1 - 1.5 * np.sqrt(s) * (1 - s / 3)
    for freedom, expected in ((1, one), (2, two), (4, four)):
        assert scan.two_sided_p(t, freedom) == pytest.approx(expected, rel=1e-8, abs=1e-13)


def test_p_values_equal_the_integral_of_the_density() -> None:
    """At the sweep's own degrees of freedom, the tail is what numerical integration gives."""
    freedom = 183
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    for t in (0.3, 1.9, 4.2, 8.1, 15.0):
        grid = np.linspace(t, t + 40, 200_001)
        tail = 2 * np.trapezoid(np.exp(scale - (freedom + 1) / 2 * np.log1p(grid**2 / freedom)), grid)
        assert scan.two_sided_p(np.array([t]), freedom)[0] == pytest.approx(tail, rel=1e-6)


def test_a_marker_that_does_not_vary_has_no_result() -> None:
    """A monomorphic marker gives NaN, not a division by nearly nothing that looks significant."""
    data = dataset(2)
    data.dosage[:, 7] = 1.0
    found = scan.scan(data)
    assert np.isnan([found.beta[7], found.se[7], found.t[7], found.p[7]]).all()
    assert np.isfinite(np.delete(found.p, 7)).all()


def test_permutations_keep_the_order_and_the_family_wise_error() -> None:
    """Adjusted p-values rise with p, never lie below it by more than chance, and keep the planted one."""
    data = dataclasses.replace(dataset(76), permutations=400)
    found = scan.scan(data)
    assert found.p_adjusted is not None
    assert (np.diff(found.p_adjusted[np.argsort(found.p)]) >= 0).all()
    assert (found.p_adjusted > found.p - 0.1).all()
    assert found.p_adjusted.min() == pytest.approx(1 / 401)
    assert np.count_nonzero(found.p_adjusted < 0.05) == 1


# --- the process -----------------------------------------------------------------------------


def test_a_job_writes_one_complete_csv_and_says_what_it_did(tmp_path: Path) -> None:
    """Exit code 0 means that the file is there, whole, with nothing unfinished beside it."""
    own = {"DATA": "data", "OUT": str(tmp_path), "TRAIT_INDEX": "37"}
    spoken = {"BATCHKEEPER_TASK": "37", "BATCHKEEPER_ATTEMPT": "1"}
    done = subprocess.run(
        [sys.executable, "scan.py"], cwd=GWAS, env=own | spoken, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("task 37 attempt 1: ") for line in done.stdout.splitlines())
    assert [path.name for path in tmp_path.iterdir()] == ["trait_37.csv"]
    lines = (tmp_path / "trait_37.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "marker,beta,se,t,p"
    assert len(lines) == 1 + make_data.MARKERS


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "TRAIT_INDEX is not set"),
        ({"TRAIT_INDEX": "seven"}, "TRAIT_INDEX is 'seven', which is not a whole number"),
        ({"TRAIT_INDEX": "1"}, "TRAIT_INDEX is 1; it must be at least 2"),
        ({"TRAIT_INDEX": "188"}, "TRAIT_INDEX is 188, but phenotypes.csv has columns 2 to 187"),
        ({"TRAIT_INDEX": "2", "PCA_TOTAL": "400"}, "too few for 400 principal components"),
        ({"TRAIT_INDEX": str(make_data.TEXT_TRAIT)}, "is not numeric: sample"),
        ({"TRAIT_INDEX": str(make_data.CONSTANT_TRAIT)}, "is constant: all"),
    ],
)
def test_a_configuration_error_exits_1_in_one_line(
    job: Job, tmp_path: Path, env: dict[str, str], message: str
) -> None:
    """What will fail again says so by its exit code, and says what to mend."""
    code, said = job(tmp_path, **env)
    assert code == 1
    assert said.startswith("configuration error: ")
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", ["missing", "empty", "partial"])
def test_a_mount_without_data_exits_2(job: Job, tmp_path: Path, state: str) -> None:
    """A mount that isn't there, is empty, or lost its files is told from a bad configuration."""
    mount = tmp_path / "data"
    if state != "missing":
        mount.mkdir()
    if state == "partial":
        (mount / "samples.csv").write_text("sample\n", encoding="utf-8")
    code, said = job(tmp_path / "out", TRAIT_INDEX="2", DATA=str(mount))
    assert code == 2
    assert said.startswith(f"mount failure: {mount} ")
    assert said.count("\n") == 1


def test_an_unforeseen_failure_claims_no_cause(job: Job, tmp_path: Path) -> None:
    """A bug or a broken output folder is neither exit 1 (never retried) nor exit 2 (a mount)."""
    (tmp_path / "out").write_text("a file where a folder should be", encoding="utf-8")
    code, said = job(tmp_path / "out", TRAIT_INDEX="2")
    assert code == 70
    assert said.startswith("Traceback")


# --- memory ----------------------------------------------------------------------------------


def memory_samples(out: Path, index: int) -> list[float]:
    """The job's PSS in MiB every 100 ms, as the local cluster samples it."""
    env = {**os.environ, "TRAIT_INDEX": str(index), "OUT": str(out)}
    samples: list[float] = []
    with subprocess.Popen([sys.executable, "scan.py"], cwd=GWAS, env=env, stdout=subprocess.DEVNULL) as job:
        while job.poll() is None:
            try:
                text = Path(f"/proc/{job.pid}/smaps_rollup").read_text(encoding="ascii")
            except (ProcessLookupError, PermissionError):
                continue  # it is just ending
            kib = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
            samples += [number / 1024 for number in kib]
            time.sleep(0.1)
    assert job.returncode == 0
    return samples


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="PSS is Linux's")
def test_one_trait_outgrows_the_memory_of_the_spec_and_the_others_do_not(tmp_path: Path) -> None:
    """The permuted trait stays above 128 MiB long enough to be seen, and well below twice that."""
    limit = 128
    hungry = memory_samples(tmp_path, make_data.PERMUTED_TRAIT)
    assert 1.3 * limit < max(hungry) < 0.8 * 2 * limit
    assert sum(sample > limit for sample in hungry) >= 4
    assert max(memory_samples(tmp_path, 2)) < 0.6 * limit
