"""What the pods of ``helm test`` ask, asked of a real daemon that has the chart's rights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.helm import TRIAL, Document, Helm, one, several
from tests.e2e.process import command, environment, run
from tests.kube.conftest import place, root
from tests.kube.place import KubePlace
from tests.receiver import Answer, receiver

__all__ = ["place", "root"]


def container(helm: Helm, name: str) -> Document:
    """The container of a test pod."""
    (found,) = one(helm.template(TRIAL), "Pod", f"keep-batchkeeper-{name}")["spec"]["containers"]
    return dict(found)


def variables(told: Document, **instead: str) -> dict[str, str]:
    """Its environment, with what is elsewhere here; every variable that is replaced must be there."""
    theirs = {variable["name"]: variable["value"] for variable in told["env"]}
    assert instead.keys() <= theirs.keys()
    return {**environment(), **theirs, **instead}


def asked(told: Document, url: str) -> subprocess.CompletedProcess[str]:
    """The script of the first test pod, run here."""
    assert told["command"] == ["python", "-c"]
    arguments = [sys.executable, "-c", *told["args"]]
    return subprocess.run(
        arguments, env=variables(told, URL=url), capture_output=True, text=True, timeout=120, check=False
    )


def test_what_everybody_may_know(helm: Helm, place: KubePlace) -> None:
    """A daemon that leads passes; what does not answer, or is no daemon, is told in one line each."""
    told = container(helm, "test-http")
    daemon = place.start()
    daemon.ready()
    done = asked(told, daemon.url)
    assert (done.returncode, done.stderr) == (0, "it lives, is ready, and lets no stranger in\n")
    place.start_no_more()
    done = asked(told, daemon.url)
    assert done.returncode == 1
    assert "/readyz: no answer instead of 200" in done.stderr


@pytest.mark.parametrize(
    ("status", "good"), [(401, True), (404, True), (503, True), (200, False), (500, False)]
)
def test_an_installation_without_an_api_is_whole(helm: Helm, status: int, good: bool) -> None:
    """Switched off (404), or not served because nobody could be known (503): no stranger is let in."""
    answers: list[Answer] = [
        (200, {}, b"batchkeeper_build_info"),
        (200, {}, b""),
        (200, {}, b"batchkeeper_build_info"),
    ]
    with receiver() as daemon:
        daemon.answers = [*answers, (status, {}, b"")]
        assert (asked(container(helm, "test-http"), daemon.url).returncode == 0) is good


def test_the_clusters_tokens(helm: Helm, place: KubePlace, tmp_path: Path) -> None:
    """With the token of an account without rights the list is shown: the daemon may ask whose it is. One that
    the cluster does not know is refused."""
    told = container(helm, "test-token")
    daemon = place.start()
    daemon.ready()
    good, bad = place.plane.account(place.namespace, "default").token_file, tmp_path / "token"
    bad.write_text("nobody-has-this-token")

    def listed(token: Path) -> subprocess.CompletedProcess[str]:
        mine = variables(told, BATCHKEEPER_URL=daemon.url, BATCHKEEPER_TOKEN_FILE=os.fspath(token))
        line = command(*told["args"])
        return subprocess.run(
            line, env=mine, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    done = listed(good)
    assert done.returncode == 0, done.stderr
    refused = listed(bad)
    assert refused.returncode == 1
    assert "token" in refused.stderr


def test_a_bad_value_ends_the_new_pod(helm: Helm, tmp_path: Path) -> None:
    """A configuration that Helm can't judge, but the daemon can: it ends at once, and one line says why."""
    documents = helm.template(
        TRIAL, config={"cluster": {"kind": "kubernetes"}, "reconcile": {"interval": "soon"}}
    )
    (config,) = (
        told["data"]["config.yaml"]
        for told in several(documents, "ConfigMap")
        if "config.yaml" in told["data"]
    )
    (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    ended = run(tmp_path, "controller", "--config", "config.yaml")
    assert ended.code != 0
    assert len(ended.err.splitlines()) == 1
    assert "reconcile.interval" in ended.err
