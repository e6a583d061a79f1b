"""Redaction: a table of what is hidden and what is not."""

import json
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from controller.core.model import JobInput, Resources
from controller.telemetry.redaction import redacted

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("batch", "traits", "traits"),
        ("n", 3, 3),
        ("ok", True, True),
        ("nothing", None, None),
        ("password", "x", "***"),
        ("db_password", "x", "***"),
        ("accessToken", "x", "***"),
        ("API_KEY", b"x", "***"),
        ("secret", ["x"], "***"),
        ("has_token", True, True),
        ("tokens", 3, 3),
        ("uri", "mongodb://ada:p@ss@db:1/x?y=z", "mongodb://***@db:1/x?y=z"),
        ("message", "asked http://ada:pw@host/ and http://host/", "asked http://***@host/ and http://host/"),
        ("message", "mail ada@example.org", "mail ada@example.org"),
        ("env", {"B": "2", "A": "1"}, ["A", "B"]),
        ("job_env", ["A=1", "B=2"], ["A", "B"]),
        ("env", [{"name": "A", "value": "1"}, {"value": "2"}, 3], ["***", "***", "A"]),
        ("environment", "A=1", "***"),
        ("spec", {"job": {"env": {"A": "1"}, "image": "i"}}, {"job": {"env": ["A"], "image": "i"}}),
        ("data", {"token": "x", "user": ("ada",)}, {"token": "***", "user": ["ada"]}),
        ("took", timedelta(minutes=1), "1m"),
        ("at", NOW, "2026-11-22T12:00:00+00:00"),
        ("empty", {}, {}),
    ],
)
def test_redaction(key: str, value: object, shown: object) -> None:
    """Secrets by key, credentials by form, an env by its names only; everything else as it is."""
    assert redacted(key, value) == shown


def test_records_do_not_show_the_env_inside_them() -> None:
    """A record given as it is shows its fields, and of its env the names."""
    job = JobInput("image", env=MappingProxyType({"PCA": "hunter2"}), resources=Resources(cpu=500))
    shown = redacted("job", job)
    assert shown["env"] == ["PCA"]
    assert shown["resources"]["cpu"] == 500
    assert "hunter2" not in json.dumps(shown)


def test_hostile_values_are_bounded() -> None:
    """A value that contains itself, or is huge, makes a short line."""
    nested: list[object] = []
    nested.append(nested)
    assert len(json.dumps(redacted("x", nested))) < 100
    assert redacted("x", "y" * 100_000).endswith("… (100000 characters)")
    assert len(redacted("x", "y" * 100_000)) < 10_000
