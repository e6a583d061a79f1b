"""The one thing that KWOK can't do for pods of a test: answer for their logs, from their own environment.

Started by ``keeper`` as ``python -m tests.control_plane.kubelet FOLDER API PORT`` with the admin's token in
the environment. The API server asks it for ``pods/log``, since that is where the nodes say that their
kubelet listens.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.control_plane.admin import Api, Document

UNLESS_SAID = "first\nlast\n"


class Kubelet(BaseHTTPRequestHandler):
    """Answers ``GET /containerLogs/<namespace>/<pod>/<container>``."""

    api: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The log, or its last lines."""
        asked = urlsplit(self.path)
        _, kind, namespace, name, _ = asked.path.split("/")
        assert kind == "containerLogs", asked.path
        pod = self.api.find(f"/api/v1/namespaces/{namespace}/pods/{name}")
        text = tail(log(pod), parse_qs(asked.query)) if pod else ""
        self.send_response(200 if pod else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Quiet."""


def log(pod: Document) -> str:
    """What the first container of a pod wrote."""
    env = {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0].get("env", ())}
    return env["LOG"] + "\n" if "LOG" in env else UNLESS_SAID


def tail(text: str, query: dict[str, list[str]]) -> str:
    """As much of it as was asked for."""
    if "tailLines" in query:
        lines = text.splitlines(keepends=True)
        text = "".join(lines[max(0, len(lines) - int(query["tailLines"][0])) :])
    if "limitBytes" in query:
        text = text.encode()[: int(query["limitBytes"][0])].decode(errors="ignore")
    return text


def main() -> None:
    """Serve until killed."""
    certificates, url, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    Kubelet.api = Api(url, certificates / "apiserver.crt", os.environ["ADMIN_TOKEN"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    server = ThreadingHTTPServer(("127.0.0.1", port), Kubelet)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
