"""The settings of what is told to people outside."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from controller.config.schema import Duration, FilePath, Section

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def _safe(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    try:
        told = urlsplit(text)
        host, _ = told.hostname, told.port
    except ValueError:
        raise ValueError("is no URL") from None
    if text and (not host or told.scheme != "https") and (told.scheme != "http" or host not in THIS_MACHINE):
        raise ValueError("must be https (http on this machine only): what it says would be read on the way")
    return url


class Notifications(Section):
    """A webhook that is told of a batch's end, of a refused spec and of a systemic failure."""

    url: Annotated[SecretStr, AfterValidator(_safe)] = SecretStr("")
    """Its address, as Slack and others give it; who knows it may post, so it is never shown. Empty: none."""
    url_file: FilePath | None = None
    """File with the address, as a Secret is mounted; read for each message. null: none."""
    link: str = Field("", pattern=r"^(https?://[^\s<>|#?]+)?$")
    """Address of the page as people reach it, for a link in each message. Empty: no link."""
    timeout: Duration = Field(timedelta(seconds=10), le=timedelta(minutes=2))
    """How long one delivery may take, at most 2m."""
    give_up_after: Duration = Field(timedelta(hours=1), le=timedelta(days=7))
    """For how long a message is tried, ever more rarely, until it is given up, at most 7d."""

    @model_validator(mode="after")
    def _one_address(self) -> Notifications:
        if self.url.get_secret_value() and self.url_file is not None:
            raise ValueError("takes url or url_file, not both")
        return self

    @property
    def wanted(self) -> bool:
        """Whether there is an address, or a file that is to have it."""
        return bool(self.url.get_secret_value()) or self.url_file is not None
