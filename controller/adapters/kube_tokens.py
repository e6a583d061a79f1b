"""Whose a token is, by the API server's own word: a TokenReview. Asked by the API's authenticator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.ports import Reviewed, Unavailable

PATH = "apis/authentication.k8s.io/v1/tokenreviews"


class KubeTokens:
    """``ports.TokenReviewer`` on one API server."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is; None: nobody's. Raises ``Unavailable``, also while we may not ask."""
        spec: dict[str, Any] = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        try:
            answer = await self._client.request("POST", PATH, body, resource="tokenreviews")
        except Refused as error:
            raise Unavailable(
                f"the API server refuses to review tokens ({error.code}): grant create on tokenreviews "
                "(deploy/role.yaml) to the daemon's service account"
            ) from error
        return _reviewed(answer.get("status") or {}, audiences)


def _reviewed(status: dict[str, Any], audiences: Sequence[str]) -> Reviewed | None:
    user = status.get("user") or {}
    name = user.get("username")
    if (
        status.get("authenticated") is not True
        or status.get("error")
        or not isinstance(name, str)
        or not name
    ):
        return None
    if audiences and not set(audiences) & set(status.get("audiences") or ()):
        return None  # an API server that knows no audiences has not checked them
    return Reviewed(name, tuple(str(group) for group in user.get("groups") or ()))
