"""The csv of a spec: what is a task, where the file may lie, and which row is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.core.spec import Task
from controller.ports import NamedFile
from controller.specfile import read_spec
from controller.specfile.tasks import hashed_id
from tests.specfile.reading import DEFAULTS, good, read, told

CSV = "traits.csv"
SECRET = "looks like a secret: put it into a Secret and name that in job.envFromSecret"
HEAD = "apiVersion: batchkeeper/v1\nkind: Batch\nname: bad\njob: {image: a}\n"
SPEC = HEAD + "tasks: {csv: {path: traits.csv}}"
BY_INDEX = HEAD + "tasks: {csv: {path: traits.csv, id: trait_index}}"


def put(folder: Path, content: str | bytes, name: str = "traits.csv") -> None:
    """Write the csv file."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_rows_are_tasks(tmp_path: Path) -> None:
    """The column that ``id`` names is the id and a parameter."""
    put(tmp_path, "trait_index,TRAIT\n2,Fe\n3,0.10\n")
    assert good(BY_INDEX, tmp_path).tasks == (
        Task("2", 0, {"trait_index": "2", "TRAIT": "Fe"}),
        Task("3", 1, {"trait_index": "3", "TRAIT": "0.10"}),
    )


def test_a_column_id(tmp_path: Path) -> None:
    """A column ``id`` is the id without being named, and no parameter, as in a list."""
    put(tmp_path, "id,T\nx,1\n")
    assert good(SPEC, tmp_path).tasks == (Task("x", 0, {"T": "1"}),)


def test_rows_without_id(tmp_path: Path) -> None:
    """Without any id column the hash of the row is the id."""
    put(tmp_path, "T\nFe\n")
    assert good(SPEC, tmp_path).tasks == (Task(hashed_id({"T": "Fe"}), 0, {"T": "Fe"}),)


def test_quotes_line_breaks_and_a_mark(tmp_path: Path) -> None:
    """A BOM, CRLF, blank lines, quoted commas and line breaks are CSV as spreadsheets write it."""
    put(tmp_path, b'\xef\xbb\xbfid,T\r\n\r\na,"x, ""y"""\r\nb,"two\r\nlines"\r\n')
    assert [task.parameters["T"] for task in good(SPEC, tmp_path).tasks] == ['x, "y"', "two\r\nlines"]


