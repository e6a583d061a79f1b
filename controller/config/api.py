"""The settings of the HTTP API: its limits, and who is believed to be whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from controller.config.schema import Duration, FilePath, Memory, Names, Section


class Api(Section):
    """The HTTP API under /api/v1, on the port of `http`."""

    enabled: bool = True
    """Whether it is served. It is refused, with the reason, where nobody could be told from anybody."""
    rate: float = Field(50.0, gt=0, le=100_000)
    """Requests a second of one caller, in the long run."""
    burst: int = Field(200, ge=1, le=100_000)
    """Requests of one caller that may come at once after a quiet time."""
    max_body: Memory = 2**20
    """Bytes of a request's body, at most."""
    connections: int = Field(500, ge=1, le=100_000)
    """Connections at one time; what is beyond is answered 503."""
    streams: int = Field(100, ge=1, le=10_000)
    """Listeners to /api/v1/events at one time; a quarter of them, and one at least, may be of one user."""


class StaticTokens(Section):
    """Tokens from a file: one `token user group,group` a line; the token plain, or `sha256:<its hash>`."""

    file: FilePath | None = None
    """The file; nobody but its owner may read it (0600), or it is root's and readable by a group of ours, as
    Secrets are mounted. Read again when it changes. null: none."""


_ISSUER = r"^(https://[^\s?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?)?$"


class Oidc(Section):
    """Tokens of an OpenID Connect provider."""

    issuer: str = Field("", pattern=_ISSUER)
    """Its URL, as in the tokens' `iss`; its keys are found from there. Empty: none. `http` on this machine
    only: whoever is between could put their own keys in."""
    audience: str = ""
    """What must be among the tokens' `aud`. Demanded with an issuer."""
    user_claim: str = Field("sub", min_length=1)
    """The claim with the user's name: `sub`, `email`, `preferred_username`. A name that begins with `local:`,
    `s3:` or `configmap:` is refused."""
    groups_claim: str = Field("groups", min_length=1)
    """The claim with the user's groups: a list of texts, or one text."""
    prefix: str = ""
    """Put before the user's name and each group, so that they can't be taken for others': `oidc:`."""
    timeout: Duration = timedelta(seconds=5)
    """How long the provider may take to give its keys."""

    @model_validator(mode="after")
    def _with_audience(self) -> Oidc:
        if self.issuer and not self.audience:
            raise ValueError("needs audience beside issuer: a token for somebody else's service is no proof")
        if not self.issuer and (self.audience or self.prefix):
            raise ValueError("needs issuer beside audience and prefix, else no token of it is believed")
        return self


class TokenReview(Section):
    """Tokens of the Kubernetes cluster, which the API server is asked about."""

    enabled: Literal["auto", "off"] = "auto"
    """`auto`: with every `cluster.kind` that is a Kubernetes."""
    audiences: Names = ()
    """Audiences of which a token must have one. Empty: the API server's own."""
    cache: Duration = Field(timedelta(minutes=5), le=timedelta(minutes=5))
    """For how long a good answer holds, at most 5m: also while the API server is away."""


class Auth(Section):
    """Who is believed to be whom, and who may see and do what."""

    read: Literal["own", "all"] = "own"
    """Who sees batches and jobs, their env and logs: their owner and admins, or everybody known."""
    admin_groups: Names = ()
    """Groups whose members may act with `as_admin`, and see everything."""
    local: bool = True
    """On a loopback address: a one-time token in the printed URL lets whoever started it in, as admin."""
    static: StaticTokens = StaticTokens()
    """Tokens from a file."""
    oidc: Oidc = Oidc()
    """Tokens of an OpenID Connect provider."""
    token_review: TokenReview = TokenReview()
    """Tokens of the Kubernetes cluster."""
