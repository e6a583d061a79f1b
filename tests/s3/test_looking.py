"""What is looked at in a bucket: its keys, what is fetched of them, and what happens between list and get."""

from __future__ import annotations

import pytest

from controller.adapters import spec_bucket_client
from controller.ports import Unavailable
from tests.contract.source_suite import CSV, OTHER, SPEC, contents
from tests.s3.server import CREDENTIALS
from tests.s3.way import Asked
from tests.s3.world import BucketWorld


async def test_what_did_not_change_is_not_fetched(world: BucketWorld) -> None:
    """One GET for each new ETag; a look at a settled bucket costs its listing."""
    for name in ("a.yaml", "b.yaml"):
        world.put(name, SPEC)
    await world.settle()
    assert len(world.way.requests("GET")) == 2
    world.put("b.yaml", OTHER)
    await world.settle()
    assert [one.path.rpartition("/")[2] for one in world.way.requests("GET")] == [
        "a.yaml",
        "b.yaml",
        "b.yaml",
    ]


async def test_the_same_bytes_under_another_etag_are_no_change(world: BucketWorld) -> None:
    """A multipart upload has another ETag; the content decides."""
    world.put("a.yaml", SPEC)
    await world.settle()
    world.hand.put_in_parts("specs/a.yaml", SPEC)
    assert await world.settle() == []
    assert len(world.way.requests("GET")) == 2
    await world.settle()
    assert len(world.way.requests("GET")) == 2


@pytest.mark.parametrize("drops", ["", "if-match"])
async def test_what_changes_between_list_and_get_waits(world: BucketWorld, drops: str) -> None:
    """Neither the old nor the new content is handed out before two lists agree on it, whether the store
    knows If-Match or not."""
    world.way.drops = drops
    world.put("a.yaml", SPEC)
    await world.source.scan()

    def overtake(asked: Asked) -> None:
        if asked.method == "GET" and not asked.is_list:
            world.put("a.yaml", OTHER)

    world.way.before = overtake
    assert list(await world.source.scan()) == []
    world.way.before = lambda asked: None
    assert contents(await world.settle()) == {"a.yaml": OTHER}


async def test_what_goes_between_list_and_get_is_gone(world: BucketWorld) -> None:
    """It is no problem and no spec."""
    world.put("a.yaml", SPEC)
    await world.source.scan()
    world.way.before = lambda asked: world.remove("a.yaml") if not asked.is_list else None
    assert list(await world.source.scan()) == []
    assert await world.settle() == []
    assert await world.source.keys() == frozenset()


async def test_what_is_too_large_is_never_fetched(world: BucketWorld) -> None:
    """Its size stands in the listing; the refusal says both numbers and what to do."""
    world.put("huge.yaml", b"#" * (world.limit + 1))
    (found,) = await world.settle()
    assert found.error == "has 262145 bytes: 256 KiB (262144) at most; move the tasks into a csv file"
    assert world.way.requests("GET") == []


async def test_the_prefix_is_a_folder(world: BucketWorld) -> None:
    """Neighbours whose names merely begin alike, and what lies above, are somebody else's."""
    for key in ("specs-old/a.yaml", "specs.yaml", "a.yaml", "spec/a.yaml"):
        world.hand.put(key, SPEC)
    world.put("a.yaml", SPEC)
    assert list(contents(await world.settle())) == ["a.yaml"]


async def test_folders_and_odd_names(world: BucketWorld) -> None:
    """Three folders deep, with any character, as one clean line; not hidden, with empty or dotted parts."""
    odd = ["a b%.yaml", "ü/日本.json", "x\x01y.yaml", "1/2/3/deep.yaml", "c'o\"l:o=n&+?#.yml"]
    for name in (
        *odd,
        "1/2/3/4/too-deep.yaml",
        ".git/a.yaml",
        "a//b.yaml",
        "../up.yaml",
        "a/./b.yaml",
        "dir/",
    ):
        world.put(name, SPEC)
    found = contents(await world.settle())
    assert sorted(found) == sorted(
        ["a b%25.yaml", "ü/日本.json", "x%01y.yaml", "1/2/3/deep.yaml", "c'o\"l:o=n&+?#.yml"]
    )
    for key in found:
        await world.source.tell(key, {"state": "running"})
    assert [world.status(name) for name in odd] == [{"state": "running"}] * len(odd)


