"""Whatever goes wrong is one line on stderr with what to do; exit codes mean what docs/cli.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller import app
from controller.cli import program
from controller.ports import Unavailable
from tests.cli.place import Place, Shell


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("stauts",), "did you mean 'status'?"),
        (("status",), "missing argument 'BATCH'"),
        (("jobs", "sweep", "--sttus", "error"), "--status"),
        (("jobs", "sweep", "--verdict", "oops"), "is not one of 'succeeded'"),
        (("halt", "all"), "submissions"),
        (("list", "-o", "xml"), "is not one of 'table', 'json', 'yaml'"),
        (("status", "sweep", "--wacht"), "no such option: --wacht. Did you mean --watch? see"),
        (("status", "sweep", "now", "please"), "too many words: now please: see"),
        (("list", "--limit", "many"), "'--limit': a whole number is wanted, as 10: see"),
        (("list", "--limit", "0"), "'--limit': at least 1 is wanted: see"),
        (("scale", "sweep", "1.5"), "'N': a whole number is wanted, as 10: see"),
        (("logs", "sweep-long", "--bytes", "0"), "--bytes: at least 1 byte is wanted: see"),
        (("cancel", "sweep", "--why", ""), "'--why': write one line of 1 to 300 characters: see"),
        (("halt", "retries", "--why", "a\nb"), "'--why': write one line of 1 to 300 characters: see"),
        (("halt", "retries", "--why", "a\u2028b"), "'--why': write one line of 1 to 300 characters: see"),
    ],
)
def test_a_slip_of_the_keyboard_is_answered_with_the_nearest(
    shell: Shell, words: tuple[str, ...], says: str
) -> None:
    """Usage errors are exit code 2, one line, and name the right word and where to read on."""
    answer = shell(*words)
    assert (answer.code, answer.out) == (2, "")
    assert says.lower() in answer.err.lower()
    assert answer.err.startswith("error: ")
    assert answer.err.rstrip().endswith("--help'")
    assert len(answer.err.splitlines()) == 1


def test_a_misspelled_batch_is_answered_with_the_nearest(sweep: Place, shell: Shell) -> None:
    """Exit code 1: the words were right, the name is none."""
    for command in ("status", "jobs", "report", "pause"):
        answer = shell(command, "sweeep")
        assert answer.code == 1
        assert answer.err == "error: there is no batch sweeep; did you mean sweep?\n"


def test_a_batch_where_a_job_is_wanted_is_called_one(sweep: Place, shell: Shell) -> None:
    """By its name and by its whole name; it is not answered with itself as the nearest."""
    for name in ("sweep", "default/sweep"):
        answer = shell("logs", name)
        assert answer.code == 1
        assert answer.err == f"error: {name} is a batch, no job: 'batchkeeper jobs {name}' shows its jobs\n"


def test_every_complaint_about_the_configuration_has_its_line(place: Place, shell: Shell) -> None:
    """All at once, each with the file and the line; --config names another file."""
    Path("wrong.yaml").write_text("max_concurent: 3\nhttp:\n  port: many\n")
    answer = shell("list", "--config", "wrong.yaml")
    assert answer.code == 1
    lines = sorted(answer.err.splitlines())
    assert len(lines) == 2
    assert "wrong.yaml:1: max_concurent: no such key: did you mean max_concurrent?" in lines[0]
    assert "wrong.yaml:3: http.port" in lines[1]
    assert "no such file" in shell("list", "--config", "nowhere.yaml").err


def test_what_is_unavailable_is_one_line(place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback for a store that is away."""

    def away(settings: object) -> None:
        raise Unavailable("the store does not answer: is it up?")

    monkeypatch.setattr(app, "open_parts", away)
    answer = shell("list")
    assert (answer.code, answer.err) == (1, "error: the store does not answer: is it up?\n")


