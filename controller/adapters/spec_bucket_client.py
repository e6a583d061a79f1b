"""Blocking requests to one bucket of an S3-compatible store; the only file that knows botocore.

Each request has a time limit and is tried three times; what it means when it fails is told here once:
the store is away (``Unavailable``), a definite no (``Rejected``), or the object is not as it was listed.
Credentials come by AWS's usual chain and are never shown; they are looked for anew once the store has refused
those that we had, or there were none.

Run in threads by ``spec_bucket``; botocore's clients may be used by several at once. botocore takes long to
load and is loaded by the first request, so that no command waits for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from controller.adapters.spec_directory_names import key_of
from controller.adapters.spec_rounds import Listed
from controller.ports import NamedFile, Rejected, Unavailable

MAX_OBJECTS = 100_000
"""Objects that are listed. A bucket of data is no place for specs: each look would cost minutes."""
PAGE = 1000
"""Objects in one page of a list."""
TRIES = 3
CONNECT = 5.0
"""Seconds until a store that can't be reached is away."""
CHUNK = 2**16
FALLBACK_REGION = "us-east-1"
"""Where nothing says another one: S3-compatible stores mostly ask for none, and AWS's own redirects."""

_CHANGED = frozenset({404, 412})
"""The object went away, or became another one, since it was listed."""
_LATER = frozenset({401, 408, 429})
"""Credentials, or a store that has too much to do: no object's own."""
_OBJECTS_OWN = frozenset({"AccessDenied", "InvalidObjectState"})
"""What a 403 says when it is about this object: no right to it, archived. KMS's errors are, too."""
_STORES_OWN = frozenset(
    {"AuthorizationHeaderMalformed", "OperationAborted", "RequestTimeout", "RequestTimeTooSkewed"}
)
"""What a 4xx says when it is not about this object: a wrong region, a slow line."""
_REFUSED = frozenset({"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"})
"""The credentials are not taken, or no more: others may lie there by now."""


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Where the bucket is. ``prefix`` is empty or ends with a slash; ``timeout`` bounds one try."""

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    path_style: bool = False
    profile: str = ""
    timeout: timedelta = timedelta(seconds=10)

    @property
    def start(self) -> str:
        """What every name below the prefix begins with, for people."""
        return f"s3://{self.bucket}/{key_of(self.prefix)}"


class Bucket:
    """The objects below the prefix, by their path below it. Everything may raise ``Unavailable``."""

    def __init__(self, access: BucketAccess) -> None:
        self.access = access
        self._client: Any = None

    def list(self) -> dict[str, Listed]:
        """Every object; a name that ends with a slash is a folder to some tools, and no object to us.

        A bucket that may not be listed can't be seen: that is ``Unavailable``, too.
        """
        try:
            return self._listed()
        except Rejected as error:
            raise Unavailable(str(error)) from None

    def _listed(self) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        asked: dict[str, str] = {"Prefix": self.access.prefix}
        with self._asking("can't be listed"):
            while True:
                page = self._s3.list_objects_v2(Bucket=self.access.bucket, MaxKeys=PAGE, **asked)
                for one in page.get("Contents", ()):
                    if not one["Key"].endswith("/"):
                        path = one["Key"].removeprefix(self.access.prefix)
                        found[path] = Listed(one["ETag"], one["Size"])
                if len(found) > MAX_OBJECTS:
                    raise Unavailable(
                        f"{self.access.start} holds more than {MAX_OBJECTS} objects, too many to look "
                        "through: give the specs a prefix of their own (specs.s3.prefix)"
                    )
                token = page.get("NextContinuationToken", "")
                if not page.get("IsTruncated") or token == asked.get("ContinuationToken", ""):
                    return found
                asked["ContinuationToken"] = token

    def get(self, path: str, listed: Listed, limit: int) -> NamedFile | None:
        """The content as it was listed; None when the object is another one by now, or gone."""
        try:
            with self._asking("can't be read", path):
                answer = self._s3.get_object(**self._at(path), IfMatch=listed.tag)
                content = self._body(answer, limit, path)
        except Rejected as error:
            if error.code in _CHANGED:
                return None
            return NamedFile(error=str(error))
        if _bare(answer["ETag"]) != _bare(listed.tag):  # a store that does not know If-Match
            return None
        return NamedFile(content, truncated=len(content) > limit)

    def exists(self, path: str) -> bool:
        """Whether there is such an object now."""
        try:
            with self._asking("can't be looked at", path):
                self._s3.head_object(**self._at(path))
        except Rejected as error:
            if error.code in _CHANGED:
                return False
            raise
        return True

    def read(self, path: str, limit: int) -> tuple[bytes, str] | None:
        """What stands there now, up to the limit and one byte more, and its ETag; None: nothing does."""
        try:
            with self._asking("can't be read", path):
                answer = self._s3.get_object(**self._at(path))
                return self._body(answer, limit, path), answer["ETag"]
        except Rejected as error:
            if error.code in _CHANGED:
                return None
            raise

    def put(self, path: str, content: bytes) -> str:
        """Replace an object as a whole; returns its ETag."""
        with self._asking("can't be written", path):
            answer = self._s3.put_object(**self._at(path), Body=content, ContentType="application/yaml")
            return str(answer["ETag"])

    # ------------------------------------------------------------------------------------------ requests

    @property
    def _s3(self) -> Any:
        if self._client is None:
            self._client = _client(self.access)
        return self._client

    def _at(self, path: str) -> Mapping[str, str]:
        return {"Bucket": self.access.bucket, "Key": self.access.prefix + path}

    def _body(self, answer: Mapping[str, Any], limit: int, path: str) -> bytes:
        """The body, up to the limit and one byte more: a server that drips must not hold us for ever."""
        end = time.monotonic() + 2 * self.access.timeout.total_seconds()
        content = bytearray()
        with answer["Body"] as body:
            while len(content) <= limit and (chunk := body.read(min(CHUNK, limit + 1 - len(content)))):
                content += chunk
                if time.monotonic() > end:
                    raise Unavailable(f"{self.access.start}{key_of(path)} can't be read: it comes too slowly")
        return bytes(content)

    @contextmanager
    def _asking(self, cannot: str, path: str = "") -> Iterator[None]:
        """Translates what botocore raises: one line for people, the same for the same cause."""
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"{self.access.start}{key_of(path)}"
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _REFUSED:
                self._client = None
            raise _meaning(error.response, f"{where} {cannot}") from None
        except (BotoCoreError, OSError, ValueError) as error:
            if "Credential" in type(error).__name__:
                self._client = None
            raise Unavailable(f"{where} {cannot}: {_why(error)}") from None


def _client(access: BucketAccess) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    session = Session(profile=access.profile or None)
    seconds = access.timeout.total_seconds()
    return session.create_client(
        "s3",
        endpoint_url=access.endpoint_url or None,
        region_name=access.region or session.get_config_variable("region") or _region_of_the_pod(),
        config=Config(
            connect_timeout=min(CONNECT, seconds),
            read_timeout=seconds,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            s3={"addressing_style": "path" if access.path_style else "auto"},
            # Many stores know none of the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _bare(tag: str) -> str:
    """An ETag without its quotes: not every store sets them everywhere."""
    return tag.removeprefix("W/").strip('"')


def _region_of_the_pod() -> str:
    """What a cloud's admission sets in a pod; botocore itself reads AWS_DEFAULT_REGION only."""
    return os.environ.get("AWS_REGION") or FALLBACK_REGION


