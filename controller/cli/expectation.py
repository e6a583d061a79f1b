"""The file of ``run --expect``: how a batch must end, task by task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from controller.ports import BatchkeeperError


def read_expectation(path: Path) -> Mapping[str, Any]:
    """An expectation, values as they are written. Raises ``BatchkeeperError``, one line."""
    try:
        text = path.read_text(encoding="utf-8")
        document = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise BatchkeeperError(
            f"{path}: {reason.lower()}: give the file that says how the batch must end"
        ) from None
    except YAMLError as error:
        where = " ".join(str(error).split())
        raise BatchkeeperError(f"{path}: not YAML: {where[:200]}") from None
    if not isinstance(document, Mapping):
        raise BatchkeeperError(f"{path}: not an expectation: 'report BATCH -o yaml' writes one")
    return document
