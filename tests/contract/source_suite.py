"""What every spec source must do, whatever holds its files. A subclass brings the fixture ``world``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from controller.ports import SpecFile, SpecSource, Unavailable

SPEC = b"kind: Batch\nname: sweep\n"
OTHER = b"kind: Batch\nname: other\n"
CSV = b"id,TRAIT\na,1\n"


class World(ABC):
    """A source, and a hand that changes what it holds. Keys are names without folders."""

    source: SpecSource
    limit: int
    user = "local:"
    """How the names of those begin whose the files are where no map says so."""
    fetches_large = True
    """Whether what is too large comes with as many bytes as show it, or with a word and no bytes at all."""

    @abstractmethod
    def put(self, key: str, content: bytes) -> None:
        """Write a file, replacing what it held."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Delete a file."""

    @abstractmethod
    def spoil(self, key: str) -> None:
        """Make a file one that can't be read."""

    @abstractmethod
    def lose(self) -> None:
        """Make the store unreadable."""

    @abstractmethod
    def heal(self) -> None:
        """Make it readable again, with all that it held."""

    @abstractmethod
    def status(self, key: str) -> Mapping[str, Any] | None:
        """What stands beside a spec."""

    @abstractmethod
    def pass_time(self) -> None:
        """Let some seconds pass between two scans."""

    async def settle(self) -> Sequence[SpecFile]:
        """Scan until everything has had two looks."""
        found: list[SpecFile] = []
        for _ in range(3):
            found += await self.source.scan()
            self.pass_time()
        return found


def contents(files: Sequence[SpecFile]) -> dict[str, bytes]:
    """Content by key; a key that was handed out twice fails."""
    found = {file.key: file.content for file in files}
    assert len(found) == len(files)
    return found


