"""Buckets through both doors, as clients use them."""

import grpc
import pytest
import replicas

from net import cid as cids
from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from threadd.api import buckets_service
from threadd.buckets.instances import Actor
from threadd.buckets.unixfs import FileBuilder
from threadd.hub.api_keys import KeyKind
from threadd.rooms import open_rooms

pytestmark = pytest.mark.timeout(120)

NOT_FOUND, REFUSED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION


def cid_of(data):
    builder = FileBuilder()
    return cids.text((builder.add(data) + builder.finish())[-1].cid)


class Folders:
    """The calls of one client on the buckets of one thread."""

    def __init__(self, stubs, thread, metadata=()):
        self.stubs = stubs.using([*metadata, ("x-textile-thread", thread.text)])
        self.thread = thread

    async def __call__(self, rpc, /, **fields):
        return await self.stubs(rpc, **fields)

    async def refused(self, rpc, /, **fields):
        return await self.stubs.refused(rpc, **fields)

    def _stream(self, rpc, requests):
        method = buckets_service.DESCRIPTOR.methods_by_name[rpc]
        make = self.stubs.channel.stream_stream if method.client_streaming else self.stubs.channel.unary_stream
        stub = make(
            f"/api.bucketsd.pb.APIService/{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{rpc}Response").FromString,
        )
        return stub(requests, metadata=self.stubs.metadata, timeout=60)

    async def push(self, key, path, data, root="", size=32_768):
        """Upload a file; returns its events."""
        header = pb.PushPathRequest.Header(key=key, path=path, root=root)
        chunks = [pb.PushPathRequest(chunk=data[at : at + size]) for at in range(0, len(data), size)]
        replies = self._stream("PushPath", iter([pb.PushPathRequest(header=header), *chunks]))
        return [reply.event async for reply in replies]

    async def push_all(self, key, files, root="", paths=()):
        """Upload files in one stream; returns the replies."""
        requests = [pb.PushPathsRequest(header=pb.PushPathsRequest.Header(key=key, root=root, paths=paths))]
        for path, data in files:
            requests.append(pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=path, data=data)))
        return [reply async for reply in self._stream("PushPaths", iter(requests))]

    async def pull(self, key, path):
        """Download a file."""
        replies = self._stream("PullPath", pb.PullPathRequest(key=key, path=path))
        return b"".join([reply.chunk async for reply in replies])

    async def names(self, key, path=""):
        return [item.name for item in (await self("ListPath", key=key, path=path)).item.items]


THREAD = ThreadID(bytes([1, 0x55]) + b"b" * 32)
ALICE, BOB = PrivateKey(b"a" * 32), PrivateKey(b"b" * 32)


@pytest.fixture
async def folders(threads_door):
    """The buckets of a new database, on the door without keys, for a client without a token."""
    await threads_door("NewDB", dbID=THREAD.bytes)
    return Folders(threads_door.of(buckets_service.DESCRIPTOR), THREAD)


@pytest.fixture
def as_identity(house, folders):
    """The same for somebody with a token."""

    def made(key):
        return Folders(folders.stubs.using(()), THREAD, [("authorization", f"bearer {house.token(key)}")])

    return made


async def test_a_public_bucket(folders):
    made = await folders("Create", name="photos")
    key = made.root.key
    assert len(key) == 59
    assert key.startswith("bafzbei")
    assert (made.root.name, made.root.version, made.root.thread, made.root.owner) == ("photos", 1, THREAD.text, "")
    assert len(made.seed) == 32
    assert made.seed_cid == cid_of(made.seed)
    assert made.pinned > 32
    big = bytes(range(256)) * 3000
    events = await folders.push(key, "a/b/big.bin", big, made.root.path)
    assert [event.bytes for event in events[:-1]] == [262_144, 524_288, 768_000]
    assert events[-1].path == f"/ipfs/{cid_of(big)}"
    assert int(events[-1].size) > len(big)
    assert events[-1].root.path != made.root.path
    assert await folders.pull(key, "/a/b/big.bin") == big
    root = await folders("ListPath", key=key)
    assert [(item.name, item.is_dir) for item in root.item.items] == [(".textileseed", False), ("a", True)]
    assert root.item.name == "photos"
    assert root.item.items[1].cid.startswith("Qm")
    assert root.item.items[1].items_count == 1
    assert root.item.size == made.pinned + events[-1].pinned
    assert await folders.pull(key, ".textileseed") == made.seed
    assert [bucket.key for bucket in (await folders("List")).roots] == [key]
    assert (await folders("Root", key=key)).root == events[-1].root


