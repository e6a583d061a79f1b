"""The copy that ``run`` drops means the same where it lies, and appears all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cli.dropping import draft
from controller.config import Settings
from controller.core.spec import BatchSpec
from controller.ports import BatchkeeperError
from controller.specfile import SpecDefaults, read_spec

SPEC = """# my sweep
apiVersion: batchkeeper/v1
kind: Batch
name: sweep
tasks:
  csv: {path: data/rows.csv, id: n}
job:
  image: example/none:1
  local:
    command: [work]
    workdir: .   # here
retry:
- on: {exitCodes: [2]}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a spec and its csv."""
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.csv").write_text("n,X\n1,a\n2,b\n")
    (folder / "sweep.yaml").write_text(SPEC)
    return folder


def settings(tmp_path: Path, **local: str) -> Settings:
    """Settings with a watched folder of the test's own."""
    return Settings(specs={"folder": tmp_path / "watched"}, local=local)


def read(path: Path, folder: Path) -> BatchSpec:
    """A spec as it is read in a folder."""
    content = path.read_bytes()
    result = read_spec(content, name=path.name, folder=folder, root=folder, defaults=SpecDefaults())
    assert result.spec, result.problems
    return result.spec


def test_the_copy_means_what_the_original_means(home: Path, tmp_path: Path) -> None:
    """Same tasks, same working directory, though it lies elsewhere; comments and form stay."""
    original = read(home / "sweep.yaml", home)
    copy = draft(home / "sweep.yaml", original, settings(tmp_path))
    copy.drop()
    dropped = tmp_path / "watched" / "sweep.yaml"
    there = read(dropped, dropped.parent)
    assert there.tasks == original.tasks
    assert there.job == original.job
    assert dropped.read_text() == SPEC.replace("workdir: .", f'workdir: "{home}"')


def test_the_same_spec_gives_the_same_copy(home: Path, tmp_path: Path) -> None:
    """A second run drops the very bytes of the first, so it is the same batch."""
    original = read(home / "sweep.yaml", home)
    draft(home / "sweep.yaml", original, settings(tmp_path)).drop()
    dropped = tmp_path / "watched" / "sweep.yaml"
    before = dropped.read_bytes()
    draft(home / "sweep.yaml", original, settings(tmp_path)).drop()
    assert dropped.read_bytes() == before


def test_nothing_is_rewritten_where_the_configuration_says_where_to_work(home: Path, tmp_path: Path) -> None:
    """With local.workdir configured the text is copied byte by byte."""
    original = read(home / "sweep.yaml", home)
    draft(home / "sweep.yaml", original, settings(tmp_path, workdir=str(home))).drop()
    assert (tmp_path / "watched" / "sweep.yaml").read_text() == SPEC


def test_json_is_dropped_too(home: Path, tmp_path: Path) -> None:
    """A JSON spec stays JSON."""
    document = {
        "apiVersion": "batchkeeper/v1",
        "kind": "Batch",
        "name": "sweep",
        "tasks": {"range": {"name": "N", "from": 1, "to": 2}},
        "job": {"image": "example/none:1", "local": {"command": ["work"], "workdir": "data"}},
    }
    (home / "sweep.json").write_text(json.dumps(document))
    draft(home / "sweep.json", read(home / "sweep.json", home), settings(tmp_path)).drop()
    dropped = json.loads((tmp_path / "watched" / "sweep.json").read_text())
    assert dropped["job"]["local"]["workdir"] == str(home / "data")


def test_a_draft_is_no_spec_until_it_is_dropped(home: Path, tmp_path: Path) -> None:
    """Its name begins with a dot, which no watcher reads; discarded, nothing is left of it."""
    copy = draft(home / "sweep.yaml", read(home / "sweep.yaml", home), settings(tmp_path))
    assert [path.name for path in (tmp_path / "watched").glob("*.yaml") if path.name[0] != "."] == []
    copy.discard()
    assert list((tmp_path / "watched").glob("*.yaml")) == []


def test_a_spec_that_lies_in_the_watched_folder_is_left_alone(tmp_path: Path, home: Path) -> None:
    """Nothing is copied onto itself."""
    inside = Settings(specs={"folder": home})
    copy = draft(home / "sweep.yaml", read(home / "sweep.yaml", home), inside)
    copy.drop()
    copy.discard()
    assert (home / "sweep.yaml").read_text() == SPEC


@pytest.mark.parametrize("name", ["sweep.spec", "sweep", ".sweep.yaml", "SWEEP.YAML", "x.status.yaml"])
def test_a_name_that_no_watcher_reads_is_not_the_copy_s(name: str, home: Path, tmp_path: Path) -> None:
    """It is named for the batch then: under its own nobody would ever take it in."""
    source = (home / "sweep.yaml").rename(home / name)
    draft(source, read(source, home), settings(tmp_path)).drop()
    assert [path.name for path in (tmp_path / "watched").iterdir() if path.is_file()] == ["sweep.yaml"]


