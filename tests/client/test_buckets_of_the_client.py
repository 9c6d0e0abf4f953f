"""Buckets through the Python client, against a real daemon."""

import asyncio
import os

import pytest

from store.errors import StatusCode
from threadd.client import Identity, RefusedError, Role

LARGE = os.urandom(3 * 2**20 + 1)


async def in_pieces(*given):
    for one in given:
        yield one


@pytest.fixture
async def bucket(db):
    return await db.buckets.create("files")


@pytest.mark.parametrize("private", [False, True])
async def test_files_come_back_whole_however_they_are_given(db, tmp_path, private):
    bucket = await db.buckets.create(private=private)
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    await bucket.push("path", file)
    await bucket.push("bytes", LARGE)
    await bucket.push("pieces", in_pieces(LARGE[:1], b"", LARGE[1:700_000], LARGE[700_000:]))
    await bucket.push("empty", b"")
    for name in ("path", "bytes", "pieces"):
        assert await bucket.read(name) == LARGE
    assert await bucket.read("empty") == b""
    await bucket.download("bytes", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == LARGE
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["copy", "large"]


async def test_many_files_are_one_change(bucket):
    before = await bucket.info()
    files = {f"folder/{number}.txt": str(number).encode() * number for number in range(300)}
    after = await bucket.push_all(files, root=before.root)
    folder = await bucket.list("folder")
    assert {item.name for item in folder.items} == {f"{number}.txt" for number in range(300)}
    assert await bucket.read("folder/7.txt") == b"7777777"
    with pytest.raises(RefusedError, match="update is non-fast-forward"):
        await bucket.push_all({"late": b""}, root=before.root)
    assert await bucket.info() == after


async def test_of_two_pushes_on_one_root_the_second_is_refused(bucket):
    root = (await bucket.info()).root
    pushed = await bucket.push("a", b"first", root=root)
    with pytest.raises(RefusedError, match="update is non-fast-forward") as refused:
        await bucket.push("a", b"second", root=root)
    assert refused.value.status is not StatusCode.OK
    assert await bucket.read("a") == b"first"
    assert (await bucket.remove("a", root=pushed.root)).root != pushed.root


async def test_what_cannot_be_read_here_is_not_pushed_and_the_reason_is_kept(bucket, tmp_path):
    before = await bucket.info()

    async def broken():
        yield b"a" * 300_000
        raise ValueError("no more")

    with pytest.raises(FileNotFoundError):
        await bucket.push("a", tmp_path / "nothing")
    with pytest.raises(ValueError, match="no more"):
        await bucket.push("a", broken())
    assert await bucket.info() == before


async def test_a_push_that_is_cancelled_leaves_the_bucket_as_it_was(bucket):
    before, never = await bucket.info(), asyncio.Event()

    async def waiting():
        yield b"a"
        await never.wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await bucket.push("a", waiting())
    assert await bucket.info() == before


async def test_buckets_are_listed_moved_in_and_deleted(db, bucket):
    await bucket.push("old/a", b"a")
    await bucket.move("old", "new")
    assert [item.name for item in (await bucket.list("new")).items] == ["a"]
    cid = (await bucket.list("new/a")).cid
    await bucket.put("again", cid)
    assert await bucket.read("again") == b"a"
    assert [found.name for found in await db.buckets.list()] == ["files"]
    links = await bucket.links("new/a")
    assert links.url.endswith("new/a")
    await bucket.delete()
    assert await db.buckets.list() == []
    with pytest.raises(RefusedError):
        await bucket.read("again")


async def test_roles_are_given_and_taken_away(bucket):
    other = Identity.random().public
    await bucket.push("a", b"a")
    await bucket.set_roles({other: Role.WRITER}, "a")
    assert (await bucket.roles("a"))[other] is Role.WRITER
    await bucket.set_roles({other: Role.NOTHING}, "a")
    assert other not in await bucket.roles("a")