@pytest.mark.parametrize("private", [False, True])
async def test_files_of_all_sizes_come_back(folders, private):
    made = await folders("Create", private=private)
    for length in (0, 1, 262_144 - 84, 262_143, 262_144, 262_145, 900_000):
        data = bytes(length)
        events = await folders.push(made.root.key, f"files/{length}", data, size=100_000)
        assert await folders.pull(made.root.key, f"files/{length}") == data
        stored = length + (84 if private else 0)
        assert events[-2].bytes == stored
        assert (events[-1].path == f"/ipfs/{cid_of(data)}") is not private
    assert len(await folders.names(made.root.key, "files")) == 7


async def test_a_private_bucket_keeps_nothing_in_the_clear(folders, house):
    made = await folders("Create", private=True)
    key = made.root.key
    await folders.push(key, "secret names/note.txt", b"a secret text")
    kept = b"".join(value for _, value in house.rooms.buckets._blocks._engine.scan(b"", b"\xff"))
    for word in (b"secret", b"note.txt", b"textileseed", made.seed):
        assert word not in kept
    assert await folders.pull(key, "secret names/note.txt") == b"a secret text"
    assert await folders.pull(key, ".textileseed") == made.seed
    item = (await folders("ListPath", key=key, path="secret names")).item
    assert (item.is_dir, [one.name for one in item.items]) == (True, ["note.txt"])
    assert item.items[0].size == len("a secret text") + 84
    assert await folders.refused("PullPathAccessRoles", key=key, path="x") == (NOT_FOUND, "could not resolve path: x")


async def test_many_files_in_one_stream(folders):
    made = await folders("Create")
    key = made.root.key
    pieces = [("one", b"a"), ("two/x", b"b"), ("one", b"c"), ("two/x", b""), ("one", b""), ("empty", b"")]
    replies = await folders.push_all(key, pieces, made.root.path)
    assert [(reply.path, reply.cid) for reply in replies] == [
        ("two/x", cid_of(b"b")),
        ("one", cid_of(b"ac")),
        ("empty", cid_of(b"")),
    ]
    assert (await folders("Root", key=key)).root.path == replies[-1].root.path
    assert await folders.names(key) == [".textileseed", "empty", "one", "two"]


