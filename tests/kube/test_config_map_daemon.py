"""The daemon with ConfigMaps as its store of specs, on a real control plane with the rights of its Role."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from controller.adapters.kube_access import EVENT_RULES, SPEC_RULES
from controller.adapters.spec_configmap_status import ANNOTATION
from tests.kube.place import Document, KubePlace, rules, spec

LABELS = {"batchkeeper.io/specs": "true"}


class Shelf:
    """What people do with ConfigMaps, and what they read there."""

    def __init__(self, place: KubePlace, **specs: Any) -> None:
        self.place = place
        self.maps = f"/api/v1/namespaces/{place.namespace}/configmaps"
        self.start = f"configmap://{place.namespace}/"
        rights = (*SPEC_RULES, *EVENT_RULES)
        place.plane.grant(place.namespace, "batchkeeper-specs", rules(rights), place.account.subject)
        config_maps = {"namespace": place.namespace, "interval": "300ms"}
        place.configure(specs={"folder": None, "configmaps": config_maps, **specs})

    def put(self, name: str, **data: str | Document) -> None:
        """A ConfigMap; what is no text is a spec."""
        text = {
            key.replace("_", "."): value if isinstance(value, str) else json.dumps(value)
            for key, value in data.items()
        }
        for value in data.values():
            if not isinstance(value, str):
                self.place.expect(value)
        body = {"metadata": {"name": name, "labels": LABELS}, "data": text}
        if self.place.plane.admin.find(f"{self.maps}/{name}"):
            self.place.plane.admin.patch(f"{self.maps}/{name}", body)
        else:
            self.place.plane.admin.create(self.maps, body)

    def tells(self, name: str, key: str, so: Callable[[Document], Any]) -> Document:
        """What the annotation says of a key, as soon as it is so."""
        seen: Document = {}

        def look() -> bool:
            annotations = self.place.plane.admin.get(f"{self.maps}/{name}")["metadata"].get("annotations", {})
            seen.clear()
            seen.update(json.loads(annotations.get(ANNOTATION, "{}")).get(key, {}))
            return bool(seen and so(seen))

        self.place.until(f"the status of {name}/{key} as expected", look)
        return seen


def test_from_a_config_map_to_the_report(place: KubePlace) -> None:
    """Tasks from a csv in the same ConfigMap; annotation and Events tell what became of it, the owner is the
    map's, and what is wrong beside it is refused by itself."""
    owners = [{"source": f"configmap://{place.namespace}/sweep", "user": "eberrigan"}]
    shelf = Shelf(place, owners=owners)
    scan = spec("scan", {}, 2, owner="eberrigan")
    scan["tasks"] = {"csv": {"path": "traits.csv"}}
    shelf.put("sweep", scan_json=scan, traits_csv="id,END\na,exit-0\nb,exit-0\nc,exit-3\n")
    shelf.put("broken", scan_yaml="kind: Batch\n", thief_json=spec("thief", {"a": {}}, 1, owner="eberrigan"))
    place.start()
    place.over("scan")
    assert place.statuses("scan") == {"scan-a": "completed", "scan-b": "completed", "scan-c": "error"}
    told = shelf.tells("sweep", "scan.json", lambda told: told["state"] == "finished")
    assert (told["result"], told["owner"]) == ("partial", "eberrigan")
    assert told["source"] == f"{shelf.start}sweep/scan.json"
    broken = shelf.tells("broken", "scan.yaml", lambda told: told["state"] == "refused")
    assert f"{shelf.start}broken/scan.yaml" in " ".join(broken["refused"])
    thief = shelf.tells("broken", "thief.json", lambda told: told["state"] == "refused")
    assert "can't be confirmed" in " ".join(thief["refused"])
    quarantined = {one["item"] for one in place.cli("list", "--quarantined", "-o", "json").json}
    assert quarantined == {f"{shelf.start}broken/scan.yaml", f"{shelf.start}broken/thief.json"}
    place.until("the Events", lambda: len(events(place)) == 4)
    assert sorted(events(place)) == [
        ("broken", "SpecRefused"),
        ("broken", "SpecRefused"),
        ("sweep", "BatchFailed"),
        ("sweep", "SpecAccepted"),
    ]


def events(place: KubePlace) -> list[tuple[str, str]]:
    """ConfigMap and reason of each Event about one."""
    path = f"/api/v1/namespaces/{place.namespace}/events"
    found = place.plane.admin.get(path, fieldSelector="involvedObject.kind=ConfigMap")["items"]
    return [(one["involvedObject"]["name"], one["reason"]) for one in found]


def test_edited_while_it_runs_and_deleted(place: KubePlace) -> None:
    """maxConcurrent follows the ConfigMap; deleting it changes nothing, only a cancel ends the batch."""
    shelf = Shelf(place)
    long = spec("long", {name: {"END": "never"} for name in "abc"}, 1)
    shelf.put("long", long_json=long)
    place.start()
    place.is_("long-a", "running")
    shelf.put("long", long_json={**long, "maxConcurrent": 2})
    place.is_("long-b", "running")
    told = shelf.tells("long", "long.json", lambda told: told["activeJobsInBatch"] == "2 of 2")
    assert told["settings"]["maxConcurrent"]["from"] == f"{shelf.start}long/long.json"
    assert place.parent("long")["user"] == f"configmap:{place.namespace}"
    place.plane.admin.delete(f"{shelf.maps}/long")
    shelf.put("later", later_json=spec("later", {"a": {}}, 1))
    place.over("later")  # the deletion was seen by then
    assert place.statuses("long") == {"long-a": "running", "long-b": "running", "long-c": "waiting"}
    assert place.cli("cancel", "long", "--as-admin").code == 0
    place.over("long")
    assert place.parent("long")["batch_status"] == "cancelled"


def test_without_its_rights_the_daemon_says_so_and_ends(place: KubePlace) -> None:
    """One line that names what is missing and where, before anything is done."""
    config_maps = {"namespace": place.namespace}
    place.configure(specs={"folder": None, "configmaps": config_maps})
    daemon = place.start(wait=False)
    assert daemon.ended() == 1
    text = daemon.log.read_text(encoding="utf-8")
    assert f"may not list, patch configmaps in {place.namespace}" in text
    assert "deploy/role.yaml" in text
    daemon.log.write_text("", encoding="utf-8")
