"""The settings of the watched stores: a folder, a bucket, ConfigMaps; one alone, or several at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from controller.config.schema import Duration, FilePath, Owner, Section, listed


class S3(Section):
    """A bucket of an S3-compatible store. Credentials are no settings: AWS's usual chain finds them
    (environment, shared files, web identity, the machine's role)."""

    bucket: str = Field("", pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")
    """Name of the bucket. Empty: none is watched."""
    prefix: str = Field("", pattern=r"^([^/\s][^\n]*)?$")
    """What the keys of specs begin with, as a folder: `specs` means `specs/`. Empty: the whole bucket."""
    endpoint_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Address of a store that is not AWS's."""
    region: str = ""
    """Empty: what the environment or the shared configuration says, else us-east-1."""
    path_style: bool = False
    """Whether the bucket stands in the address' path and not in its host name, as many stores want it."""
    profile: str = ""
    """Profile of the shared configuration files. Empty: the usual one."""
    interval: Duration = timedelta(seconds=10)
    """How often it is listed. An object counts when two lists showed it the same."""
    timeout: Duration = timedelta(seconds=10)
    """How long one request may wait for the store; it is tried three times."""

    @model_validator(mode="after")
    def _named(self) -> S3:
        if not self.bucket and (self.prefix or self.endpoint_url or self.region or self.profile):
            raise ValueError("needs bucket, else no store is watched")
        return self


class ConfigMaps(Section):
    """ConfigMaps with a label, in one namespace; with a `cluster.kind` that is a Kubernetes."""

    namespace: str = Field("", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")
    """Their namespace. Empty: none are watched."""
    selector: str = Field("batchkeeper.io/specs=true", min_length=1)
    """The label that makes a ConfigMap hold specs, as `kubectl -l` takes it."""
    interval: Duration = timedelta(seconds=5)
    """How often they are listed. A key counts when two lists showed it the same."""


class Specs(Section):
    """The watched stores of batch specs."""

    folder: FilePath | None = Path("specs")
    """Folder that specs are dropped into. null: none."""
    interval: Duration = timedelta(seconds=2)
    """How often it is looked at. A file counts when two looks found it the same."""
    s3: S3 = S3()
    """A bucket that specs are put into."""
    configmaps: ConfigMaps = ConfigMaps()
    """ConfigMaps that hold specs."""
    owners: Annotated[tuple[Owner, ...], NoDecode, BeforeValidator(listed)] = ()
    """Whose a spec is, first match wins; a spec's `owner:` must then agree. Empty: the file's owner on
    this machine decides permissions, and `owner:` is shown only; what is in no folder is nobody's."""
