"""A server that speaks S3, as a process of its own: its threads and warnings are none of the tests'.

``python -m tests.s3.server`` prints its address, and ends when its stdin is closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).parents[2]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "open-sesame",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a daemon finds in its environment."""


def main() -> None:
    """Serve until nobody holds our stdin."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    sys.stdout.write("http://{}:{}\n".format(*server.get_host_and_port()))
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # its threads are nobody's


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the S3 server did not come up"
        yield address
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@dataclass(frozen=True)
class Hand:
    """Somebody else at one bucket, who sees the whole of it."""

    url: str
    bucket: str

    def put(self, key: str, content: bytes, **how: Any) -> None:
        """Put an object."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content, **how)

    def put_in_parts(self, key: str, content: bytes) -> None:
        """Put it as a multipart upload: the same bytes have another ETag then."""
        at = {"Bucket": self.bucket, "Key": key}
        upload = self.client.create_multipart_upload(**at)["UploadId"]
        part = self.client.upload_part(**at, UploadId=upload, PartNumber=1, Body=content)
        parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        self.client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)

    def remove(self, key: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None: there is none."""
        try:
            content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return content

    def keys(self) -> list[str]:
        """Every key."""
        page = self.client.list_objects_v2(Bucket=self.bucket)
        return [one["Key"] for one in page.get("Contents", ())]

    @property
    def client(self) -> Any:
        """botocore's own."""
        return _client(self.url)


_clients: dict[str, Any] = {}


def _client(url: str) -> Any:
    if url not in _clients:
        from botocore.session import Session

        session = Session()
        session.set_credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        _clients[url] = session.create_client("s3", endpoint_url=url, region_name="us-east-1")
    return _clients[url]


def new_bucket(url: str) -> Hand:
    """A bucket that nobody else uses."""
    hand = Hand(url, f"lab-{uuid4().hex[:8]}")
    hand.client.create_bucket(Bucket=hand.bucket)
    return hand


def settings(hand: Hand, url: str = "", prefix: str = "specs") -> Mapping[str, Any]:
    """``specs.s3`` for this bucket."""
    return {"bucket": hand.bucket, "prefix": prefix, "endpoint_url": url or hand.url, "path_style": True}


if __name__ == "__main__":
    main()
