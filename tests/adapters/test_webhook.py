"""The webhook over real HTTP: what is sent, which answers mean what, and that its address is never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters.webhook import Webhook, address_in
from controller.ports import BatchkeeperError, Rejected, Throttled, Unavailable
from tests.cli.test_over_api_tls import self_signed
from tests.receiver import Receiver, receiver

SECRET = "/services/T0/B0/very-secret"


def hook(url: str, seconds: float = 5.0) -> Webhook:
    """A webhook with this address."""
    return Webhook(lambda: url, timedelta(seconds=seconds))


@pytest.fixture
def there() -> Iterator[Receiver]:
    """Somebody who takes messages."""
    with receiver() as found:
        yield found


async def test_a_message_arrives_as_slack_reads_it(there: Receiver) -> None:
    """A POST of JSON with the text, and nothing that another receiver than Slack would not know."""
    await hook(there.url + SECRET).post("*sweep*: done – größer")
    (got,) = there.got
    assert (got.method, got.path) == ("POST", SECRET)
    assert got.headers["Content-Type"].startswith("application/json")
    assert json.loads(got.body) == {"text": "*sweep*: done – größer"}
    assert got.headers["User-Agent"].startswith("batchkeeper/")


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (200, None, ""),
        (204, None, ""),
        (301, Rejected, "answered 301: a redirect is not followed"),
        (307, Rejected, "answered 307: a redirect is not followed"),
        (400, Rejected, "answered 400"),
        (404, Rejected, "answered 404: is its address still valid?"),
        (408, Unavailable, "answered 408"),
        (429, Unavailable, "answered 429"),
        (500, Unavailable, "answered 500"),
        (503, Unavailable, "answered 503"),
    ],
)
async def test_what_an_answer_means(
    there: Receiver, status: int, kind: type[BatchkeeperError] | None, said: str
) -> None:
    """Taken, to be tried again, or never: and neither address nor answer is in the error."""
    said_back = b"" if status == 204 else b"secret words of theirs"
    there.answers = [(status, {"Location": f"{there.url}/elsewhere"}, said_back)]
    if kind is None:
        await hook(there.url + SECRET).post("x")
    else:
        with pytest.raises(kind) as failed:
            await hook(there.url + SECRET).post("x")
        assert said in str(failed.value)
        assert shows_nothing(failed.value)
    assert [got.path for got in there.got] == [SECRET], "no redirect is followed, not even to the same host"


def shows_nothing(error: BaseException) -> bool:
    """Whether neither the address nor what was answered is in an error or in what caused it."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None:
        chain.append(seen)
        seen = seen.__cause__
    words = " ".join(map(repr, chain))
    return "secret" not in words and "services" not in words and "\n" not in str(error)


@pytest.mark.parametrize(("status", "wait"), [(429, "7"), (503, "120")])
async def test_it_may_ask_for_time(there: Receiver, status: int, wait: str) -> None:
    """``Retry-After`` is passed on as seconds."""
    there.answers = [(status, {"Retry-After": wait}, b"")]
    with pytest.raises(Throttled) as asked:
        await hook(there.url).post("x")
    assert asked.value.after == float(wait)


@pytest.mark.parametrize("wait", ["", "soon", "-5", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT", "٣"])
async def test_a_time_that_makes_no_sense_is_none(there: Receiver, wait: str) -> None:
    """It is tried again by our own pace then."""
    there.answers = [(429, {"Retry-After": wait.encode().decode("latin-1")}, b"")]
    with pytest.raises(Unavailable) as asked:
        await hook(there.url).post("x")
    assert not isinstance(asked.value, Throttled)


async def test_one_that_does_not_answer_is_left(there: Receiver) -> None:
    """After the time that the operator gives it, and no later."""
    there.answers = [(200, {}, b"")]
    there.hold = True
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
        await hook(there.url + SECRET, 0.3).post("x")


async def test_one_that_is_not_there(there: Receiver) -> None:
    """A refused connection and a name that nobody knows are told without the address."""
    there.close()
    for url in (there.url + SECRET, "https://no-such-host.invalid" + SECRET, "https://[::1" + SECRET):
        with pytest.raises(Unavailable) as failed:
            await hook(url).post("x")
        assert shows_nothing(failed.value)


async def test_what_it_answers_is_not_read(there: Receiver) -> None:
    """An endless answer to a message that was taken costs nothing."""
    there.answers = [(200, {"Content-Length": str(2**40)}, b"x" * 1000)]
    await hook(there.url).post("x")


@pytest.mark.parametrize("url", ["http://hooks.example/x", "ftp://127.0.0.1/x", "", "hooks.example/x"])
async def test_an_address_that_others_could_read_is_not_used(url: str) -> None:
    """Plain http is for this machine only; a mounted file may hold anything."""
    with pytest.raises(Unavailable, match="not https"):
        await hook(url).post("x")


async def test_a_certificate_that_nobody_vouches_for_is_refused(there: Receiver, tmp_path: Path) -> None:
    """Before the message is sent."""
    with receiver(tls=self_signed(tmp_path / "server.pem")) as stranger:
        with pytest.raises(Unavailable) as failed:
            await hook(stranger.url + SECRET).post("x")
        assert shows_nothing(failed.value)
        assert not stranger.got


def test_the_address_in_a_file(tmp_path: Path) -> None:
    """Read each time, since a Secret is rotated; a missing one is named by its file."""
    file = tmp_path / "url"
    with pytest.raises(Unavailable, match=r"can't be read from .*/url \(No such file"):
        address_in(file)
    file.write_text("https://hooks.example/1\n")
    assert address_in(file) == "https://hooks.example/1"
    file.write_text("https://hooks.example/2\n")
    assert address_in(file) == "https://hooks.example/2"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Unavailable, match="it is no text"):
        address_in(file)
