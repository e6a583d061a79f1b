"""The batch spec a user writes: from bytes to ``core.spec.BatchSpec``, or to every problem at once."""

from controller.core.problem import Problem
from controller.core.settings import rules_of, settings_of
from controller.specfile.changes import changed_fields
from controller.specfile.reader import ReadSpec, SpecDefaults, content_hash, read_spec
from controller.specfile.schema import json_schema
from controller.specfile.worker import Lane, Limits, SpecReader, read_spec_safely

__all__ = [
    "Lane",
    "Limits",
    "Problem",
    "ReadSpec",
    "SpecDefaults",
    "SpecReader",
    "changed_fields",
    "content_hash",
    "json_schema",
    "read_spec",
    "read_spec_safely",
    "rules_of",
    "settings_of",
]