def test_another_batch_s_spec_is_not_overwritten(home: Path, tmp_path: Path) -> None:
    """It may be the only copy; an older spec of the same batch is replaced, and what is no spec stays."""
    watched, original = tmp_path / "watched", read(home / "sweep.yaml", home)
    watched.mkdir()
    other = SPEC.replace("name: sweep", "name: other")
    (watched / "traits.yaml").write_text(other)
    source = (home / "sweep.yaml").rename(home / "traits.yaml")
    for _ in range(2):
        draft(source, original, settings(tmp_path)).drop()
    assert (watched / "traits.yaml").read_text() == other
    assert read(watched / "sweep.yaml", watched).name == "sweep"
    for precious in (other, "name: [", "{}"):
        (watched / "sweep.yaml").write_text(precious)
        with pytest.raises(BatchkeeperError, match=r"sweep\.yaml is not the spec of batch sweep"):
            draft(source, original, settings(tmp_path))
        assert (watched / "sweep.yaml").read_text() == precious


ROWS, OTHER_ROWS = "n,X\n1,a\n2,b\n", "n,X\n3,c\n"
LOST = r"rows\.csv has other rows, is not of batch {} alone, and would be lost: give your csv another name"


def written(folder: Path, name: str, rows: str) -> Path:
    """A batch's spec, called as everybody's, and its csv."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "rows.csv").write_text(rows)
    (folder / "spec.yaml").write_text(SPEC.replace("name: sweep", f"name: {name}"))
    return folder / "spec.yaml"


def test_another_batch_s_csv_is_not_overwritten(tmp_path: Path) -> None:
    """Its spec would mean something else; with the same rows both may have it, until one of them changes."""
    watched = tmp_path / "watched"
    mine, yours = written(tmp_path / "a", "mine", ROWS), written(tmp_path / "b", "yours", OTHER_ROWS)
    draft(mine, read(mine, mine.parent), settings(tmp_path)).drop()
    before = sorted(path.name for path in watched.iterdir())
    with pytest.raises(BatchkeeperError, match=LOST.format("yours")):
        draft(yours, read(yours, yours.parent), settings(tmp_path))
    assert sorted(path.name for path in watched.iterdir()) == before
    assert len(read(watched / "spec.yaml", watched).tasks) == 2
    written(yours.parent, "yours", ROWS)
    draft(yours, read(yours, yours.parent), settings(tmp_path)).drop()
    for spec, name in ((mine, "mine"), (yours, "yours")):
        written(spec.parent, name, OTHER_ROWS)
        with pytest.raises(BatchkeeperError, match=LOST.format(name)):
            draft(spec, read(spec, spec.parent), settings(tmp_path))
    assert (watched / "data" / "rows.csv").read_text() == ROWS


def test_a_csv_that_nobody_knows_is_not_overwritten(home: Path, tmp_path: Path) -> None:
    """It may be the only copy; so may that of a spec that can't be read, though ours names it, too."""
    there, original = tmp_path / "watched" / "data" / "rows.csv", read(home / "sweep.yaml", home)
    there.parent.mkdir(parents=True)
    there.write_text(OTHER_ROWS)
    with pytest.raises(BatchkeeperError, match=LOST.format("sweep")):
        draft(home / "sweep.yaml", original, settings(tmp_path))
    assert there.read_text() == OTHER_ROWS
    there.unlink()
    draft(home / "sweep.yaml", original, settings(tmp_path)).drop()
    (tmp_path / "watched" / "broken.yaml").write_text("tasks: {csv: [data/rows.csv")
    (home / "data" / "rows.csv").write_text(OTHER_ROWS)
    with pytest.raises(BatchkeeperError, match=LOST.format("sweep")):
        draft(home / "sweep.yaml", original, settings(tmp_path))
    assert there.read_text() == ROWS


@pytest.mark.parametrize("name", ["sweep.yaml", "renamed.yaml"])
def test_the_batch_s_own_csv_is_brought_up_to_date(home: Path, tmp_path: Path, name: str) -> None:
    """The same spec with changed rows, also from a file of another name; others' specs don't matter."""
    watched = tmp_path / "watched"
    draft(home / "sweep.yaml", read(home / "sweep.yaml", home), settings(tmp_path)).drop()
    (watched / "other.yaml").write_text(SPEC.replace("rows.csv", "others.csv").replace("sweep", "other"))
    (watched / "broken.yaml").write_text("tasks: {csv: [")
    (home / "data" / "rows.csv").write_text(OTHER_ROWS)
    source = (home / "sweep.yaml").rename(home / name)
    draft(source, read(source, home), settings(tmp_path)).drop()
    assert (watched / "data" / "rows.csv").read_text() == OTHER_ROWS


def test_a_draft_that_is_discarded_leaves_no_csv(home: Path, tmp_path: Path) -> None:
    """Else the next one, with other rows, would meet it and be refused; what was there before stays."""
    there, original = tmp_path / "watched" / "data" / "rows.csv", read(home / "sweep.yaml", home)
    draft(home / "sweep.yaml", original, settings(tmp_path)).discard()
    assert not there.exists()
    kept = draft(home / "sweep.yaml", original, settings(tmp_path))
    kept.drop()
    kept.discard()
    draft(home / "sweep.yaml", original, settings(tmp_path)).discard()
    assert there.read_text() == ROWS
