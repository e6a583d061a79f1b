"""What a valid spec means: every field of the contract, defaults, and values kept as written."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from controller.core.model import LocalJob, Mount, Resources, Verdict, When
from controller.core.spec import Backoff, Escalation, Match, RetryRule
from controller.specfile import SpecDefaults, read_spec
from tests.specfile.reading import good, read

ROOT = Path(__file__).resolve().parents[2]

FULL = """
apiVersion: batchkeeper/v1
kind: Batch
name: gapit3-trait
owner: eberrigan
namespace: runai-talmo-lab
maxConcurrent: 5
priority: -2
paused: true
adopt: false
maxAutoRetries: 4
tasks:
  range: {name: TRAIT_INDEX, from: 2, to: 4}
job:
  image: ghcr.io/example/gapit3@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  command: [/scripts/entrypoint.sh, run-single-trait, 1e3]
  env: {MODEL: "BLINK,FarmCPU", PCA_TOTAL: 3}
  resources: {cpu: 12, memory: 32Gi, gpu: 1}
  envFromSecret: [gwas-credentials]
  mounts:
    - {hostPath: /hpi/data/, path: /data, readOnly: true, propagation: HostToContainer}
    - {pvc: outputs, path: /outputs}
    - {configMap: settings, path: /etc/settings}
    - {emptyDir: {}, path: /tmp}
  deadline: 24h
  startDeadline: 10m
  nodeSelector: {kubernetes.io/arch: amd64}
  tolerations: [{key: gpu, operator: Exists, effect: NoSchedule, tolerationSeconds: 30}]
  priorityClass: low
  serviceAccount: runner
  imagePullSecrets: [pull]
  local: {command: [python, scan.py], env: {A: b}, workdir: work}
retry:
  - on: {verdict: mount-failure}
    limit: 3
    backoff: {base: 30s, factor: 3, max: 4m}
    when: batch-end
  - on: {exitCodes: [2, 137], reasons: OOMKilled, logs: "out of (memory|space)"}
    resources: {memory: {factor: 1.5, max: 180Gi}, cpu: {factor: 2}}
"""


def test_every_field() -> None:
    """The contract's own example arrives field by field."""
    spec = good(FULL, Path("/specs"))
    assert (spec.name, spec.owner, spec.namespace) == ("gapit3-trait", "eberrigan", "runai-talmo-lab")
    assert (spec.max_concurrent, spec.priority, spec.paused, spec.max_auto_retries) == (5, -2, True, 4)
    job = spec.job
    assert job.command == ("/scripts/entrypoint.sh", "run-single-trait", "1e3")
    assert job.env == {"MODEL": "BLINK,FarmCPU", "PCA_TOTAL": "3"}
    assert job.resources == Resources(12_000, 32 * 2**30, 1)
    assert job.env_from_secret == ("gwas-credentials",)
    assert job.mounts == (
        Mount("/data", host_path="/hpi/data", read_only=True, propagation="HostToContainer"),
        Mount("/outputs", pvc="outputs"),
        Mount("/etc/settings", config_map="settings"),
        Mount("/tmp", empty_dir=True),
    )
    assert (job.deadline, job.start_deadline) == (timedelta(hours=24), timedelta(minutes=10))
    assert job.node_selector == {"kubernetes.io/arch": "amd64"}
    assert job.tolerations == (
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 30},
    )
    assert (job.priority_class, job.service_account, job.image_pull_secrets) == ("low", "runner", ("pull",))
    assert job.local == LocalJob(("python", "scan.py"), {"A": "b"}, "/specs/work")


def test_retry_rules() -> None:
    """Rules keep their order and names; single values and lists mean the same."""
    first, second = good(FULL).retry
    assert first == RetryRule(
        "spec[0]",
        Match(verdicts=(Verdict.MOUNT_FAILURE,)),
        3,
        Backoff(timedelta(seconds=30), 3.0, timedelta(minutes=4)),
        When.BATCH_END,
    )
    assert second == RetryRule(
        "spec[1]",
        Match(exit_codes=(2, 137), reasons=("OOMKilled",), logs="out of (memory|space)"),
        1,
        Backoff(timedelta(seconds=60), 2.0, timedelta(minutes=5)),
        When.NOW,
        {"memory": Escalation(1.5, 180 * 2**30), "cpu": Escalation(2.0)},
    )


def test_defaults() -> None:
    """What a spec leaves out is the daemon's default, or the contract's."""
    spec = good("name: small")
    assert (spec.namespace, spec.owner, spec.max_concurrent) == ("default", "local:me", 50)
    assert (spec.priority, spec.paused, spec.adopt, spec.max_auto_retries, spec.retry) == (
        0,
        False,
        False,
        6,
        (),
    )
    assert spec.job.resources == Resources(1000, 0, 0)
    assert (spec.job.deadline, spec.job.start_deadline) == (None, timedelta(minutes=15))
    assert "owner" not in spec.document, "the document says what was written, not whose file it is"


@pytest.mark.parametrize(
    "written",
    ["0.10", "no", "1e3", "0x1F", "01", "2024-01-01", "null", "~", "yes", "1_000", ".inf", "12:30:00"],
)
def test_values_stay_as_written(written: str) -> None:
    """Environment values and parameters are text: nothing is read as a number, a date or a truth."""
    spec = good(f"job: {{image: a, env: {{A: {written}}}}}\ntasks: {{list: [{{id: x, P: {written}}}]}}")
    assert spec.job.env == {"A": written}
    assert spec.tasks[0].parameters == {"P": written}


