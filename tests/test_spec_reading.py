"""From a file or a text to a checked spec: whose it is, wherever it lies and whoever reads it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from controller.config import Settings, load
from controller.ports import NamedFile, SpecFile
from controller.reading import read_spec_file, read_spec_text, reader_of
from controller.spec_pass import Reading

SPEC = """\
apiVersion: batchkeeper/v1
kind: Batch
name: sweep
tasks:
  range: {name: N, from: 1, to: 2}
job:
  image: ghcr.io/example/scan:1
"""


def settings_in(folder: Path, owners: str) -> Settings:
    """Settings of a daemon that watches ``specs`` in this folder, with this owner map."""
    config = folder / "config.yaml"
    config.write_text(f"specs: {{folder: specs, owners: {owners}}}\n")
    return load(config)


@pytest.fixture
def mapped(tmp_path: Path) -> Settings:
    """What lies in ``salk`` is salk's, and all else in the watched folder the lab's."""
    return settings_in(tmp_path, "[{folder: salk, user: salk}, {folder: ., user: lab}]")


async def test_a_spec_that_is_sent_lies_in_no_folder(mapped: Settings) -> None:
    """Its sender was told that specs for their namespace belong to the lab."""
    for name in ("spec.yaml", "salk/spec.yaml"):
        read = await read_spec_text(mapped, SPEC.encode(), name=name, user="ada")
        assert read.spec, read.problems
        assert read.spec.owner == "ada"


@pytest.mark.parametrize("typed", ["{}/specs/salk/a.yaml", "specs/salk/a.yaml", "specs/../specs/salk/a.yaml"])
async def test_whose_a_file_is_does_not_depend_on_how_it_is_named(
    tmp_path: Path, mapped: Settings, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """The daemon takes it: so it is valid from any folder of whoever asks, also by way of a link."""
    (tmp_path / "specs" / "salk").mkdir(parents=True)
    (tmp_path / "specs" / "salk" / "a.yaml").write_text(SPEC + "owner: salk\n")
    (tmp_path / "there").symlink_to(tmp_path / "specs" / "salk")
    places = {"": typed.format(tmp_path), "specs": "salk/a.yaml", "specs/salk": "a.yaml"}
    for folder, path in (*places.items(), ("", "there/a.yaml")):
        monkeypatch.chdir(tmp_path / folder)
        read = await read_spec_file(mapped, Path(path), user="local:me")
        assert read.spec, read.problems
        assert read.spec.owner == "salk"


async def test_a_file_outside_of_the_watched_folder_is_its_owners(
    tmp_path: Path, mapped: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its folder is called."""
    (tmp_path / "salk").mkdir()
    (tmp_path / "salk" / "a.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    read = await read_spec_file(mapped, Path("salk/a.yaml"), user="local:me")
    assert read.spec, read.problems
    assert read.spec.owner == "local:me"


async def test_the_daemon_opens_no_csv_by_its_path(tmp_path: Path, mapped: Settings) -> None:
    """Who may name what was decided by the look that found it; the path may lead elsewhere by now."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "t.csv").write_text("id,PATIENT\na,never-for-bob\n")
    content = SPEC.replace("range: {name: N, from: 1, to: 2}", "csv: {path: t.csv}").encode()
    for beside, ids in (({}, None), ({"t.csv": NamedFile(b"id\nx\n")}, ["x"])):
        file = SpecFile("a.yaml", content, str(folder), "local:bob", beside=beside)
        read = await reader_of(mapped)(file)
        assert (read.spec and [task.id for task in read.spec.tasks]) == ids
        assert list(read.names_files) == ["t.csv"]


async def test_a_pipe_is_read_and_one_that_nobody_writes_to_is_empty(
    tmp_path: Path, mapped: Settings
) -> None:
    """It was waited for, and neither Ctrl-C nor SIGTERM ended the command."""
    pipe = tmp_path / "spec.yaml"
    os.mkfifo(pipe)
    try:
        async with asyncio.timeout(20):
            read = await read_spec_file(mapped, pipe, user="ada")
        assert "is empty" in str(read.problems)
        _, read = await asyncio.gather(
            asyncio.to_thread(pipe.write_text, SPEC), _once_written_to(pipe, mapped)
        )
        assert read.spec, read.problems
    finally:
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


async def _once_written_to(pipe: Path, settings: Settings) -> Reading:
    await asyncio.sleep(0.3)
    return await read_spec_file(settings, pipe, user="ada")
