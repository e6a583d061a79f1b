"""A storm of 429: the API server's own flow control sends an account away."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.control_plane.plane import ControlPlane, ServiceAccount
from tests.e2e.waiting import wait_for

FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
MET = "X-Kubernetes-PF-FlowSchema-UID"
"""In every answer: which flow schema its request was of."""
SECONDS = 10.0
CONTINUE, AWAY = 100, 429


@contextmanager
def sent_away(plane: ControlPlane, account: ServiceAccount) -> Iterator[None]:
    """The API server answers 429 to each request of this account, for a minute at most; watches go on.

    A priority level without any place still takes one request at a time, so that a calm client would not
    notice: that place is taken by a request of the account's that never comes to its end.
    """
    level = {
        "metadata": {"name": "no-place"},
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": 0,
                "lendablePercent": 0,
                "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Reject"},
            },
        },
    }
    who = {"kind": "ServiceAccount", "serviceAccount": {"namespace": account.namespace, "name": account.name}}
    what = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    flow = {
        "metadata": {"name": "no-place"},
        "spec": {
            "priorityLevelConfiguration": {"name": "no-place"},
            "matchingPrecedence": 2,
            "rules": [{"subjects": [who], "resourceRules": [what]}],
        },
    }
    plane.admin.create(f"{FLOWS}/prioritylevelconfigurations", level)
    uid = plane.admin.create(f"{FLOWS}/flowschemas", flow)["metadata"]["uid"]
    try:
        wait_for("the flow schema is in effect", lambda: _asked(account)[1] == uid)
        place = wait_for("the one place is taken", lambda: _place_of(account))
        try:
            assert _asked(account) == (AWAY, uid)
            yield
        finally:
            place.close()
    finally:
        plane.admin.delete(f"{FLOWS}/flowschemas/no-place")
        plane.admin.delete(f"{FLOWS}/prioritylevelconfigurations/no-place")


def _asked(account: ServiceAccount) -> tuple[int, str]:
    """The answer's code to a small request, and the flow schema that it was of."""
    connection = _connection(account)
    try:
        connection.request("GET", f"{_jobs(account)}?limit=1", headers=_headers(account))
        answer = connection.getresponse()
        return answer.status, answer.headers.get(MET, "")
    finally:
        connection.close()


def _place_of(account: ServiceAccount) -> http.client.HTTPSConnection | None:
    """A connection whose request is being served for as long as it is open; None: it was sent away.

    The API server asks for a body that is announced in this way when it begins to read it, and waits for it.
    """
    connection = _connection(account)
    connection.putrequest("POST", _jobs(account))
    announced = {"Content-Type": "application/json", "Content-Length": "2", "Expect": "100-continue"}
    for name, value in {**_headers(account), **announced}.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = int(connection.sock.makefile("rb").readline().split()[1])
    if status == CONTINUE:
        return connection
    connection.close()
    assert status == AWAY, f"the account may not create Jobs: {status}"
    return None


def _connection(account: ServiceAccount) -> http.client.HTTPSConnection:
    there = urlsplit(account.plane.url)
    assert there.hostname
    context = ssl.create_default_context(cafile=account.plane.ca)
    connection = http.client.HTTPSConnection(there.hostname, there.port, timeout=SECONDS, context=context)
    connection.connect()
    return connection


def _jobs(account: ServiceAccount) -> str:
    return f"/apis/batch/v1/namespaces/{account.namespace}/jobs"


def _headers(account: ServiceAccount) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.api.token}"}