def test_fields_without_a_value_are_not_given() -> None:
    """``deadline:`` and ``deadline: null`` mean that there is none; an empty variable is empty."""
    spec = good("owner:\njob: {image: a, deadline: null, mounts: , env: {A: }}\nretry: ~")
    assert (spec.owner, spec.job.deadline, spec.job.mounts, spec.retry) == ("local:me", None, (), ())
    assert spec.job.env == {"A": ""}


def test_json_means_the_same() -> None:
    """The same spec as JSON gives the same tasks, job and rules; numbers keep their text."""
    text = json.dumps(
        {
            "apiVersion": "batchkeeper/v1",
            "kind": "Batch",
            "name": "bad",
            "tasks": {"list": [{"id": "a", "T": "é\t"}]},
            "job": {"image": "a", "env": {"N": 1, "T": True, "F": 0.5}},
        }
    ).replace("0.5", "0.50")
    spec = read(text, name="spec.json").spec
    assert spec is not None
    assert spec.job.env == {"N": "1", "T": "true", "F": "0.50"}
    assert spec.tasks[0].parameters == {"T": "é\t"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"kind": "Batch",}', "spec.json:1: not valid JSON: expected a key in double quotes"),
        ("{\n\"kind\": 'Batch'}", "spec.json:2: not valid JSON: expected a value: text in double quotes"),
        ('{"a": 1} {}', "spec.json:1: not valid JSON: more text after the end: one batch per file"),
        ('{"a": "\n"}', "spec.json:1: not valid JSON: Invalid control character at"),
        ('{"a": "x', "spec.json:1: not valid JSON: Unterminated string starting at"),
        ('{"a": 01}', "spec.json:1: not valid JSON: expected a comma or }"),
        ('{"a": NaN}', "spec.json:1: not valid JSON: expected a value"),
        ('{"a" 1}', "spec.json:1: not valid JSON: expected a colon after the key"),
        ("[" * 30, "spec.json:1: nested deeper than 20 levels: no field of a spec is"),
        ('{\n"a": 1,\n"a": 2}', "spec.json:3: duplicate key 'a' (first on line 2): keep one of them"),
        ('{"a": "\\ud800"}', "spec.json:1: half of a surrogate pair in a text: remove the escape sequence"),
        ('{"a": "\\u0000"}', "spec.json:1: a NUL in a text: remove the escape sequence"),
        ("", "spec.json:1: not valid JSON: expected a value"),
        ("[" + "1," * 110_000 + "1]", "spec.json:1: more than 100000 keys and values"),
    ],
    ids=lambda value: value[:30],
)
def test_bad_json(text: str, line: str) -> None:
    """JSON mistakes are told with their line, too."""
    assert any(str(problem).startswith(line) for problem in read(text, name="spec.json").problems)


def test_the_document_is_canonical() -> None:
    """Two ways of writing one spec give equal documents, as JSON data."""
    one = good(
        "job: {image: a, resources: {memory: 1024Mi, cpu: 1000m}, deadline: 60m}\n"
        "retry: [{on: {exitCodes: 2}}]"
    )
    other = good(
        "retry:\n- on:\n    exitCodes: ['2']\n  backoff: {base: 1m}\njob:\n  deadline: 1h\n"
        "  resources: {cpu: 1, memory: 1Gi}\n  image: 'a'\npriority: 0"
    )
    assert one.document == other.document
    assert json.loads(json.dumps(one.document)) == one.document


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    """Equal bytes give equal hashes whatever the file's name; a byte of spec or csv changes it."""
    text = "tasks: {csv: {path: a.csv}}"
    (tmp_path / "a.csv").write_text("T\nx\n")
    first = good(text, tmp_path).hash
    assert good(text, tmp_path).hash == first
    assert good(text + "\n# new", tmp_path).hash != first
    (tmp_path / "a.csv").write_text("T\ny\n")
    assert good(text, tmp_path).hash != first
    assert len(first) == 64


def test_lengths_keep_spec_and_csv_apart() -> None:
    """Bytes that move from the spec to its csv change the hash."""
    from controller.specfile import content_hash

    assert content_hash(b"ab", b"c") != content_hash(b"a", b"bc")
    assert content_hash(b"ab", None) != content_hash(b"ab", b"")


def test_lines_of_fields_found_later() -> None:
    """What the policy finds gets the line of its field, or of the nearest one around it."""
    from controller.core.problem import Problem

    result = read(FULL)
    found = result.placed([Problem("x", field="job.mounts[1].hostPath"), Problem("x", field="namespace")])
    assert [problem.line for problem in found] == [22, 6]


def test_the_example_is_valid() -> None:
    """The sweep that ``make run`` drops has 186 tasks and no warnings."""
    path = ROOT / "examples" / "gwas" / "traits.yaml"
    result = read_spec(
        path.read_bytes(), name=path.name, folder=path.parent, root=path.parent, defaults=SpecDefaults()
    )
    assert result.spec is not None
    assert not result.warnings
    assert [task.id for task in result.spec.tasks] == [str(number) for number in range(2, 188)]
