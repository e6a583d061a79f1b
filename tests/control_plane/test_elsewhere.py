"""A cluster that a kubeconfig names is used as the user of its current context."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.control_plane.building import Unavailable
from tests.control_plane.elsewhere import api_of, config_elsewhere
from tests.control_plane.plane import ControlPlane


@pytest.mark.parametrize("inline", [False, True])
def test_the_current_context(control_plane: ControlPlane, tmp_path: Path, inline: bool) -> None:
    """Server, authority and token are those of the current context, in files or in the kubeconfig itself."""
    config = json.loads(control_plane.kubeconfig().read_text())
    if inline:
        cluster = config["clusters"][0]["cluster"]
        authority = Path(cluster.pop("certificate-authority")).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    other = {"name": "production", "context": {"cluster": "production", "user": "root"}}
    config["contexts"].insert(0, other)
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    told = api_of(path, tmp_path).get("/version")
    assert told == control_plane.admin.get("/version")


@pytest.mark.parametrize("text", ["", "{}", "[", "current-context: x\ncontexts: []\n", "contexts: x"])
def test_what_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    """A file that can't be used is a reason that names the variable, not a traceback."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Unavailable, match="KUBECONFIG="):
        api_of(path, tmp_path)


def test_no_such_kubeconfig(tmp_path: Path) -> None:
    """So is a file that is not there."""
    with pytest.raises(Unavailable, match="KUBECONFIG="):
        api_of(tmp_path / "none", tmp_path)


def test_a_kubeconfig_is_used_when_somebody_says_so() -> None:
    """``KUBECONFIG`` alone, as in the shell of whoever looks after a cluster, is nothing to run tests on."""
    assert config_elsewhere({"KUBECONFIG": "/there"}) is None
    assert config_elsewhere({"KUBECONFIG": "/there", "USE_EXISTING_CLUSTER": "false"}) is None
    assert config_elsewhere({"KUBECONFIG": "/there", "USE_EXISTING_CLUSTER": "true"}) == Path("/there")
    with pytest.raises(Unavailable, match="KUBECONFIG is not"):
        config_elsewhere({"USE_EXISTING_CLUSTER": "true"})
