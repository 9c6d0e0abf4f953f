"""A database: its collections, and what happens in it."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from net.thread_id import ThreadID
from proto import threads_pb2 as pb
from threadd.client import listening
from threadd.client.buckets import Buckets
from threadd.client.collections import Collection
from threadd.client.connection import API, Connection
from threadd.client.instances import Document, many
from threadd.client.listening import Event
from threadd.client.transactions import WriteTransaction

T = TypeVar("T")

_ANY_OBJECT: Final = {"type": "object", "properties": {"_id": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """How a collection is made.

    Args:
        name: Its name.
        schema: A JSON Schema with a string ``_id``; None for any object.
        indexes: Dotted paths.
        unique: Those of the indexes whose values no two instances share.
        write_validator: JavaScript; see the protocol.
        read_filter: JavaScript; see the protocol.
    """

    name: str
    schema: dict[str, Any] | None = None
    indexes: Sequence[str] = ()
    unique: Sequence[str] = ()
    write_validator: str = ""
    read_filter: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """What is known of a database.

    Args:
        thread: The ID of its thread.
        name: Its name.
        addresses: Where others join it, multiaddr bytes.
        key: The key of its thread: who has it can read.
    """

    thread: ThreadID
    name: str
    addresses: tuple[bytes, ...]
    key: bytes

    @classmethod
    def of(cls, thread: ThreadID, reply: pb.GetDBInfoReply) -> "DatabaseInfo":
        """Take it from a reply."""
        return cls(thread, reply.name, tuple(reply.addrs), reply.key)


def config_message(config: CollectionConfig) -> pb.CollectionConfig:
    """Give a configuration as it is sent.

    Raises:
        TypeError: Its indexes are a string, and no list of paths.
    """
    unique = many(config.unique, "paths of unique indexes")
    paths = dict.fromkeys((*many(config.indexes, "paths of indexes"), *unique))
    return pb.CollectionConfig(
        name=config.name,
        schema=json.dumps(_ANY_OBJECT if config.schema is None else config.schema).encode(),
        indexes=[pb.Index(path=path, unique=path in unique) for path in paths],
        writeValidator=config.write_validator,
        readFilter=config.read_filter,
    )


class Database:
    """A database of a daemon; `Client` gives it.

    Args:
        connection: The line to the daemon.
        thread: The ID of its thread.
    """

    def __init__(self, connection: Connection, thread: ThreadID) -> None:
        self._connection = connection
        self.thread = thread

    @property
    def id(self) -> str:
        """The text of its thread's ID."""
        return self.thread.text

    @property
    def buckets(self) -> Buckets:
        """The buckets in its thread."""
        return Buckets(self._connection, self.thread)

    async def info(self) -> DatabaseInfo:
        """Ask for its name, addresses and key."""
        request = pb.GetDBInfoRequest(dbID=self.thread.bytes)
        reply = await self._connection.unary(API, "GetDBInfo", request, pb.GetDBInfoReply)
        return DatabaseInfo.of(self.thread, reply)

    async def delete(self) -> None:
        """Delete it with its thread."""
        await self._connection.unary(API, "DeleteDB", pb.DeleteDBRequest(dbID=self.thread.bytes), pb.DeleteDBReply)

    async def new_collection(
        self,
        name: str,
        *,
        schema: dict[str, Any] | None = None,
        indexes: Sequence[str] = (),
        unique: Sequence[str] = (),
        write_validator: str = "",
        read_filter: str = "",
    ) -> "Collection[Document]":
        """Add a collection; arguments as `CollectionConfig` has them."""
        config = CollectionConfig(name, schema, indexes, unique, write_validator, read_filter)
        request = pb.NewCollectionRequest(dbID=self.thread.bytes, config=config_message(config))
        await self._connection.unary(API, "NewCollection", request, pb.NewCollectionReply)
        return self.collection(name)

    async def update_collection(self, config: CollectionConfig) -> None:
        """Give a collection another configuration; its instances stay."""
        request = pb.UpdateCollectionRequest(dbID=self.thread.bytes, config=config_message(config))
        await self._connection.unary(API, "UpdateCollection", request, pb.UpdateCollectionReply)

    async def delete_collection(self, name: str) -> None:
        """Delete a collection with its instances."""
        request = pb.DeleteCollectionRequest(dbID=self.thread.bytes, name=name)
        await self._connection.unary(API, "DeleteCollection", request, pb.DeleteCollectionReply)

    async def list_collections(self) -> list[CollectionConfig]:
        """List the collections."""
        request = pb.ListCollectionsRequest(dbID=self.thread.bytes)
        reply = await self._connection.unary(API, "ListCollections", request, pb.ListCollectionsReply)
        return [
            CollectionConfig(
                found.name,
                json.loads(found.schema),
                tuple(index.path for index in found.indexes),
                tuple(index.path for index in found.indexes if index.unique),
                found.writeValidator,
                found.readFilter,
            )
            for found in reply.collections
        ]

    @overload
    def collection(self, name: str) -> "Collection[Document]": ...
    @overload
    def collection(self, name: str, kind: type[T]) -> "Collection[T]": ...
    def collection(self, name: str, kind: Any = dict) -> "Collection[Any]":
        """Give a collection; the daemon is not asked.

        Args:
            name: Its name.
            kind: What an instance is in the program: a dict, or a class that msgspec knows, such as a
                ``msgspec.Struct``, a dataclass or a ``TypedDict``.
        """
        return Collection(self._connection, self.thread, name, kind)

    def listen(
        self,
        collection: str = "",
        instance_id: str = "",
        *,
        position: int | None = None,
        snapshot: bool = False,
    ) -> "AsyncGenerator[Event[Document], None]":
        """Follow what happens; see `Collection.listen`, which knows the kind of its instances.

        Args:
            collection: The name of a collection; empty for all.
            instance_id: An instance; empty for all.
            position: After which to go on.
            snapshot: Whether to begin with all instances.
        """
        request = listening.request_of(self.thread, collection, instance_id)
        return listening.follow(self._connection, request, dict, position=position, snapshot=snapshot)

    def write_transaction(self, collection: str) -> "AbstractAsyncContextManager[WriteTransaction[Document]]":
        """Begin a transaction; see `Collection.write_transaction`."""
        return self.collection(collection).write_transaction()