async def test_a_csv_relative_to_its_spec(world: BucketWorld) -> None:
    """Below it, beside it or above it, as long as that is below the prefix."""
    world.put("team/a.yaml", SPEC)
    world.put("data/traits.csv", CSV)
    world.hand.put("secret.csv", CSV)
    await world.settle()
    await world.source.depends("team/a.yaml", ["../data/traits.csv", "../../secret.csv"])
    (found,) = await world.settle()
    assert found.beside["../data/traits.csv"].content == CSV
    assert found.beside["../../secret.csv"].error == "it leads out of the watched store"
    assert not any("secret" in one.path for one in world.way.asked)


async def test_many_pages(world: BucketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing of several pages is one listing."""
    monkeypatch.setattr(spec_bucket_client, "PAGE", 2)
    names = [f"{n}.yaml" for n in range(5)]
    for name in names:
        world.put(name, SPEC)
    assert sorted(contents(await world.settle())) == names


async def test_a_bucket_of_data_is_no_store_of_specs(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many objects to look through are refused as a whole, with what to do."""
    monkeypatch.setattr(spec_bucket_client, "MAX_OBJECTS", 3)
    for n in range(4):
        world.put(f"{n}.csv", CSV)
    with pytest.raises(Unavailable, match=r"more than 3 objects, too many.*specs.s3.prefix"):
        await world.source.scan()


async def test_after_a_restart_everything_is_handed_out_anew(world: BucketWorld) -> None:
    """Nothing is remembered but what the bucket holds."""
    world.put("a.yaml", SPEC)
    await world.settle()
    world.restart()
    assert contents(await world.settle()) == {"a.yaml": SPEC}


async def test_credentials_of_a_profile(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The shared files are read as AWS's own tools read them."""
    shared = tmp_path_factory.mktemp("aws") / "credentials"
    shared.write_text(
        "[default]\naws_access_key_id = profiled\naws_secret_access_key = x\n", encoding="utf-8"
    )
    for name in CREDENTIALS:
        if "KEY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    world.restart()
    await world.source.scan()
    assert "Credential=profiled/" in world.way.asked[-1].authorization


async def test_credentials_of_a_pod(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A service account's token is exchanged for a role's credentials (IRSA)."""
    token = tmp_path_factory.mktemp("irsa") / "token"
    token.write_text("a-token", encoding="utf-8")
    for name in CREDENTIALS:
        if "KEY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/batchkeeper")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", world.way.url)
    world.restart()
    world.put("a.yaml", SPEC)
    assert contents(await world.settle()) == {"a.yaml": SPEC}
    assert any(one.method == "POST" and one.path == "/" for one in world.way.asked)


async def test_credentials_that_were_changed(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Once the store refuses what was read, the files are read again: no restart is needed."""
    shared = tmp_path_factory.mktemp("aws") / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = x\n"
    shared.write_text(text.format("old"), encoding="utf-8")
    for name in CREDENTIALS:
        if "KEY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    world.restart()
    await world.source.scan()
    world.way.fault = lambda asked: (403, "InvalidAccessKeyId") if "=old/" in asked.authorization else None
    with pytest.raises(Unavailable, match="InvalidAccessKeyId"):
        await world.source.scan()
    shared.write_text(text.format("new"), encoding="utf-8")
    await world.source.scan()


async def test_the_region(world: BucketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting's, else that of the environment under either name, else the one that most stores take."""
    for name, region in (
        ("", "us-east-1"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "ap-south-1"),
    ):
        if name:
            monkeypatch.setenv(name, region)
        world.restart()
        await world.source.scan()
        assert f"/{region}/s3/" in world.way.asked[-1].authorization


async def test_no_credentials(world: BucketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says where they may come from; once there are some, no restart is needed."""
    for name in CREDENTIALS:
        if "KEY" in name:
            monkeypatch.delenv(name)
    world.restart()
    with pytest.raises(Unavailable, match="no credentials were found: set AWS_ACCESS_KEY_ID") as caught:
        await world.source.scan()
    assert len(str(caught.value).splitlines()) == 1
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    await world.source.scan()
