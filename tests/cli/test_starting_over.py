"""``run --fresh`` forgets one ended batch, and refuses to lose anything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller import requests
from controller.cli import starting_over
from controller.cli.starting_over import start_over
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError
from controller.specfile import SpecDefaults, read_spec
from tests.cli.place import SPEC, Place


@pytest.fixture
def state(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state folder with all that can be in one; the settings have no store.uri."""
    monkeypatch.delenv("MONGODB_URI")
    place.settings = Settings(state_dir=tmp_path / "state")
    for name in ("mongo", "cluster", "secrets"):
        (tmp_path / "state" / name).mkdir(parents=True)
        (tmp_path / "state" / name / "thing").write_text("x")
    (tmp_path / "state" / "cluster" / "thing").rename(tmp_path / "state" / "cluster" / "history.jsonl")
    for name in ("lock", "mongod.log", "run.log"):
        (tmp_path / "state" / name).write_text("x")
    return tmp_path / "state"


def spec(name: str = "sweep") -> BatchSpec:
    """The spec that is to run again."""
    content = SPEC.format(name=name, at_most=4).encode()
    read = read_spec(content, name="sweep.yaml", folder=Path(), root=Path(), defaults=SpecDefaults())
    assert read.spec
    return read.spec


def ended(place: Place) -> None:
    """A batch that was, and is over."""
    place.submit()
    place.passes()
    batch = place.batch()

    who = requests.Caller(batch.user)
    asyncio.run(requests.cancel_batch(place.parts.people, who, batch, "over"))
    place.passes()
    assert place.batch().status.closed


def fresh(place: Place, name: str = "sweep") -> None:
    """What ``run --fresh`` does first."""
    asyncio.run(start_over(place.settings, spec(name)))


def test_an_ended_run_is_forgotten(place: Place, state: Path) -> None:
    """Database and jobs go; the secrets, the lock and the log of runs stay."""
    ended(place)
    fresh(place)
    assert sorted(path.name for path in state.iterdir()) == ["lock", "run.log", "secrets"]


@pytest.mark.parametrize("after", range(3))
def test_a_removal_that_is_cut_off(
    place: Place, state: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """No job is left without its record, which would be somebody else's then, and no database is left in
    part, which nobody could open; the next one goes on."""
    ended(place)
    remove, left = starting_over._remove_one, [after]

    def cut_off(path: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        remove(path)

    monkeypatch.setattr(starting_over, "_remove_one", cut_off)
    with pytest.raises(KeyboardInterrupt):
        fresh(place)
    assert (state / "mongo" / "thing").exists() or not (
        (state / "mongo").exists() or (state / "cluster").exists()
    )
    monkeypatch.setattr(starting_over, "_remove_one", remove)
    fresh(place)
    assert sorted(path.name for path in state.iterdir()) == ["lock", "run.log", "secrets"]


def test_what_is_not_of_the_run_is_not_removed(place: Place, state: Path) -> None:
    """A state folder in a project's own folder: its ``cluster/`` was there before us."""
    ended(place)
    (state / "cluster" / "argo").mkdir()
    with pytest.raises(BatchkeeperError, match=r"would also lose .*/cluster/argo, which is not of this run"):
        fresh(place)
    assert (state / "mongo" / "thing").exists()


def test_what_can_not_be_removed_is_named(place: Place, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no bug, and whoever typed it may have to do it."""

    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    ended(place)
    monkeypatch.setattr(starting_over, "_remove_one", refused)
    with pytest.raises(
        BatchkeeperError, match=r"can't remove .*/cluster \(Operation not permitted\): remove it"
    ):
        fresh(place)


def test_a_run_that_has_not_ended_goes_on(place: Place, state: Path) -> None:
    """Nothing is removed under jobs that run."""
    place.submit()
    place.passes()
    fresh(place)
    assert (state / "mongo" / "thing").exists()


def test_other_batches_are_not_lost(place: Place, state: Path) -> None:
    """Their records are somebody's."""
    ended(place)
    place.submit("precious")
    with pytest.raises(BatchkeeperError, match="would also lose the records of default/precious"):
        fresh(place)
    assert (state / "mongo" / "thing").exists()


def test_not_under_a_daemon_nor_under_another_command(place: Place, state: Path) -> None:
    """Whoever uses the state folder keeps it."""
    ended(place)
    place.daemon_there = True
    with pytest.raises(BatchkeeperError, match="under the daemon"):
        fresh(place)
    place.daemon_there = False
    (state / "mongod.json").write_text("{}")
    with pytest.raises(BatchkeeperError, match="another command still uses its database"):
        fresh(place)
    assert (state / "mongo" / "thing").exists()


def test_a_database_of_ones_own_is_never_emptied(place: Place) -> None:
    """--fresh with store.uri is refused where there is something to forget."""
    ended(place)
    with pytest.raises(BatchkeeperError, match=r"store\.uri"):
        fresh(place)


def test_a_database_of_ones_own_needs_no_emptying_at_first(place: Place) -> None:
    """`make run` with a MONGODB_URI: a batch that was never there need not be forgotten."""
    fresh(place)
    assert asyncio.run(place.store.batches()) == []


def test_a_new_place_needs_no_starting_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make run` on a fresh checkout: nothing to forget, and nothing is made."""
    monkeypatch.delenv("MONGODB_URI")
    place.settings = Settings()
    fresh(place)
    assert not Path("state").exists()