class SourceSuite:
    """The contract of ``ports.SpecSource``."""

    @pytest.fixture
    def world(self) -> World:
        """The source under test; each subclass has its own."""
        raise NotImplementedError

    async def test_an_empty_store_has_nothing(self, world: World) -> None:
        """No files: nothing is handed out, and there are no keys."""
        assert await world.settle() == []
        assert await world.source.keys() == frozenset()

    async def test_one_look_is_not_enough(self, world: World) -> None:
        """A file is handed out by the second look that finds it the same, not by the first."""
        world.put("a.yaml", SPEC)
        assert list(await world.source.scan()) == []
        world.pass_time()
        assert contents(await world.source.scan()) == {"a.yaml": SPEC}

    async def test_handed_out_once(self, world: World) -> None:
        """An unchanged file is not handed out again."""
        world.put("a.yaml", SPEC)
        assert contents(await world.settle()) == {"a.yaml": SPEC}
        assert await world.settle() == []

    async def test_a_half_written_file_waits_for_its_end(self, world: World) -> None:
        """A file that grows from look to look is handed out whole, and only then."""
        for end in range(4, len(SPEC), 4):
            world.put("a.yaml", SPEC[:end])
            assert list(await world.source.scan()) == []
            world.pass_time()
        world.put("a.yaml", SPEC)
        assert contents(await world.settle()) == {"a.yaml": SPEC}

    async def test_a_change_is_handed_out(self, world: World) -> None:
        """Other content under the same key is handed out, once."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.put("a.yaml", OTHER)
        assert contents(await world.settle()) == {"a.yaml": OTHER}
        assert await world.settle() == []

    async def test_a_change_that_is_taken_back_between_looks_is_none(self, world: World) -> None:
        """Only content counts: writing the same bytes again hands out nothing."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.put("a.yaml", OTHER)
        await world.source.scan()
        world.put("a.yaml", SPEC)
        assert await world.settle() == []

    async def test_files_do_not_wait_for_each_other(self, world: World) -> None:
        """A file that never settles keeps no other one back."""
        world.put("good.yaml", SPEC)
        found: list[SpecFile] = []
        for turn in range(4):
            world.put("bad.yaml", SPEC + b"#" * turn)
            found += await world.source.scan()
            world.pass_time()
        assert contents(found) == {"good.yaml": SPEC}

    async def test_only_specs_are_keys(self, world: World) -> None:
        """YAML and JSON are specs; statuses, editors' files and everything else are not."""
        for name in ("a.yaml", "b.yml", "c.json"):
            world.put(name, SPEC)
        for name in (
            *("a.yaml.status.yaml", ".a.yaml.swp", "a.yaml~", "4913", ".nfs0001", ".#a.yaml"),
            *("a.yaml.part", "a.yaml.tmp", "#a.yaml#", ".hidden.yaml", "notes.txt", "yaml"),
        ):
            world.put(name, SPEC)
        assert sorted(contents(await world.settle())) == ["a.yaml", "b.yml", "c.json"]
        assert await world.source.keys() == {"a.yaml", "b.yml", "c.json"}

    async def test_keys_follow_the_last_scan(self, world: World) -> None:
        """A file has a key from its first look to the first look that misses it."""
        world.put("a.yaml", SPEC)
        await world.source.scan()
        assert await world.source.keys() == {"a.yaml"}
        world.remove("a.yaml")
        assert await world.source.keys() == {"a.yaml"}
        await world.source.scan()
        assert await world.source.keys() == frozenset()

    async def test_a_removed_file_is_silent_and_comes_back_as_new(self, world: World) -> None:
        """A deletion hands out nothing; the same file dropped again is handed out again."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.remove("a.yaml")
        assert await world.settle() == []
        world.put("a.yaml", SPEC)
        assert contents(await world.settle()) == {"a.yaml": SPEC}

    async def test_a_lost_store_is_no_deletion(self, world: World) -> None:
        """While the store can't be read every scan raises, and the keys stay as they were."""
        world.put("a.yaml", SPEC)
        await world.settle()
        world.lose()
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await world.source.scan()
            assert len(str(caught.value).splitlines()) == 1
        assert await world.source.keys() == {"a.yaml"}

    async def test_after_an_outage_only_changes_are_handed_out(self, world: World) -> None:
        """When the store is back, what is as it was is not handed out again."""
        world.put("a.yaml", SPEC)
        world.put("b.yaml", SPEC)
        await world.settle()
        world.lose()
        with pytest.raises(Unavailable):
            await world.source.scan()
        world.heal()
        world.put("b.yaml", OTHER)
        assert contents(await world.settle()) == {"b.yaml": OTHER}

    async def test_a_large_file_is_cut_one_byte_past_the_limit(self, world: World) -> None:
        """What is at the limit is whole; what is larger says so, and holds one byte more or none."""
        world.put("whole.yaml", b"#" * world.limit)
        world.put("cut.yaml", b"#" * (world.limit + 5000))
        found = {file.key: file for file in await world.settle()}
        assert (found["whole.yaml"].truncated, len(found["whole.yaml"].content)) == (False, world.limit)
        assert found["cut.yaml"].truncated
        assert len(found["cut.yaml"].content) == (world.limit + 1 if world.fetches_large else 0)
        assert world.fetches_large or "at most" in found["cut.yaml"].error

    async def test_every_file_has_a_user(self, world: World) -> None:
        """Whoever owns the file is named: a user of this machine, or the store where files have none."""
        world.put("a.yaml", SPEC)
        assert (await world.settle())[0].user.startswith(world.user)

    async def test_a_named_file_comes_with_the_spec(self, world: World) -> None:
        """After ``depends`` said no, the spec is handed out with the file's bytes, and it says yes."""
        world.put("a.yaml", SPEC)
        world.put("traits.csv", CSV)
        first = await world.settle()
        assert dict(first[0].beside) == {}
        assert not await world.source.depends("a.yaml", ["traits.csv"])
        second = await world.settle()
        assert contents(second) == {"a.yaml": SPEC}
        assert second[0].beside["traits.csv"].content == CSV
        assert await world.source.depends("a.yaml", ["traits.csv"])
        assert await world.settle() == []

    async def test_a_half_copied_named_file_holds_the_spec_back(self, world: World) -> None:
        """A spec is not handed out while what it names still grows."""
        world.put("a.yaml", SPEC)
        await world.settle()
        await world.source.depends("a.yaml", ["traits.csv"])
        for end in range(3, len(CSV), 3):
            world.put("traits.csv", CSV[:end])
            assert list(await world.source.scan()) == []
            world.pass_time()
        world.put("traits.csv", CSV)
        assert (await world.settle())[0].beside["traits.csv"].content == CSV

    async def test_a_change_of_a_named_file_is_a_change_of_the_spec(self, world: World) -> None:
        """Other bytes in the csv hand out its spec again; the same csv may belong to two."""
        for key in ("a.yaml", "b.yaml"):
            world.put(key, SPEC)
        world.put("traits.csv", CSV)
        await world.settle()
        for key in ("a.yaml", "b.yaml"):
            await world.source.depends(key, ["traits.csv"])
        await world.settle()
        world.put("traits.csv", CSV + b"b,2\n")
        found = await world.settle()
        assert sorted(contents(found)) == ["a.yaml", "b.yaml"]
        assert {file.beside["traits.csv"].content for file in found} == {CSV + b"b,2\n"}

    async def test_a_missing_named_file_is_said_and_waited_for(self, world: World) -> None:
        """A csv that isn't there is handed out as an error; when it arrives, with its bytes."""
        world.put("a.yaml", SPEC)
        await world.settle()
        assert not await world.source.depends("a.yaml", ["traits.csv"])
        missing = (await world.settle())[0].beside["traits.csv"]
        assert (missing.content, missing.error) == (b"", "no such file")
        assert await world.source.depends("a.yaml", ["traits.csv"])
        world.put("traits.csv", CSV)
        assert (await world.settle())[0].beside["traits.csv"].content == CSV

    async def test_a_spec_that_names_nothing_any_more_is_left_alone(self, world: World) -> None:
        """After ``depends`` on nothing, the old csv may change without consequence."""
        world.put("a.yaml", SPEC)
        world.put("traits.csv", CSV)
        await world.settle()
        assert await world.source.depends("a.yaml", [])
        await world.source.depends("a.yaml", ["traits.csv"])
        await world.settle()
        assert await world.source.depends("a.yaml", [])
        world.put("traits.csv", CSV + b"b,2\n")
        assert await world.settle() == []

    async def test_a_status_stands_beside_the_spec(self, world: World) -> None:
        """The newest status is what is read there, and no scan takes it for a spec."""
        world.put("a.yaml", SPEC)
        await world.settle()
        await world.source.tell("a.yaml", {"state": "running", "tasks": {"total": 3}})
        await world.source.tell("a.yaml", {"state": "finished", "tasks": {"total": 3}})
        assert world.status("a.yaml") == {"state": "finished", "tasks": {"total": 3}}
        assert await world.settle() == []
        assert await world.source.keys() == {"a.yaml"}

    async def test_a_spec_that_is_gone_is_told_nothing(self, world: World) -> None:
        """The last status is left as it was; no new one appears."""
        world.put("a.yaml", SPEC)
        await world.settle()
        await world.source.tell("a.yaml", {"state": "running"})
        world.remove("a.yaml")
        await world.source.tell("a.yaml", {"state": "finished"})
        assert world.status("a.yaml") == {"state": "running"}
        await world.source.tell("never.yaml", {"state": "running"})
        assert world.status("never.yaml") is None


class UnreadableSuite:
    """The contract for what can't be read, where there can be such a thing."""

    @pytest.fixture
    def world(self) -> World:
        """The source under test; each subclass has its own."""
        raise NotImplementedError

    async def test_an_unreadable_file_is_a_problem_of_its_own(self, world: World) -> None:
        """It is handed out with a reason and without content, once; the others are served."""
        world.put("good.yaml", SPEC)
        world.spoil("bad.yaml")
        found = {file.key: file for file in await world.settle()}
        assert found["good.yaml"].content == SPEC
        assert found["good.yaml"].error == ""
        assert found["bad.yaml"].content == b""
        assert len(found["bad.yaml"].error.splitlines()) == 1
        assert await world.settle() == []

    async def test_a_file_that_became_readable_is_handed_out(self, world: World) -> None:
        """A problem that is gone makes the file a changed one."""
        world.spoil("a.yaml")
        await world.settle()
        world.remove("a.yaml")
        world.put("a.yaml", SPEC)
        found = await world.settle()
        assert contents(found) == {"a.yaml": SPEC}
        assert found[0].error == ""
