"""Every hand-made bad spec gets exactly the lines that its author needs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.specfile.corpus import FILE, Case, cases
from tests.specfile.reading import read, told

CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_bad_spec_is_told_what_is_wrong(case: Case, tmp_path: Path) -> None:
    """All problems, each with its line, its field and what to do; and no batch."""
    result = read(case.content, tmp_path, FILE)
    assert result.spec is None
    lines = [str(problem).removeprefix(f"{FILE}:").lstrip() for problem in result.problems]
    assert lines == list(case.problems)
    assert case.problems, "a case without expectation proves nothing"


def test_the_corpus_is_large() -> None:
    """At least fifteen classes and three hundred cases are kept, each of them once."""
    assert len({case.kind for case in CASES}) >= 15
    assert len({case.content for case in CASES}) >= 300


def test_no_case_shows_a_secret() -> None:
    """What looks like a secret is in no message."""
    for case in CASES:
        if case.kind == "secrets":
            assert not any(
                word in line
                for word in ("hunter22", "AKIA", "ghp_", "eyJ", "BEGIN")
                for line in case.problems
            )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "spec.yaml: is empty: begin with apiVersion: batchkeeper/v1"),
        (b"# nothing\n", "spec.yaml: is empty: begin with apiVersion: batchkeeper/v1"),
        (b"---\n...\n", "spec.yaml: is empty: begin with apiVersion: batchkeeper/v1"),
        (b"\n- a\n", "spec.yaml:2: is not a batch: begin with apiVersion: batchkeeper/v1"),
        (b"hello\n", "spec.yaml:1: is not a batch: begin with apiVersion: batchkeeper/v1"),
        ("kind: Batch\n".encode("utf-16"), "spec.yaml: this is UTF-16 text: save it as UTF-8"),
        ("kind: Batch\n".encode("utf-32"), "spec.yaml: this is UTF-32 text: save it as UTF-8"),
        (
            "kind: Batch\n".encode("utf-16-le"),
            "spec.yaml:1: a NUL byte: this is no UTF-8 text (UTF-16, perhaps",
        ),
        (
            "kind: Batch\nowner: jürgen\n".encode("latin-1"),
            "spec.yaml:2: byte 0xfc is not UTF-8 (Latin-1 or Windows-1252, perhaps): save the file as UTF-8",
        ),
        (b"kind: Batch\nname: a\x07\n", "spec.yaml:2: character U+0007 is not allowed: remove it"),
        (b"\x7fELF\x02\x01\x01\x00", "spec.yaml:1: a NUL byte: this is no UTF-8 text"),
        (b"PK\x03\x04", "spec.yaml:1: character U+0003 is not allowed: remove it"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bytes_that_are_no_spec(content: bytes, line: str) -> None:
    """Empty, binary and wrongly encoded files get one line that says what they look like."""
    (only,) = told(content)
    assert only.startswith(line)


def test_a_byte_order_mark_is_no_mistake() -> None:
    """UTF-8 with a BOM, as Windows editors write it, reads as the same text."""
    body = b"apiVersion: batchkeeper/v1\nkind: Batch\nname: a\n"
    body += b"tasks: {range: {name: I, from: 1, to: 2}}\njob: {image: a}\n"
    assert read(b"\xef\xbb\xbf" + body).spec is not None


def test_too_many_bytes() -> None:
    """A spec of more than 256 KiB is refused before it is read."""
    (line,) = told(b"# " + b"x" * 262_143)
    assert "has 262145 bytes: 256 KiB (262144) at most" in line


@pytest.mark.parametrize("bomb", ["[" * 30, "{a: " * 30, "- " * 30, "? " * 30, "[{a: " * 15])
def test_depth(bomb: str) -> None:
    """Nesting ends at twenty levels, whatever it is made of."""
    (line,) = told(f"job:\n  {bomb}")
    assert line == "spec.yaml:2: nested deeper than 20 levels: no field of a spec is"


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_the_twentieth_level_is_the_last(name: str) -> None:
    """Twenty levels are read (and then found to be no spec), the twenty-first is not."""
    (twenty, *_), (more,) = (told("[" * depth + "]" * depth, name=name) for depth in (20, 21))
    assert twenty == f"{name}:1: is not a batch: begin with apiVersion: batchkeeper/v1"
    assert more == f"{name}:1: nested deeper than 20 levels: no field of a spec is"


def test_number_of_values() -> None:
    """A file of very many tiny values is given up before it takes long."""
    (line,) = told("[" + "a," * 30_000 + "]")
    assert line == "spec.yaml:1: more than 20000 keys and values: move the tasks into a csv file (tasks.csv)"


def test_many_problems_are_counted() -> None:
    """Of thousands of problems fifty are told; one more line says how many there are."""
    lines = told("job: {image: a}\n" + "".join(f"key{number}: 1\n" for number in range(1000)))
    assert len(lines) == 51
    assert lines[-1] == "spec.yaml: and 954 more problems: correct these first"
