"""Settings that name files and folders: where a relative one starts, and what is no path at all."""

from pathlib import Path

import pytest

from controller.config import ConfigError, load

pytestmark = pytest.mark.usefixtures("no_variables")


def write(text: str) -> Path:
    """Write a configuration file into the working directory."""
    Path("c.yaml").write_text(text, encoding="utf-8")
    return Path("c.yaml")


def complaints(path: Path | None = None) -> list[str]:
    """What loading complains about."""
    with pytest.raises(ConfigError) as refused:
        load(path)
    return list(refused.value.lines)


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration can be named from anywhere; what a variable says starts where the program does."""
    (tmp_path / "c.yaml").write_text("state_dir: s\nlocal: {faults: f.yaml, workdir: .}\n", encoding="utf-8")
    monkeypatch.setenv("BATCHKEEPER_SPECS__FOLDER", "dropped")
    settings = load(tmp_path / "c.yaml")
    assert (settings.state_dir, settings.local.faults) == (tmp_path / "s", str(tmp_path / "f.yaml"))
    assert settings.local.workdir == str(tmp_path / ".")
    assert settings.specs.folder == Path("dropped")


def test_what_a_file_leaves_out_starts_at_its_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daemon and commands find one state folder, wherever each of them is typed; a variable still wins."""
    file = tmp_path / "elsewhere" / "c.yaml"
    file.parent.mkdir()
    for text in ("", "max_concurrent: 3\n", "specs:\n", "specs: {interval: 5s}\n"):
        file.write_text(text, encoding="utf-8")
        settings = load(file)
        assert settings.state_dir == file.parent / "state"
        assert settings.specs.folder == file.parent / "specs"
    monkeypatch.setenv("BATCHKEEPER_STATE_DIR", "here")
    assert load(file).state_dir == Path("here")
    file.write_text("kubernetes: {kubeconfig: admin.conf}\n", encoding="utf-8")
    assert load(file).kubernetes.kubeconfig == str(file.parent / "admin.conf")


def test_the_home_folder_is_meant_by_its_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no folder of that name is made beside the file."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("BATCHKEEPER_STORE__MONGOD__BINARY", "~/bin/mongod")
    settings = load(write("state_dir: ~/bk\nlocal: {workdir: ~/data}\n"))
    assert settings.state_dir == Path("/home/ada/bk")
    assert settings.local.workdir == "/home/ada/data"
    assert settings.store.mongod.binary == "/home/ada/bin/mongod"


@pytest.mark.parametrize("key", ["state_dir", "specs.folder", "auth.static.file", "notifications.url_file"])
def test_an_empty_path_is_not_the_working_directory(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A variable that was never set would make the state of whatever folder a command is typed in."""
    *sections, last = key.split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
    told = complaints(write(f"{text}{'  ' * len(sections)}{last}: ''\n"))
    assert [line.partition(f"{key}: ")[2] for line in told] == [
        "must not be empty: name a file or folder, or leave it out"
    ]
    monkeypatch.setenv(f"BATCHKEEPER_{key.replace('.', '__').upper()}", "")
    assert "(environment): must not be empty" in complaints()[0]
