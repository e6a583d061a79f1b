"""The operator's policy: what specs may ask for, and that the operator wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import JobInput, Mount
from controller.core.policy import Policy, breaches, image_allowed, path_allowed
from controller.core.spec import BatchSpec, Task

SPEC = BatchSpec("b", "default", "me", 5, JobInput("ghcr.io/example/tool:1"), (Task("1", 0),))
OPEN = Policy(namespaces=("default",))


def fields(spec: BatchSpec, policy: Policy) -> list[str]:
    """The fields that a policy refuses."""
    return [problem.field for problem in breaches(spec, policy)]


def test_the_default_policy_lets_a_plain_spec_pass() -> None:
    """Default namespace, any image, no accounts, no secrets."""
    assert breaches(SPEC, OPEN) == ()


def test_namespaces() -> None:
    """Only the default one and those listed; a policy that lists none allows none."""
    assert fields(SPEC, Policy()) == ["namespace"]
    elsewhere = replace(SPEC, namespace="runai-lab")
    assert fields(elsewhere, OPEN) == ["namespace"]
    assert fields(elsewhere, Policy(namespaces=("default", "runai-lab"))) == []
    (problem,) = breaches(elsewhere, OPEN)
    assert str(problem) == (
        "namespace: 'runai-lab' is not allowed here: use default, or ask the operator to allow it"
    )


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("ghcr.io/example", True),
        ("ghcr.io/example/tool", True),
        ("ghcr.io/example:1", True),
        ("ghcr.io/example@sha256:abc", True),
        ("ghcr.io/example-evil/tool", False),
        ("ghcr.io/exampl", False),
        ("docker.io/ghcr.io/example/tool", False),
        ("quay.io/a/tool", True),
        ("quay.io/ab/tool", False),
    ],
)
def test_images(image: str, allowed: bool) -> None:
    """A prefix ends where a part of the name ends: a look-alike registry does not slip in."""
    prefixes = ("ghcr.io/example", "quay.io/a/")
    assert image_allowed(image, prefixes) is allowed
    spec = replace(SPEC, job=replace(SPEC.job, image=image))
    assert fields(spec, replace(OPEN, images=prefixes)) == ([] if allowed else ["job.image"])


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/hpi/data", True),
        ("/hpi/data/", True),
        ("/hpi/data/a/b", True),
        ("/hpi/data2", False),
        ("/hpi", False),
        ("/hpi/data/../../etc", False),
        ("/hpi/other/../data", True),
        ("//hpi//data", True),
        ("/", False),
    ],
)
def test_host_paths(path: str, allowed: bool) -> None:
    """A folder allows what lies in it, by whole names and after ``..``."""
    assert path_allowed(path, ("/hpi/data/",)) is allowed
    mounts = (Mount("/a", pvc="x"), Mount("/b", host_path=path))
    spec = replace(SPEC, job=replace(SPEC.job, mounts=mounts))
    policy = replace(OPEN, host_path_prefixes=("/hpi/data",))
    assert fields(spec, policy) == ([] if allowed else ["job.mounts[1].hostPath"])
    assert fields(spec, OPEN) == ["job.mounts[1].hostPath"], "nothing said is nothing allowed"
    assert fields(spec, replace(OPEN, any_host_path=True)) == []


def test_the_root_folder_allows_everything() -> None:
    """``/`` as a prefix is every path."""
    assert path_allowed("/etc", ("/",))


def test_accounts_and_secrets() -> None:
    """None unless listed, each told on its own with what there is."""
    job = replace(SPEC.job, service_account="admin", env_from_secret=("a", "b"), image_pull_secrets=("c",))
    spec = replace(SPEC, job=job)
    assert fields(spec, OPEN) == [
        "job.serviceAccount",
        "job.envFromSecret[0]",
        "job.envFromSecret[1]",
        "job.imagePullSecrets[0]",
    ]
    policy = replace(OPEN, service_accounts=("admin",), secrets=("a", "c"))
    (problem,) = breaches(spec, policy)
    assert str(problem) == (
        "job.envFromSecret[1]: 'b' is not allowed here: use a or c, or ask the operator to allow it"
    )


@given(st.text("/.ab", min_size=1, max_size=12), st.text("/.ab", min_size=1, max_size=6))
def test_no_way_out_of_a_folder(path: str, folder: str) -> None:
    """Whatever is allowed lies, once normalised, in the folder."""
    import posixpath

    if path_allowed("/" + path, ("/" + folder,)):
        inner, outer = (
            posixpath.normpath("/" + path.lstrip("/")),
            posixpath.normpath("/" + folder.lstrip("/")),
        )
        assert posixpath.commonpath([inner, outer]) == outer


@given(st.text("/:@ab.", min_size=1, max_size=10), st.text("/:@ab.", min_size=1, max_size=5))
def test_an_allowed_image_starts_as_told(image: str, prefix: str) -> None:
    """No image passes that does not begin with a prefix."""
    if image_allowed(image, (prefix,)):
        assert image.startswith(prefix)