def test_a_look_leaves_nothing_behind(place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command typed in the wrong folder says so, and starts no database there."""
    monkeypatch.delenv("MONGODB_URI")
    answer = shell("list")
    assert answer.code == 1
    assert "nothing was ever run from here" in answer.err
    assert "--config" in answer.err
    assert list(Path.cwd().iterdir()) == []


def test_a_state_folder_that_can_not_be_looked_at(
    place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a folder that is somebody else's, say: that is no bug."""
    monkeypatch.delenv("MONGODB_URI")
    monkeypatch.setenv("BATCHKEEPER_STATE_DIR", "x" * 300)
    answer = shell("list")
    assert answer.code == 1
    assert "can't be used (File name too long): give a folder you may write as state_dir" in answer.err


@pytest.mark.parametrize("line", ["run sweep.yaml", "controller", "list --quarantined"])
def test_what_the_api_has_not_is_not_done_here_instead(
    sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """With BATCHKEEPER_URL set somebody means another place than this one: one line says what to do."""
    monkeypatch.setenv("BATCHKEEPER_URL", "http://example")
    answer = shell(*line.split())
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: BATCHKEEPER_URL is set, and ")
    assert "unset it" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_name_that_stands_for_two_things_is_not_guessed(sweep: Place, shell: Shell) -> None:
    """A batch and a job of one name: the ids tell them apart."""
    sweep.submit("sweep-good")
    answer = shell("explain", "sweep-good")
    assert answer.code == 1
    assert "is the name of several things" in answer.err
    assert sweep.job("sweep-good").id in answer.err
    assert shell("explain", sweep.job("sweep-good").id).code == 0
    assert shell("explain", sweep.batch("sweep-good").id).code == 0


def test_ctrl_c_is_clean(place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """130, as shells have it, and not a word."""

    def interrupted(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "open_parts", interrupted)
    answer = shell("list")
    assert (answer.code, answer.out, answer.err) == (130, "", "")


def test_a_bug_is_one_line_and_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What nobody foresaw: where its traceback is and how to report it; no credentials in either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        raise ValueError("mongodb://me:hunter2@db/ is odd")
    except ValueError as error:
        program.crashed(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    (file,) = tmp_path.iterdir()
    assert len(said.splitlines()) == 1
    assert str(file) in said
    assert "please report it" in said
    assert "--debug" in said
    assert "ValueError" in file.read_text()
    assert "hunter2" not in said + file.read_text()


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback(
    place: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    """--debug anywhere leaves Python's own hook in place; without it ours is."""
    before = sys.excepthook
    shell("list", *(["--debug"] if debug else []))
    assert (sys.excepthook is before) is debug


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """``batchkeeper … | head -1``: no traceback, no complaint."""
    command = Path(sys.executable).with_name("batchkeeper")
    environment = {**os.environ, "MONGODB_URI": ""}
    ran = subprocess.run(
        ["bash", "-c", f"{command} validate --schema | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    first, code = ran.stdout.splitlines()
    assert first == "{"
    assert code in ("0", "141")
    assert ran.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(("form", "loads"), [("JSON", json.loads), ("YAML", YAML(typ="safe").load)])
def test_what_programs_read_is_valid_in_any_encoding(
    form: str, loads: Callable[[str], object], encoding: str
) -> None:
    """Where stdout was not UTF-8 a character that it lacks became an escape that JSON has not."""
    said = {"why": "café \N{PILE OF POO} \N{LINE SEPARATOR}"}
    script = (
        "from controller.cli.output import Format, show, utf8_or_escaped\n"
        f"utf8_or_escaped()\nshow(Format.{form}, {said!a}, lambda: '')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert loads(ran.stdout.decode(encoding)) == said
    assert ("café" in ran.stdout.decode(encoding)) is (encoding == "utf-8")


def test_a_disk_that_is_full_is_no_bug(tmp_path: Path) -> None:
    """``batchkeeper … > file`` where nothing can be written: one line says so, and no traceback is kept."""
    command = Path(sys.executable).with_name("batchkeeper")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [command, "validate", "--schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "MONGODB_URI": ""},
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == (
        "error: the output can't be written (no space left on device): make room, or send it elsewhere\n"
    )


def test_the_version_and_the_help_are_there_without_a_command(shell: Shell) -> None:
    """Bare words show the help, and it fits a narrow terminal."""
    assert shell("--version").out.startswith("batchkeeper ")
    bare = shell()
    assert bare.code == 0
    assert "Write and run" in bare.out
    assert shell("-h").code == 0


def test_run_is_for_this_machine(shell: Shell, tmp_path: Path) -> None:
    """A configuration of a cluster is not run on the machine that it happens to be typed on."""
    config, spec = tmp_path / "cluster.yaml", tmp_path / "sweep.yaml"
    config.write_text("cluster: {kind: kubernetes}\n")
    spec.write_text("kind: Batch\n")
    answer = shell("run", str(spec), "--config", str(config))
    assert answer.code == 1
    assert "run is for this machine, and cluster.kind is kubernetes" in answer.err
    assert len(answer.err.splitlines()) == 1
