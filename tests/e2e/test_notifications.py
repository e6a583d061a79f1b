"""A webhook beside the real daemon: bad answers, nobody there, killed between the end and the message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import Place
from tests.e2e.process import Daemon
from tests.e2e.specs import batch
from tests.e2e.waiting import wait_for
from tests.receiver import Receiver, receiver

SECRET = "/services/T0/B0/nobody-may-see-this"


@pytest.fixture
def there() -> Iterator[Receiver]:
    """Somebody who takes messages."""
    with receiver() as found:
        yield found


def tell(place: Place, url: str, **more: object) -> None:
    """Its daemons post there from now on."""
    told = {"url": url + SECRET, "link": "https://keeper.example", "timeout": "1s"}
    place.configure(notifications={**told, **more})


def untold(place: Place) -> bool:
    """Whether something is still to be told."""
    query = {"notices.at": {"$exists": True}}
    return bool(place.db["jobs"].find_one(query) or place.db["quarantine"].find_one(query))


def outcomes(daemon: Daemon) -> list[str]:
    """How its deliveries ended."""
    return [line["outcome"] for line in daemon.said("told")]


def test_the_end_of_a_batch_in_one_line(place: Place, there: Receiver) -> None:
    """After a bad answer it is told once: how many completed, how many failed of what, where to look. Its
    address is shown nowhere."""
    there.answers = [(500, {}, b"oops")]
    tell(place, there.url)
    place.drop(batch("sweep", {"a": "true", "b": "exit 1", "c": "exit 3", "d": "exit 3"}))
    daemon = place.start()
    place.over("sweep")
    wait_for("all is told", lambda: not untold(place))
    assert outcomes(daemon) == ["failed", "delivered"]
    first, second = there.got
    assert first.body == second.body
    assert first.path == SECRET
    batch_id = place.parent("sweep")["_id"]
    assert re.fullmatch(
        r"\*sweep in default\*: finished, 1 of 4 tasks completed, 3 failed \(application-error 2, "
        rf"configuration-error 1\), after \d+s <https://keeper\.example/#/batches/{batch_id}\|open>",
        second.text,
    )
    metrics = daemon.get("/metrics")[1]
    assert 'notifications_total{channel="webhook",outcome="delivered"} 1.0' in metrics
    assert "told" not in place.parent("sweep"), "there are no Events on one machine"
    stored = [str(found) for name in place.db.list_collection_names() for found in place.db[name].find()]
    shown = [text for text in (daemon.log.read_text(), metrics, *stored) if "nobody-may-see" in text]
    assert not shown


def test_it_is_killed_between_the_end_and_the_message(place: Place, there: Receiver) -> None:
    """The end is in the store and nobody has it: the next daemon tells it once the first one's time is up."""
    there.hold = True
    tell(place, there.url, timeout="2m")
    place.drop(batch("sweep", 3))
    daemon = place.start()
    wait_for("the message is under way", lambda: there.got)
    daemon.kill()
    (notice,) = place.parent("sweep")["notices"]
    assert notice["tries"] == 1
    assert place.parent("sweep")["batch_status"] == "finished"
    there.hold, there.got = False, []
    there.let_go.set()
    place.db["jobs"].update_one({"name": "sweep"}, {"$set": {"notices.0.due": notice["at"]}})
    place.start()
    wait_for("all is told", lambda: not untold(place))
    assert len(there.got) == 1


def test_nobody_is_there_for_a_while(place: Place, there: Receiver) -> None:
    """Batches go on as ever meanwhile; then all is told, once: an end, a refused file, a batch on hold."""
    port = there.port
    there.close()
    tell(place, f"http://127.0.0.1:{port}")
    place.drop(batch("doomed", {f"t{n}": "exit 1" for n in range(60)}, most=10))
    place.drop(batch("fine", 2))
    wrong = place.specs / "wrong.yaml"
    wrong.write_text("apiVersion: batchkeeper/v1\nkind: Batch\nname: <!channel>\n", encoding="utf-8")
    first = place.start()
    place.over("fine")
    place.until("it is held", lambda: place.parent("doomed").get("batch_status") == "held")
    wait_for("it was tried", lambda: "failed" in outcomes(first))
    first.kill()
    with receiver(port) as back:
        second = place.start()
        wait_for("all is told", lambda: not untold(place))
        wait_for("the file was read again", lambda: second.said("spec"))
        assert place.cli("cancel", "doomed").code == 0
        place.over("doomed")
        wait_for("all is told", lambda: len(back.got) == 4)
    held, cancelled = [text for text in back.texts if text.startswith("*doomed in default*: ")]
    told = {text.partition("*: ")[0]: text for text in back.texts}
    assert set(told) == {"*fine in default", "*doomed in default", "*wrong.yaml"}
    assert "held, " in held
    assert "first attempts that ended were configuration-error" in held
    assert told["*wrong.yaml"].startswith("*wrong.yaml*: refused: ")
    assert "<!channel>" not in told["*wrong.yaml"]
    assert cancelled.startswith("*doomed in default*: cancelled by ")


def test_a_run_tells_before_it_ends(place: Place, there: Receiver, tmp_path: Path) -> None:
    """Its daemon ends with the batch: nobody else would tell it, or much later."""
    tell(place, there.url)
    spec = tmp_path / "single.json"
    spec.write_text(json.dumps(batch("single", 1)), encoding="utf-8")
    place.expect(batch("single", 1))
    assert place.cli("run", str(spec)).code == 0
    (text,) = there.texts
    assert text.startswith("*single in default*: finished, 1 of 1 tasks completed, after ")
    assert not untold(place)
