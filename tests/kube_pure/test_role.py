"""The Role that operators bind says what the daemon asks for at its start: no verb more, none less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from controller.adapters.kube_access import (
    EVENT_RULES,
    REVIEW_RULES,
    SPEC_RULES,
    Right,
    lease_rules,
    rules_for,
)
from controller.adapters.kube_foreign import runai_kinds
from tests.chart.rights import OUR_LEASE

Rule = tuple[str, str, str, frozenset[str]]
"""Group, resource, the one object (empty: all of them) and verbs."""
ROLE = Path(__file__).parents[2] / "deploy" / "role.yaml"


def documents() -> list[dict[str, Any]]:
    """What is in the file."""
    return list(YAML(typ="safe", pure=True).load_all(ROLE.read_text(encoding="utf-8")))


def given(role: dict[str, Any]) -> set[Rule]:
    """Each rule of a Role."""
    return {
        (group, resource, name, frozenset(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def rights(role: str, kind: str = "Role") -> set[Rule]:
    """Each rule of the Role of that name."""
    return given(next(one for one in documents() if one["kind"] == kind and one["metadata"]["name"] == role))


def asked(wanted: tuple[Right, ...]) -> set[Rule]:
    """The same of what the program asks for."""
    return {(right.group, right.resource, right.name, frozenset(right.verbs)) for right in wanted}


def test_the_role_is_what_the_daemon_needs() -> None:
    """Nothing with ``*``, nothing that writes but Jobs, Events, the Lease and what is told of specs."""
    wanted = (*rules_for(runai_kinds(stopped_counts=True)), *EVENT_RULES)
    assert rights("batchkeeper") == asked(wanted)
    assert rights("batchkeeper-lease") == asked(lease_rules(OUR_LEASE))
    assert rights("batchkeeper-specs") == asked((*SPEC_RULES, *EVENT_RULES))


def test_the_only_right_on_the_whole_cluster_is_to_ask_about_tokens() -> None:
    """The ClusterRole stands by itself, so that whoever needs no token reviews leaves it out."""
    assert rights("batchkeeper-token-review", "ClusterRole") == asked(REVIEW_RULES)
    assert [one["metadata"]["name"] for one in documents() if one["kind"] == "ClusterRole"] == [
        "batchkeeper-token-review"
    ]


def test_every_role_is_bound_to_the_account() -> None:
    """A Role that nobody has is no Role."""
    account = next(one for one in documents() if one["kind"] == "ServiceAccount")["metadata"]
    bound = [one for one in documents() if one["kind"].endswith("RoleBinding")]
    assert {(one["roleRef"]["kind"], one["roleRef"]["name"]) for one in bound} == {
        ("Role", "batchkeeper"),
        ("Role", "batchkeeper-lease"),
        ("Role", "batchkeeper-specs"),
        ("ClusterRole", "batchkeeper-token-review"),
    }
    for one in bound:
        assert one["subjects"] == [{"kind": "ServiceAccount", **account}]
