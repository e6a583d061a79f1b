"""The batch spec a user writes: from bytes to ``core.spec.BatchSpec``, or to every problem at once."""

from controller.core.problem import Problem
from controller.core.settings import rules_of, settings_of
from controller.specfile.changes import changed_fields
from controller.specfile.reader import ReadSpec, SpecDefaults, content_hash, read_spec
from controller.specfile.schema import json_schema

__all__ = [
    "Problem",
    "ReadSpec",
    "SpecDefaults",
    "changed_fields",
    "content_hash",
    "json_schema",
    "read_spec",
    "rules_of",
    "settings_of",
]
