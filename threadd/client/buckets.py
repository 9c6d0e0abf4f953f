"""Buckets: folders of files in a thread, and the files in them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from threadd.client.connection import Connection
from threadd.client.credentials import Metadata
from threadd.client.errors import RefusedError
from threadd.client.files import Content, pieces

SERVICE: Final = pb.DESCRIPTOR.services_by_name["APIService"]


class Role(IntEnum):
    """What somebody may do with a path; each includes those before it."""

    NOTHING = 0
    READER = 1
    WRITER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """What is known of a bucket.

    Args:
        key: What names it.
        name: Its name; empty for none.
        root: The path of its root, ``/ipfs/<cid>``; it changes with each push.
        owner: The public key of whoever made it; empty where nobody said who he is.
        created_at: Nanoseconds since 1970.
        updated_at: Nanoseconds since 1970.
    """

    key: str
    name: str
    root: str
    owner: str
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, root: pb.Root) -> "BucketInfo":
        """Take it from a reply."""
        return cls(root.key, root.name, root.path, root.owner, root.created_at, root.updated_at)


@dataclass(frozen=True, slots=True)
class Links:
    """Where a bucket or a path of it opens.

    Args:
        url: On the gateway.
        website: As a website of its own; empty where the daemon has no domain for that.
        ipns: By its name, which stays when the bucket changes.
    """

    url: str
    website: str
    ipns: str


@dataclass(frozen=True, slots=True)
class Item:
    """What is at a path.

    Args:
        name: The last part of the path.
        cid: Of its content.
        size: In bytes; of a folder, with all that is in it.
        is_folder: Whether it holds others.
        items: What a folder holds, one level deep.
    """

    name: str
    cid: str
    size: int
    is_folder: bool
    items: tuple["Item", ...]

    @classmethod
    def of(cls, item: pb.PathItem) -> "Item":
        """Take it from a reply."""
        return cls(item.name, item.cid, item.size, item.is_dir, tuple(map(cls.of, item.items)))


class Bucket:
    """A bucket of a daemon; `Buckets` gives it.

    Args:
        connection: The line to the daemon.
        metadata: Names its thread.
        key: What names it.
    """

    def __init__(self, connection: Connection, metadata: Metadata, key: str) -> None:
        self._connection = connection
        self._metadata = metadata
        self.key = key

    async def info(self) -> BucketInfo:
        """Ask for its name and root."""
        return BucketInfo.of((await self._ask("Root", pb.RootRequest(key=self.key), pb.RootResponse)).root)

    async def links(self, path: str = "") -> Links:
        """Ask where it opens, or a path of it."""
        reply = await self._ask("Links", pb.LinksRequest(key=self.key, path=path), pb.LinksResponse)
        return Links(reply.url, reply.www, reply.ipns)

    async def list(self, path: str = "") -> Item:
        """Ask what is at a path.

        Raises:
            RefusedError: Nothing is there.
        """
        reply = await self._ask("ListPath", pb.ListPathRequest(key=self.key, path=path), pb.ListPathResponse)
        return Item.of(reply.item)

    async def push(self, path: str, content: Content, *, root: str = "") -> BucketInfo:
        """Put a file at a path; what was there is replaced.

        Args:
            path: Where; folders are made.
            content: What.
            root: The root that the bucket must have, as `BucketInfo` tells it; empty for any.

        Returns:
            What is known of the bucket now.

        Raises:
            RefusedError: The daemon refused it, such as for another root, and the bucket is as it was.
            OSError: The file cannot be read, and the bucket is as it was.
        """
        replies = self._connection.upload(
            SERVICE, "PushPath", _push_path(self.key, path, root, content), self._metadata
        )
        async with aclosing(replies):
            async for reply in replies:
                if reply.event.HasField("root"):
                    return BucketInfo.of(reply.event.root)
        raise RefusedError.unanswered()

    async def push_all(self, files: Mapping[str, Content], *, root: str = "") -> BucketInfo:
        """Put files at their paths with one change of the bucket; arguments, result and errors as `push`.

        What was taken before an error may be in the bucket.

        Raises:
            TypeError: It is no mapping of paths to contents.
        """
        if not isinstance(files, Mapping):
            raise TypeError(f"files are a mapping of paths to contents, not one {type(files).__name__}")
        replies = self._connection.upload(SERVICE, "PushPaths", _push_paths(self.key, root, files), self._metadata)
        async with aclosing(replies):
            async for _ in replies:
                pass
        return await self.info()

    async def pull(self, path: str) -> AsyncGenerator[bytes, None]:
        """Give a file in pieces.

        Raises:
            RefusedError: There is no such file.
        """
        request = pb.PullPathRequest(key=self.key, path=path)
        replies = self._connection.follow(SERVICE, "PullPath", request, pb.PullPathResponse, self._metadata)
        async with aclosing(replies):
            async for reply in replies:
                yield reply.chunk

    async def read(self, path: str) -> bytes:
        """Give a file whole; errors as `pull`."""
        return b"".join([piece async for piece in self.pull(path)])

    async def download(self, path: str, to: Path) -> None:
        """Write a file to this machine; errors as `pull`.

        Args:
            path: Which file.
            to: Where to; what is there is replaced once all has come.
        """
        partial = to.with_name(f".{to.name}.part")
        try:
            with partial.open("wb") as file:
                async for piece in self.pull(path):
                    file.write(piece)
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)

    async def put(self, path: str, cid: str) -> None:
        """Put a node that the daemon has already at a path."""
        await self._ask("SetPath", pb.SetPathRequest(key=self.key, path=path, cid=cid), pb.SetPathResponse)

    async def move(self, path: str, to: str) -> None:
        """Move what is at a path."""
        request = pb.MovePathRequest(key=self.key, from_path=path, to_path=to)
        await self._ask("MovePath", request, pb.MovePathResponse)

    async def remove(self, path: str, *, root: str = "") -> BucketInfo:
        """Delete what is at a path; root and errors as `push`."""
        request = pb.RemovePathRequest(key=self.key, path=path, root=root)
        return BucketInfo.of((await self._ask("RemovePath", request, pb.RemovePathResponse)).root)

    async def roles(self, path: str = "") -> dict[str, Role]:
        """Ask who may do what with a path, by public key; ``*`` is everybody."""
        request = pb.PullPathAccessRolesRequest(key=self.key, path=path)
        reply = await self._ask("PullPathAccessRoles", request, pb.PullPathAccessRolesResponse)
        return {who: Role(role) for who, role in reply.roles.items()}

    async def set_roles(self, roles: Mapping[str, Role], path: str = "") -> None:
        """Say who may do what with a path; `Role.NOTHING` takes a role away."""
        given = {who: pb.PathAccessRole.ValueType(role) for who, role in roles.items()}
        request = pb.PushPathAccessRolesRequest(key=self.key, path=path, roles=given)
        await self._ask("PushPathAccessRoles", request, pb.PushPathAccessRolesResponse)

    async def delete(self) -> None:
        """Delete it with all that is in it."""
        await self._ask("Remove", pb.RemoveRequest(key=self.key), pb.RemoveResponse)

    async def _ask(self, rpc: str, request: Any, reply: Any) -> Any:
        return await self._connection.unary(SERVICE, rpc, request, reply, self._metadata)


class Buckets:
    """The buckets of a thread; `Database.buckets` gives them.

    Args:
        connection: The line to the daemon.
        thread: The ID of the thread.
    """

    def __init__(self, connection: Connection, thread: ThreadID) -> None:
        self._connection = connection
        self._metadata = [("x-textile-thread", thread.text)]

    async def create(self, name: str = "", *, private: bool = False, bootstrap: str = "") -> Bucket:
        """Make a bucket.

        Args:
            name: Its name; empty for none.
            private: Whether its files are encrypted.
            bootstrap: The CID of a folder that the daemon has already, to begin with; empty for none.
        """
        request = pb.CreateRequest(name=name, private=private, bootstrap_cid=bootstrap)
        reply = await self._connection.unary(SERVICE, "Create", request, pb.CreateResponse, self._metadata)
        return self.bucket(reply.root.key)

    async def list(self) -> list[BucketInfo]:
        """List the buckets."""
        reply = await self._connection.unary(SERVICE, "List", pb.ListRequest(), pb.ListResponse, self._metadata)
        return [BucketInfo.of(root) for root in reply.roots]

    def bucket(self, key: str) -> Bucket:
        """Give a bucket; the daemon is not asked."""
        return Bucket(self._connection, self._metadata, key)


async def _push_path(key: str, path: str, root: str, content: Content) -> AsyncGenerator[pb.PushPathRequest, None]:
    yield pb.PushPathRequest(header=pb.PushPathRequest.Header(key=key, path=path, root=root))
    async with aclosing(pieces(content)) as coming:
        async for piece in coming:
            yield pb.PushPathRequest(chunk=piece)


async def _push_paths(key: str, root: str, files: Mapping[str, Content]) -> AsyncGenerator[pb.PushPathsRequest, None]:
    yield pb.PushPathsRequest(header=pb.PushPathsRequest.Header(key=key, root=root, paths=list(files)))
    for path, content in files.items():
        async with aclosing(pieces(content)) as coming:
            async for piece in coming:
                yield pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=path, data=piece))
        # A piece without data ends a file.
        yield pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=path))
