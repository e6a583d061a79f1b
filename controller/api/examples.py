"""The examples of the OpenAPI document: one batch, one of its jobs, and what is said of them."""

from __future__ import annotations

from typing import Any

JOB_ID = "6745f0a2c3d4e5f607182930"
RETRY_ID = "6745f0b7c3d4e5f607182a11"
BATCH_ID = "6745f09ac3d4e5f60718292f"
Example = dict[str, Any]

SPEC: Example = {
    "apiVersion": "batchkeeper/v1",
    "kind": "Batch",
    "name": "gapit3-trait",
    "maxConcurrent": 50,
    "tasks": {"range": {"name": "TRAIT_INDEX", "from": 2, "to": 187}},
    "job": {
        "image": "ghcr.io/example/gapit3@sha256:" + "0123456789abcdef" * 4,
        "command": ["/scripts/entrypoint.sh", "run-single-trait"],
        "resources": {"cpu": 12, "memory": "32Gi"},
    },
}
SPEC_YAML = """apiVersion: batchkeeper/v1
kind: Batch
name: gapit3-trait
maxConcurrent: 50
tasks:
  range: {name: TRAIT_INDEX, from: 2, to: 187}
job:
  image: ghcr.io/example/gapit3@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  command: [/scripts/entrypoint.sh, run-single-trait]
  resources: {cpu: 12, memory: 32Gi}
"""
BATCH: Example = {
    "batch": "default/gapit3-trait",
    "state": "running",
    "next": "Nothing to do. 'batchkeeper status gapit3-trait --watch' shows it live.",
    "activeJobsInBatch": "50 of 50",
    "waits": ["50 of 50 active jobs in batch: the next one starts when an active job ends"],
    "tasks": {"total": 186, "completed": 100, "endedWithoutSuccess": 3, "active": 50, "waiting": 33},
    "settings": {"maxConcurrent": {"value": 50, "from": "traits.yaml", "since": "2026-05-01T12:00:00Z"}},
    "owner": "eberrigan",
    "accepted": "2026-05-01T12:00:00Z",
    "batchId": BATCH_ID,
    "specHash": "0123456789abcdef" * 4,
    "source": "traits.yaml",
    "firstAttempts": {"succeeded": 100, "mount-failure": 3},
}
JOB: Example = {
    "id": JOB_ID,
    "name": "gapit3-trait-7",
    "namespace": "default",
    "user": "eberrigan",
    "batch_id": BATCH_ID,
    "task_id": "7",
    "index": 5,
    "attempt": 0,
    "status": "error",
    "terminating": False,
    "stop": None,
    "verdict": "mount-failure",
    "exit_code": 2,
    "error": "",
    "reason": "job-ended",
    "origin": "spec",
    "rule": "",
    "retry_parent": None,
    "retry_ids": [RETRY_ID],
    "retry_toggle": None,
    "resources": {"cpu": "12", "memory": "32Gi", "gpu": 0},
    "node": "node-7",
    "not_before": None,
    "inserted": "2026-05-01T12:00:00Z",
    "created": "2026-05-01T12:00:02Z",
    "queued": "2026-05-01T12:00:02Z",
    "running": "2026-05-01T12:00:09Z",
    "finished": "2026-05-01T12:00:31Z",
    "updated": "2026-05-01T12:00:31Z",
    "evidence": {"reason": "Error", "message": "files not found: /data is empty", "events": []},
}
JOB_DETAILS: Example = {
    **JOB,
    "evidence": {**JOB["evidence"], "node": "node-7", "log_tail": "files not found: /data is empty\n"},
    "job_input": {
        "image": SPEC["job"]["image"],
        "command": SPEC["job"]["command"],
        "env": {"TRAIT_INDEX": "7"},
        "env_from_secret": [],
        "mounts": [{"path": "/data", "host_path": "/hpi/data", "read_only": True}],
        "local_command": [],
    },
    "image_digest": "",
    "slot": None,
    "no_retry": False,
    "terminated_code": None,
    "request_id": None,
    "scheduler_type": "kubernetes",
    "scheduler_id": "0b9c1f2e-6f0c-4d0e-8a55-1d2c3b4a5f60",
    "task": {"root": JOB_ID, "newest": RETRY_ID, "retry_count": 1, "attempts": [JOB]},
}
LOG: Example = {
    "job": "gapit3-trait-7",
    "job_id": JOB_ID,
    "from": "from the cluster, as it is now: gapit3-trait-7",
    "text": "files not found: /data is empty\n",
}
EXPLANATION: Example = {
    "subject": "gapit3-trait",
    "cause": "full",
    "sentence": "50 of 50 active jobs in batch: the next one starts when an active job ends",
    "until": None,
}
ANSWER: Example = {
    "job_id": JOB_ID,
    "name": "gapit3-trait-7",
    "done": True,
    "did": "attempt 1 of task 7 stands in line as gapit3-trait-7-r1",
    "error": "",
    "stage": "",
    "retry_id": RETRY_ID,
    "retry_ids": [RETRY_ID],
    "child_jobs": [RETRY_ID],
    "retry_toggle": True,
    "warning": "",
    "dry_run": False,
}
ANSWERS: Example = {
    "done": 1,
    "refused": 0,
    "dry_run": False,
    "answers": [{key: value for key, value in ANSWER.items() if key != "dry_run"}],
}
REPORT: Example = {
    "batch": "gapit3-trait",
    "result": "partial",
    "totals": {"found": 186, "succeeded": 183, "failed": 3},
    "verdicts": {"succeeded": 183, "mount-failure": 3},
    "skips": {},
    "tasks": {
        "7": {
            "status": "error",
            "verdict": "mount-failure",
            "attempts": 4,
            "exit_code": 2,
            "reason": "no more retries: 3 of 3 for mount-failure",
            "retry": "limit",
            "node": "node-7",
            "seconds": 22.0,
            "by_rule": True,
        }
    },
}
TAKEN: Example = {
    "outcome": "accepted",
    "batch": "default/gapit3-trait",
    "batchId": BATCH_ID,
    "sentences": ["accepted: 186 tasks, at most 50 active"],
    "warnings": [],
    "dry_run": False,
}
DID: Example = {"did": "submissions are halted for every batch", "dry_run": False}
REPAIRED: Example = {"repaired": [JOB], "dry_run": False}
REAPED: Example = {
    "overdue": [
        {
            "job": "gapit3-trait-7",
            "job_id": JOB_ID,
            "status": "created",
            "since": "2026-05-01T12:00:02Z",
            "for": "1h5m",
            "limit": "1h",
        }
    ],
    "dry_run": False,
}
ME: Example = {"user": "eberrigan", "operator": False, "sees_all": False}
CHARTS: Example = {
    "timeline": {"start": "2026-05-01T12:00:00Z", "cap": 50, "points": [[0.0, 0], [15.0, 50], [3600.0, 12]]},
    "durations": {"edges": [16.0, 19.027, 22.627], "counts": [80, 23]},
    "median_seconds": 17.448,
    "eta_seconds": 45.0,
    "failures": {"mount-failure": 3},
    "why": "all 50 places are taken: the next job starts when one ends",
}
