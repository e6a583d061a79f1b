"""`config.yaml` and the environment → frozen settings; read once at the start by `app` and the commands.

Precedence: `BATCHKEEPER_<SECTION>__<KEY>`, then `MONGODB_URI` and `MAX_CONCURRENT`, then the file, then
the defaults in `schema`. Every complaint is reported at once, each in one line, in a `ConfigError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from controller.config import schema
from controller.config.api import Api, Auth
from controller.config.complaints import (
    FAMILIAR,
    PREFIX,
    complain,
    complain_of_key,
    complain_of_variable,
    leaves,
    variable,
)
from controller.config.kubernetes import Kubernetes, Runai
from controller.config.notifications import Notifications
from controller.config.reading import ConfigError, ConfigFile, read_config
from controller.config.specs import Specs
from controller.core.settings import MOST_CONCURRENT

__all__ = ["CONFIG_FILE", "ConfigError", "Settings", "load"]

CONFIG_FILE = Path("config.yaml")
"""Read from the working directory when it is there and no other is named."""

_NOT_SETTINGS = frozenset(
    {"URL", "TOKEN", "TOKEN_FILE", "INSECURE", "CONFIG", "BATCH", "TASK", "ATTEMPT", "JOB"}
)
"""How the commands find the API, and the file; and what every job of ours has in its environment."""
_MOUNT = re.compile(r"MOUNT_\d+")
"""Where a job on one machine finds its mounts."""
_SERVICE_LINK = re.compile(r"(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes sets in a pod when its namespace has a Service named batchkeeper."""


class Settings(BaseSettings):
    """Everything that can be configured.

    Relative paths in a file, and the defaults of what it leaves out, start at that file's folder; those in
    variables at the working directory.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="null",
    )

    instance: schema.Label = "default"
    """Which of several installations this is: the label by which it knows its own jobs."""
    namespace: schema.Label = "default"
    """Namespace of specs that name none."""
    max_concurrent: int = Field(50, ge=1, le=MOST_CONCURRENT)
    """Active jobs of one batch whose spec has no `maxConcurrent`."""
    max_retries: int | None = Field(None, ge=0)
    """How often people may retry one task. null: no limit."""
    state_dir: schema.FilePath = Path("state")
    """Folder for the mongod of our own, local jobs and the lock that keeps a second daemon out."""

    store: schema.Store = schema.Store()
    specs: Specs = Specs()
    cluster: schema.Cluster = schema.Cluster()
    local: schema.Local = schema.Local()
    kubernetes: Kubernetes = Kubernetes()
    runai: Runai = Runai()
    reconcile: schema.Reconcile = schema.Reconcile()
    repair: schema.Repair = schema.Repair()
    reap: schema.Reap = schema.Reap()
    submission: schema.Submission = schema.Submission()
    lifecycle: schema.Lifecycle = schema.Lifecycle()
    limits: schema.Limits = schema.Limits()
    policy: schema.Policy = schema.Policy()
    http: schema.Http = schema.Http()
    api: Api = Api()
    auth: Auth = Auth()
    notifications: Notifications = Notifications()
    log: schema.Log = schema.Log()
    compat: schema.Compat = schema.Compat()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First wins: our variables, the familiar ones, then what the file says (the arguments)."""
        return env_settings, _FamiliarVariables(settings_cls), init_settings


class _FamiliarVariables(PydanticBaseSettingsSource):
    """MONGODB_URI and MAX_CONCURRENT, under the names that people know."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked: ``__call__`` gives all values at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Those that are set and not empty, under their keys."""
        values: dict[str, Any] = {}
        for name, (*sections, key) in FAMILIAR.items():
            if text := os.environ.get(name):
                inner = values
                for section in sections:
                    inner = inner.setdefault(section, {})
                inner[key] = text
        return values


def load(path: Path | None = None) -> Settings:
    """Read the settings from the environment, the file and the defaults.

    Without a path, ``BATCHKEEPER_CONFIG`` names the file, else ``config.yaml`` is read where there is
    one. Raises ``ConfigError`` with every complaint.
    """
    path = path or _default_path()
    file = ConfigFile() if path is None else read_config(path)
    # Arguments with an underscore would steer pydantic itself.
    odd = [key for key in file.values if key.startswith("_")]
    complaints = [
        *file.complaints,
        *(complain_of_key((key,), Settings, file) for key in odd),
        *_unknown_variables(),
    ]
    values = {key: value for key, value in file.values.items() if key not in odd}
    try:
        settings = Settings(**(values if path is None else _anchored(values, path.absolute().parent)))
    except ValidationError as error:
        lines = (complain(problem, Settings, file) for problem in error.errors(include_url=False))
        complaints = [*complaints, *filter(None, lines)] or [" ".join(str(error).split())]
    except SettingsError as error:  # a variable that names a section, mostly complained of above already
        complaints = complaints or [" ".join(str(error).split())]
    if complaints:
        raise ConfigError(*dict.fromkeys(complaints))
    if settings.specs.configmaps.namespace and settings.cluster.kind == "local":
        raise ConfigError(
            "specs.configmaps: ConfigMaps lie in a cluster: set cluster.kind to kubernetes or runai, or "
            "leave specs.configmaps.namespace empty"
        )
    return _in_its_project(settings)


def _in_its_project(settings: Settings) -> Settings:
    """With Run:ai the project's namespace is the default one, unless another was named."""
    project = settings.runai.project
    if settings.cluster.kind != "runai" or not project or "namespace" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"namespace": f"runai-{project}"})


_PATHS = (
    ("state_dir",),
    ("specs", "folder"),
    ("local", "faults"),
    ("local", "workdir"),
    ("store", "mongod", "binary"),
    ("kubernetes", "kubeconfig"),
    ("auth", "static", "file"),
    ("notifications", "url_file"),
)
"""The keys that name files and folders."""


def _anchored(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The file's values with its relative paths started at its own folder; other types are left alone.

    What it leaves out is as if its default were written there: a folder must not depend on where a command is
    typed.
    """
    values.setdefault("state_dir", str(Settings.model_fields["state_dir"].default))
    specs = {} if values.get("specs") is None else values["specs"]
    if isinstance(specs, dict):
        values["specs"] = {"folder": str(Specs.model_fields["folder"].default), **specs}
    for *sections, key in _PATHS:
        inner: Any = values
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get(key), str) and inner[key]:
            inner[key] = str(folder / os.path.expanduser(inner[key]))
    return values


def _default_path() -> Path | None:
    named = os.environ.get("BATCHKEEPER_CONFIG")
    if named:
        return Path(named)
    return CONFIG_FILE if CONFIG_FILE.exists() else None


def _unknown_variables() -> Iterator[str]:
    """Complaints about variables with our prefix that override nothing: a slip would pass unnoticed."""
    known = {variable(where) for where in leaves(Settings)}
    for name in sorted(os.environ):
        prefix, rest = name[: len(PREFIX)].upper(), name[len(PREFIX) :].upper()
        if (
            prefix != PREFIX
            or rest in _NOT_SETTINGS
            or _SERVICE_LINK.fullmatch(rest)
            or _MOUNT.fullmatch(rest)
        ):
            continue
        if PREFIX + rest not in known:
            yield complain_of_variable(name, Settings)