def test_the_document_identifies_the_file(tmp_path: Path) -> None:
    """The batch keeps path, hash and number of rows, not the rows."""
    put(tmp_path, "id\na\nb\n")
    csv = good(SPEC, tmp_path).document["tasks"]["csv"]
    assert (csv["path"], csv["rows"], len(csv["sha256"])) == ("traits.csv", 2, 64)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", ["1: is empty: begin with a header line"]),
        ("id,T\n", ["1: has no rows below its header: add one per task"]),
        (
            "id,T\na,1\nb\nc,3,4\n",
            ["3: this row has 1 cell, the header 2", "4: this row has 3 cells, the header 2"],
        ),
        ("id,T,T\na,1,2\n", ["1: column 'T' stands twice: rename or remove one"]),
        (
            "id,my trait\na,1\n",
            ["1: column 'my trait' can't name an environment variable: letters, digits and _"],
        ),
        ("id;T\na;1\n", ["1: the header is one column: separate columns with commas"]),
        ('id,T\na,"x\ny"\nA,z\n', ["4: id 'A' can't be part of a job's name: lower-case letters"]),
        ("id,T\na,x\nb,y\na,z\n", ["4: id 'a' stands twice: give each task its own (first on line 2)"]),
        (
            "T\nx\nx\n",
            ["3: the same parameters stand twice: remove one, or give each an id (first on line 2)"],
        ),
        ('id,T\na,"x\n', ["2: not valid CSV: unexpected end of data: check the quotes of this record"]),
        ("id,T\na,x\0y\n", ["2: a NUL byte: this is no UTF-8 text"]),
        (b"id,T\na,caf\xe9\n", ["2: byte 0xe9 is not UTF-8 (Latin-1 or Windows-1252, perhaps)"]),
        ("id,API_TOKEN\na,b\n", [f"1: column 'API_TOKEN' {SECRET}"]),
        ("id,T\na,AKIAIOSFODNN7EXAMPLE\n", [f"2: T {SECRET}"]),
        ("id\n" + "a\n" * 100_001, ["100002: more than 100000 rows: split the batch"]),
        (",".join(f"C{n}" for n in range(201)) + "\n" + "," * 200, ["1: 201 columns: 200 at most"]),
        (b"\xff\xfei\x00d\x00", ["this is UTF-16 text: save it as UTF-8"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_files(content: str | bytes, lines: list[str], tmp_path: Path) -> None:
    """Each mistake in the csv is told with the csv's own name and line."""
    put(tmp_path, content)
    found = read(SPEC, tmp_path).problems
    assert {(problem.file, problem.field) for problem in found} == {(CSV, "tasks.csv")}
    assert len(found) == len(lines)
    for problem, line in zip(found, lines, strict=True):
        place = f"{problem.line}: " if problem.line else ""
        assert f"{place}{problem.message}".startswith(line)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    """An unknown id column is told with the columns that there are."""
    put(tmp_path, "index,TRAIT\n1,x\n")
    assert told(BY_INDEX, tmp_path) == [
        "spec.yaml:5: tasks.csv.id: traits.csv has no column 'trait_index'; it has index, TRAIT"
    ]


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Between finding the file and opening it: only the last part was kept from being a link."""
    root, elsewhere = tmp_path / "watched", tmp_path / "elsewhere"
    for folder in (root / "mine", elsewhere):
        folder.mkdir(parents=True)
        put(folder, "id\na\n" if folder != elsewhere else "secret of others\n")

    def swap() -> None:
        (root / "mine").rename(root / "was")
        (root / "mine").symlink_to(elsewhere)

    content = SPEC.replace("path: traits.csv", "path: mine/traits.csv").encode()
    found = read_spec(content, name="a.yaml", folder=root, root=root, defaults=DEFAULTS, on_csv=swap)
    (problem,) = found.problems
    assert "'mine/traits.csv': can't be opened" in problem.message


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/etc/passwd", "must be relative to the spec, with / between folders"),
        ("../secret.csv", "leads out of the watched folder: copy the file into it"),
        ("sub/../../secret.csv", "leads out of the watched folder: copy the file into it"),
        ("link.csv", "leads out of the watched folder: copy the file into it"),
        ("linked/secret.csv", "leads out of the watched folder: copy the file into it"),
        ("loop.csv", "can't be opened"),
        ("missing.csv", "no such file beside the spec: put it there, or correct it"),
        ("sub", "is not a file"),
        ("pipe.csv", "is not a file"),
        ("a\\\\b.csv", "must be relative to the spec, with / between folders"),
        ("x" * 300, "can't be opened"),
        ("traits.csv/x", "can't be opened"),
    ],
)
def test_paths(path: str, complaint: str, tmp_path: Path) -> None:
    """Nothing outside the watched folder is read, through no path and no link; a pipe makes nobody wait."""
    root = tmp_path / "watched"
    (root / "sub").mkdir(parents=True)
    put(tmp_path, "id,K\na,secret\n", "secret.csv")
    put(root, "id\na\n")
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    (root / "linked").symlink_to(tmp_path)
    (root / "loop.csv").symlink_to(root / "loop.csv")
    os.mkfifo(root / "pipe.csv")
    (line,) = told(f'{HEAD}tasks: {{csv: {{path: "{path}"}}}}', root)
    assert line.startswith("spec.yaml:5: tasks.csv.path: ")
    assert complaint in line


def test_a_link_that_stays_inside(tmp_path: Path) -> None:
    """Mounted ConfigMaps are links within the folder, and are read."""
    (tmp_path / "..data").mkdir()
    put(tmp_path / "..data", "id\na\n")
    (tmp_path / "traits.csv").symlink_to(Path("..data") / "traits.csv")
    assert len(good(SPEC, tmp_path).tasks) == 1


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """More than 32 MiB is refused without parsing it."""
    with (tmp_path / "traits.csv").open("wb") as file:
        file.truncate(32 * 2**20 + 1)
    (line,) = told(SPEC, tmp_path)
    assert line.endswith("'traits.csv' is larger than 32 MiB: split the batch")


def test_the_csv_is_named_even_when_it_is_missing(tmp_path: Path) -> None:
    """Whoever watches the spec must watch that file too, to read both again once it is there."""
    assert read(SPEC, tmp_path).csv == "traits.csv"
    assert read(HEAD + "tasks: {range: {name: I, from: 1, to: 2}}").csv == ""


class TestHanded:
    """A csv that came with its spec, from a store that is no folder."""

    def problems(self, tmp_path: Path, *files: tuple[str, NamedFile], path: str = CSV) -> list[str]:
        """What is told of a spec that came with these files; what lies in the folder is none of them."""
        put(tmp_path, "id\nwrong\n")
        spec = HEAD + f"tasks: {{csv: {{path: {path}}}}}"
        result = read_spec(
            spec.encode(),
            name="s3://lab/a.yaml",
            folder=tmp_path,
            root=tmp_path,
            defaults=DEFAULTS,
            beside=dict(files),
        )
        assert result.csv == path
        ids = [task.id for task in result.spec.tasks] if result.spec else []
        return [str(problem) for problem in result.problems] or ids

    def test_its_rows_are_the_tasks(self, tmp_path: Path) -> None:
        """And not those of a file of the same name on this machine."""
        assert self.problems(tmp_path, (CSV, NamedFile(b"id\nx\ny\n"))) == ["x", "y"]

    @pytest.mark.parametrize(
        ("files", "says"),
        [
            ((), "'traits.csv': no such file: put the file beside the spec, or correct the path"),
            (((CSV, NamedFile(error="access denied")),), "'traits.csv': access denied: put"),
            (
                ((CSV, NamedFile(error="has many bytes", truncated=True)),),
                "'traits.csv' is larger than 32 MiB",
            ),
            (((CSV, NamedFile(b"id\n")),), "has no rows below its header"),
        ],
    )
    def test_what_can_t_be_had(
        self, tmp_path: Path, files: tuple[tuple[str, NamedFile], ...], says: str
    ) -> None:
        """One problem, which says what to do; the folder is not looked into instead."""
        (problem,) = self.problems(tmp_path, *files)
        assert says in problem

    def test_it_is_relative(self, tmp_path: Path) -> None:
        """As in a folder."""
        (problem,) = self.problems(tmp_path, path="/traits.csv")
        assert "must be relative to the spec" in problem