def _meaning(answer: Mapping[str, Any], what: str) -> Unavailable | Rejected:
    """What an answer means that is no success."""
    code = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    told = answer.get("Error", {})
    name, message = str(told.get("Code", "")), _short(str(told.get("Message", "")))
    line = f"{what}: {message or name or 'refused'} ({name or code})"
    return Rejected(line, code) if _its_own(code, name) else Unavailable(line)


def _its_own(code: int, name: str) -> bool:
    """Whether a refusal concerns this object only; one without a name may mean anything."""
    if code in _CHANGED:
        return name != "NoSuchBucket"
    if code == 403:
        return name in _OBJECTS_OWN or name.startswith("KMS.") or name == "403"
    if not 400 <= code < 500 or code in _LATER:
        return False
    return name not in _STORES_OWN | _REFUSED and name not in ("", str(code))


def _why(error: Exception) -> str:
    """Why there was no answer, as part of a sentence."""
    name = type(error).__name__
    known = {
        "NoCredentialsError": "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
        "profile, or give the pod or machine a role",
        "PartialCredentialsError": "the credentials are incomplete: a key id needs its secret",
        "ConnectTimeoutError": "no connection in time: is the store up?",
        "ReadTimeoutError": "no answer in time",
        "EndpointConnectionError": "it can't be reached: is the store up, and endpoint_url right?",
        "ConnectionClosedError": "the connection was closed before there was an answer",
    }
    return known.get(name) or f"{_short(str(error)) or name}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."
