"""What must hold for whatever was read: a batch whose every task can run, or problems that people can use."""

from __future__ import annotations

from controller.core.naming import MAX_JOB_NAME, is_label, job_name, looks_like_retry
from controller.core.spec import BatchSpec
from controller.specfile import ReadSpec


def sound(result: ReadSpec) -> None:
    """Either a batch whose every task can run, or problems of one line each, never both."""
    assert (result.spec is None) == bool(result.problems)
    for problem in (*result.problems, *result.warnings):
        assert str(problem).startswith(f"{problem.file}:"), "each names its file"
        assert "\n" not in str(problem)
        assert len(str(problem)) < 1000
        assert "Traceback" not in str(problem)
        assert "pydantic" not in str(problem)
    if result.spec is not None:
        sound_tasks(result.spec)


def sound_tasks(spec: BatchSpec) -> None:
    """Unique ids in order, names that Kubernetes takes."""
    assert [task.index for task in spec.tasks] == list(range(len(spec.tasks)))
    assert len({task.id for task in spec.tasks}) == len(spec.tasks) > 0
    for task in spec.tasks:
        name = job_name(spec.name, task.id, 0)
        assert is_label(name)
        assert len(name) <= MAX_JOB_NAME
        assert not looks_like_retry(task.id)
