"""A real Prometheus: where its programs are, and one server as a child on a loopback port.

Debian's package ``prometheus`` has ``prometheus`` and ``promtool``. Where it is missing the tests skip,
with the reason; with ``TESTS_REQUIRE_PROMETHEUS=1``, as in ``.ci/run``, they fail.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.waiting import wait_for
from tests.monitoring.alerting import ALERTS

REQUIRED = "TESTS_REQUIRE_PROMETHEUS"
JOB = "batchkeeper"


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; skips or fails the test where it is missing."""
    if found := shutil.which(name):
        return found
    why = f"no {name} on PATH: install Debian's package prometheus"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{why}, or unset {REQUIRED}")
    pytest.skip(why)


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels without the name, and its samples, oldest first."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]

    @property
    def value(self) -> float:
        """Its newest sample."""
        return self.samples[-1][1]


class Prometheus:
    """One server. It scrapes every second and judges our alerts every second."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.began = time.time()

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def scrape(self, **replicas: str) -> None:
        """From now on these daemons are scraped: the label ``instance``, and the URL of its port."""
        targets = [
            {"targets": [url.removeprefix("http://")], "labels": {"instance": name, "namespace": "lab"}}
            for name, url in replicas.items()
        ]
        half = self.folder / ".targets"
        half.write_text(json.dumps(targets), encoding="utf-8")
        half.replace(self.folder / "targets.json")
        names = set(replicas)
        wait_for("the scrapes", lambda: {one.labels["instance"] for one in self.ask("up == 1")} == names)

    def ask(self, expression: str) -> list[Series]:
        """The answer now; a range selector gives its raw samples."""
        found = self._get("query", query=expression)
        if found["resultType"] == "scalar":
            return [Series({}, [_sample(found["result"])])]
        return [_series(one) for one in found["result"]]

    def over_time(self, expression: str, step: float = 1.0) -> list[Series]:
        """The answers at every step since this server began."""
        found = self._get("query_range", query=expression, start=self.began, end=time.time(), step=step)
        return [_series(one) for one in found["result"]]

    def by(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The answer now by these labels; what is zero is left out."""
        return {
            tuple(one.labels[label] for label in labels): one.value
            for one in self.ask(expression)
            if one.value
        }

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its state and the last error of its evaluation."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **query: object) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from None


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """A server for the length of a test, which scrapes nothing yet."""
    folder.mkdir()
    (folder / "prometheus.json").write_text(json.dumps(_configuration(folder)), encoding="utf-8")
    child, server = _started(folder)
    try:
        yield server
    finally:
        _end(child)


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], Prometheus]:
    """It can't tell which port it was given, so it is told one; somebody else may take that first."""
    for _ in range(3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        child, server = _child(folder, address), Prometheus(folder, f"http://{address}")
        try:
            wait_for("Prometheus, or its end", lambda: server.ready() or child.poll() is not None)  # noqa: B023
        except BaseException:
            _end(child)
            raise
        if child.poll() is None:
            return child, server
    raise AssertionError((folder / "log").read_text(errors="replace")[-2000:])


def _child(folder: Path, address: str) -> subprocess.Popen[bytes]:
    arguments = {
        "config.file": folder / "prometheus.json",
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "1h",
        "web.listen-address": address,
        "log.level": "warn",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [program("prometheus"), *(f"--{name}={value}" for name, value in arguments.items())],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


def _configuration(folder: Path) -> Mapping[str, Any]:
    """JSON is YAML, too."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {
                "job_name": JOB,
                "file_sd_configs": [{"files": [str(folder / "targets.json")], "refresh_interval": "1s"}],
            }
        ],
    }


def _series(one: Mapping[str, Any]) -> Series:
    labels = {name: value for name, value in one["metric"].items() if name != "__name__"}
    return Series(labels, [_sample(sample) for sample in one.get("values") or [one["value"]]])


def _sample(sample: Any) -> tuple[float, float]:
    return float(sample[0]), float(sample[1])
