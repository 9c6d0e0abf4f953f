"""The client itself: a line to one door of a daemon, and what is there to be found."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from net.thread_id import ThreadID, Variant
from proto import threads_pb2 as pb
from threadd.client.connection import API, Connection
from threadd.client.credentials import ApiKey, Credentials, Identity
from threadd.client.databases import CollectionConfig, Database, DatabaseInfo, config_message
from threadd.client.errors import refused_by
from threadd.client.instances import many
from threadd.client.transactions import Conversation


class Client:
    """A client; use it as ``async with Client(...) as client``.

    Args:
        address: ``HOST:PORT`` of a gRPC door: 3006 is the Hub's, 6006 that of a plain threads daemon.
        api_key: For the Hub's door.
        token: A token of an identity that was given before; `authenticate` asks for one.
        tls: Whether to speak TLS.
        authorities: PEM text of the authorities to trust with TLS; empty for those of the system.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: ApiKey | None = None,
        token: str = "",
        tls: bool = False,
        authorities: bytes = b"",
    ) -> None:
        self._address = address
        self._credentials = Credentials(api_key, token)
        self._certificates = authorities if tls else None
        self._open: Connection | None = None

    async def __aenter__(self) -> Self:
        self._open = Connection(self._address, self._credentials, self._certificates)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            await self._open.close()

    @property
    def token(self) -> str:
        """The token that calls carry; empty for none."""
        return self._credentials.token

    async def authenticate(self, identity: Identity) -> str:
        """Prove an identity, and act for it from now on.

        Args:
            identity: The identity.

        Returns:
            The token. It does not expire: a program may keep it.

        Raises:
            RefusedError: The daemon refused it.
        """
        with refused_by(), Conversation(self._connection.converse(API, "GetToken")) as conversation:
            reply = await conversation.ask(pb.GetTokenRequest(key=identity.public))
            reply = await conversation.ask(pb.GetTokenRequest(signature=identity.sign(reply.challenge)))
            await conversation.finish()
        self._credentials.token = reply.token
        return str(reply.token)

    async def new_db(
        self,
        thread: ThreadID | str | None = None,
        *,
        name: str = "",
        collections: Sequence[CollectionConfig] = (),
    ) -> Database:
        """Make a database over a new thread.

        Args:
            thread: The ID of the thread; made anew when left out.
            name: The name of the database.
            collections: Its first collections.

        Raises:
            RefusedError: The daemon refused it.
        """
        thread_id = ThreadID.random(Variant.RAW, os.urandom) if thread is None else _thread_id(thread)
        configs = [config_message(config) for config in many(collections, "collections")]
        request = pb.NewDBRequest(dbID=thread_id.bytes, name=name, collections=configs)
        await self._connection.unary(API, "NewDB", request, pb.NewDBReply)
        return Database(self._connection, thread_id)

    def db(self, thread: ThreadID | str) -> Database:
        """Give a database that is there; the daemon is not asked.

        Args:
            thread: The ID of its thread.

        Raises:
            InvalidThreadIDError: The text is no ID.
        """
        return Database(self._connection, _thread_id(thread))

    async def list_dbs(self) -> list[DatabaseInfo]:
        """List all databases of a threads door; the Hub's door refuses it."""
        reply = await self._connection.unary(API, "ListDBs", pb.ListDBsRequest(), pb.ListDBsReply)
        return [DatabaseInfo.of(ThreadID.from_bytes(db.dbID), db.info) for db in reply.dbs]

    @property
    def _connection(self) -> Connection:
        if self._open is None:
            raise RuntimeError("the client is not open: use it as `async with Client(...) as client`")
        return self._open


def _thread_id(thread: ThreadID | str) -> ThreadID:
    return ThreadID.from_text(thread) if isinstance(thread, str) else thread