async def test_what_came_before_an_error_is_saved(folders):
    made = await folders("Create")
    pieces = [("good", b"a"), ("good", b""), ("x/.textileseed", b"b")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await folders.push_all(made.root.key, pieces)
    assert caught.value.details() == "paths containing .textileseed are not allowed"
    assert await folders.names(made.root.key) == [".textileseed", "good"]


async def test_a_second_push_on_the_same_root_is_refused(folders):
    made = await folders("Create")
    key, root = made.root.key, made.root.path
    await folders.push(key, "one", b"1", root)
    for call in (folders.push(key, "two", b"2", root), folders.push_all(key, [("two", b"2"), ("two", b"")], root)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert (caught.value.code(), caught.value.details()) == (REFUSED, "update is non-fast-forward")
    refusal = await folders.refused("RemovePath", key=key, path="one", root=root)
    assert refusal == (REFUSED, "update is non-fast-forward")
    assert await folders.names(key) == [".textileseed", "one"]


@pytest.mark.parametrize("private", [False, True])
async def test_moving(folders, private):
    key = (await folders("Create", private=private)).root.key
    files = {"a/b.txt": b"1", "a/c/d.txt": b"2", "e.txt": b"3", "dir/f.txt": b"4"}
    for path, data in files.items():
        await folders.push(key, path, data)
    await folders("MovePath", key=key, from_path="a/b.txt", to_path="new/b.txt")
    assert await folders.pull(key, "new/b.txt") == b"1"
    assert await folders.names(key, "a") == ["c"]
    await folders("MovePath", key=key, from_path="a", to_path="dir")
    assert await folders.pull(key, "dir/a/c/d.txt") == b"2"
    await folders("MovePath", key=key, from_path="dir/a/c/d.txt", to_path="")
    assert await folders.pull(key, "d.txt") == b"2"
    await folders("MovePath", key=key, from_path="dir", to_path="dir/inner")
    assert await folders.pull(key, "dir/inner/f.txt") == b"4"
    await folders("MovePath", key=key, from_path="e.txt", to_path="e.txt")
    assert await folders.names(key) == [".textileseed", "d.txt", "dir", "e.txt", "new"]
    assert (await folders.refused("MovePath", key=key, from_path="", to_path="x"))[1] == "source is root directory"
    assert (await folders.refused("MovePath", key=key, from_path="dir", to_path="e.txt"))[1] == "not a directory"


@pytest.mark.parametrize("private", [False, True])
async def test_removing(folders, private):
    made = await folders("Create", private=private)
    key = made.root.key
    await folders.push(key, "a/one", b"1")
    await folders.push(key, "a/two", b"2")
    reply = await folders("RemovePath", key=key, path="a/one")
    assert reply.pinned < 0
    assert await folders.names(key, "a") == ["two"]
    code, text = await folders.refused("RemovePath", key=key, path="a/one")
    assert code is NOT_FOUND
    if private:
        assert text == f"remove node failed: could not resolve path: {reply.root.path}/a/one"
    else:
        assert text == "no link by that name"
    gone = await folders("Remove", key=key)
    assert gone.pinned < 0
    assert (await folders.refused("Root", key=key))[1].startswith("instance not found")
    assert (await folders.refused("Remove", key=key))[0] is NOT_FOUND


async def test_a_bucket_that_was_never_pushed_to_is_removed(folders):
    made = await folders("Create")
    assert (await folders("Remove", key=made.root.key)).pinned == -made.pinned
    assert not (await folders("List")).roots


@pytest.mark.parametrize("private", [False, True])
async def test_nodes_that_are_here_are_taken_into_buckets(folders, private):
    source = (await folders("Create")).root.key
    await folders.push(source, "site/index.html", b"<html>")
    await folders.push(source, "site/deep/big", bytes(600_000))
    cid = (await folders("ListPath", key=source, path="site")).item.cid
    made = await folders("Create", private=private, bootstrap_cid=cid)
    assert await folders.names(made.root.key) == [".textileseed", "deep", "index.html"]
    assert await folders.pull(made.root.key, "deep/big") == bytes(600_000)
    other = (await folders("Create", private=private)).root.key
    await folders("SetPath", key=other, path="x/y", cid=cid)
    assert await folders.pull(other, "x/y/index.html") == b"<html>"
    await folders("SetPath", key=other, path="", cid=cid)
    assert await folders.names(other) == [".textileseed", "deep", "index.html"]
    assert (await folders.refused("SetPath", key=other, path="x", cid="nonsense"))[1].startswith("invalid remote cid: ")
    missing = cid_of(b"nobody has this")
    code, text = await folders.refused("SetPath", key=other, path="x", cid=missing)
    assert code is NOT_FOUND
    assert missing in text
    assert (await folders.refused("Create", bootstrap_cid="zz"))[1].startswith("invalid bootstrap cid: ")


async def test_refusals(folders, threads_door):
    key = (await folders("Create")).root.key
    await folders.push(key, "file", b"1")
    await folders.push(key, "dir/file", b"1")
    bare = threads_door.of(buckets_service.DESCRIPTOR)
    for rpc in ("List", "Create", "Root", "Links", "ListPath", "MovePath", "Remove", "RemovePath", "Archives"):
        assert (await bare.refused(rpc))[1] == "db required"
    assert (await folders.refused("ListPath", key=key, path="no/such"))[1].startswith(
        'no link named "no" under bafybei'
    )
    for path in ("a/../file", "..", "../x"):
        assert "goes up" in (await folders.refused("ListPath", key=key, path=path))[1]
    for call in (folders.pull(key, "dir"), folders.push(key, "file/below", b"1"), folders.push(key, "", b"1")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert any(word in caught.value.details() for word in ("node is a directory", "not a directory", "the root"))
    for path in ("file", "//file", "./file", "file/"):
        assert (await folders("ListPath", key=key, path=path)).item.name == "file"
    for rpc in ("DefaultArchiveConfig", "SetDefaultArchiveConfig", "Archive"):
        assert (await folders.refused(rpc, key=key))[1] == "archiving feature is disabled"
    assert (await folders("Archives", key=key)) == pb.ArchivesResponse()
    code, text = await folders.refused("Root", key="photos")
    assert code is NOT_FOUND
    assert "no bucket of this thread has the key 'photos'" in text


@pytest.mark.parametrize(
    "name", ["é", "e\u0301", "日本 語", "#?&+%", "a b ", "%2e%2e", "new\nline", "x" * 300, "🎈", "<b>&'\"", "a\\b"]
)
async def test_odd_names(folders, name):
    key = (await folders("Create")).root.key
    await folders.push(key, f"{name}/{name}", name.encode())
    assert await folders.pull(key, f"{name}/{name}") == name.encode()
    assert await folders.names(key) == sorted([".textileseed", name], key=str.encode)


async def test_roles(as_identity):
    alice, bob = as_identity(ALICE), as_identity(BOB)
    made = await alice("Create", private=True)
    key = made.root.key
    assert made.root.owner == ALICE.public.text
    await alice.push(key, "mine/secret", b"mine")
    await alice.push(key, "shared/file", b"shared")
    assert (await bob.refused("ListPath", key=key))[1].startswith("could not resolve path: ")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bob.pull(key, "shared/file")
    assert "could not resolve path" in caught.value.details() or "no link" in caught.value.details()
    await alice("PushPathAccessRoles", key=key, path="shared/file", roles={BOB.public.text: 1})
    assert dict((await alice("PullPathAccessRoles", key=key, path="shared/file")).roles) == {BOB.public.text: 1}
    assert await bob.pull(key, "shared/file") == b"shared"
    with pytest.raises(grpc.aio.AioRpcError):
        await bob.pull(key, "mine/secret")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bob.push(key, "shared/file", b"changed")
    assert caught.value.details() == "app denied net record body: permission denied"
    await alice("PushPathAccessRoles", key=key, path="shared/file", roles={BOB.public.text: 2})
    await bob.push(key, "shared/file", b"changed")
    assert await alice.pull(key, "shared/file") == b"changed"
    assert await alice.pull(key, "mine/secret") == b"mine"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bob.push_all(key, [("other", b"x"), ("other", b"")], paths=["other"])
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == "verifying bucket update: app denied net record body: permission denied"
    assert (await bob.refused("Remove", key=key))[1] == "app denied net record body: permission denied"
    await alice("PushPathAccessRoles", key=key, path="shared/file", roles={BOB.public.text: 0})
    with pytest.raises(grpc.aio.AioRpcError):
        await bob.pull(key, "shared/file")
    text = (await alice.refused("PushPathAccessRoles", key=key, path="shared/file", roles={"nobody": 1}))[1]
    assert text.startswith("unmarshaling role public key: ")


@pytest.mark.parametrize("private", [False, True])
async def test_whoever_is_shown_nothing_of_a_bucket_is_told_that_he_may_not_change_it(as_identity, private):
    alice, bob = as_identity(ALICE), as_identity(BOB)
    key = (await alice("Create", private=private)).root.key
    await alice.push(key, "file", b"1")
    denied = "app denied net record body: permission denied"
    if not private:
        await alice("PushPathAccessRoles", key=key, path="", roles={"*": 0})
    for push, text in (
        (bob.push(key, "file", b"2"), denied),
        (bob.push(key, "new", b"2"), denied),
        (bob.push_all(key, [("file", b"2"), ("file", b"")]), denied),
        (bob.push_all(key, [("file", b"2"), ("file", b"")], paths=["file"]), f"verifying bucket update: {denied}"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await push
        assert caught.value.details() == text
    assert (await bob.refused("RemovePath", key=key, path="file"))[1] == denied
    root = (await alice("Root", key=key)).root.path.removeprefix("/ipfs/")
    for path in ("file", ""):
        assert (await bob.refused("SetPath", key=key, path=path, cid=root))[1] == denied
    assert (await bob.refused("MovePath", key=key, from_path="file", to_path="new"))[1] == denied
    wanted = denied if private else "could not resolve path: file"
    assert (await bob.refused("PushPathAccessRoles", key=key, path="file", roles={BOB.public.text: 3}))[1] == wanted
    assert (await bob.refused("Remove", key=key))[1] == denied
    assert await alice.pull(key, "file") == b"1"


async def test_a_public_bucket_is_read_by_all_and_written_by_its_owner(as_identity):
    alice, bob = as_identity(ALICE), as_identity(BOB)
    key = (await alice("Create")).root.key
    await alice.push(key, "file", b"1")
    assert await bob.pull(key, "file") == b"1"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bob.push(key, "file", b"2")
    assert caught.value.details() == "app denied net record body: permission denied"
    await alice("PushPathAccessRoles", key=key, path="", roles={"*": 2})
    await bob.push(key, "file", b"2")
    assert await alice.pull(key, "file") == b"2"


@pytest.fixture
async def on_hub(house, hub_door):
    """The buckets of a user's database on the Hub's door."""
    user_key = await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)
    stubs = hub_door.using(house.hub_metadata(user_key, house.token(ALICE)))
    await stubs("NewDB", dbID=THREAD.bytes)
    return Folders(stubs.of(buckets_service.DESCRIPTOR), THREAD, stubs.metadata)


async def test_the_hubs_door(on_hub, hub_door):
    made = await on_hub("Create", name="site")
    assert made.root.owner == ALICE.public.text
    assert dict(made.root.metadata.roles) == {"*": 1, ALICE.public.text: 3}
    await on_hub.push(made.root.key, "file", b"1")
    assert await on_hub.pull(made.root.key, "file") == b"1"
    other = on_hub.stubs.using([(n, v) for n, v in on_hub.stubs.metadata if n != "x-textile-thread"])
    assert (await other.refused("List"))[1] == "db required"


async def test_a_database_with_buckets_is_not_deleted_through_the_hub(on_hub, hub_door):
    key = (await on_hub("Create")).root.key
    databases = hub_door.using(on_hub.stubs.metadata)
    refusal = await databases.refused("DeleteDB", dbID=THREAD.bytes)
    assert refusal == (REFUSED, "DB not empty (delete buckets first)")
    await on_hub("Remove", key=key)
    await databases("DeleteDB", dbID=THREAD.bytes)


@pytest.mark.parametrize("private", [False, True])
async def test_a_root_that_comes_without_its_blocks_leaves_a_bucket_as_it_was(folders, house, tmp_path, private):
    rooms, actor = house.rooms, Actor(house.rooms.host_key.public, named=False)
    made = await folders("Create", private=private)
    key = made.root.key
    await folders.push(key, "d/a.txt", b"hello")
    served = (await folders("Root", key=key)).root.path
    async with open_rooms(tmp_path / "there") as there:
        await replicas.give_records(rooms, there, THREAD)
        await replicas.give_blocks(rooms, there)
        newest = await replicas.push(there, THREAD, actor, key, {"new.txt": b"new"})
        await replicas.give_records(there, rooms, THREAD)
        assert (await folders("Root", key=key)).root.path == served
        assert [root.path for root in (await folders("List")).roots] == [served]
        assert await folders.names(key) == [".textileseed", "d"]
        assert await folders.pull(key, "d/a.txt") == b"hello"
        assert (await folders("Links", key=key, path="d/a.txt")).url
        assert (await folders("PullPathAccessRoles", key=key, path="d")).roles == {}
        code, text = await folders.refused("Links", key=key, path="new.txt")
        assert code == NOT_FOUND
        for root in ("", served, newest.path):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await folders.push(key, "mine.txt", b"mine", root)
            assert refused.value.code() == REFUSED
            assert f"the newest root of this bucket, {newest.path}," in refused.value.details()
        code, text = await folders.refused("MovePath", key=key, from_path="d", to_path="e")
        assert (code, newest.path in text) == (REFUSED, True)
        if not private:
            items = await folders("ListIpfsPath", path=served)
            assert [item.name for item in items.item.items] == [".textileseed", "d"]
        await replicas.give_blocks(there, rooms)
        assert (await folders("Root", key=key)).root.path == newest.path
        assert await folders.pull(key, "new.txt") == b"new"
        await folders.push(key, "mine.txt", b"mine", newest.path)
        assert await folders.names(key) == [".textileseed", "d", "mine.txt", "new.txt"]
