"""Databases that live on other hosts as well: joined with the address and the key of their thread."""

from collections.abc import Sequence
from contextlib import suppress

from net.errors import InvalidAddressError, KeyMismatchError, LogExistsError, NetError
from net.keys import PrivateKey, PublicKey
from net.multiaddr import Multiaddr
from net.replication import Replication
from net.thread_key import ThreadKey
from threadd.db.collections import CollectionConfig
from threadd.db.database import Database
from threadd.db.errors import DatabaseExistsError, ReadKeyRequiredError
from threadd.db.manager import Manager


class Joining:
    """Brings databases here.

    Args:
        manager: All databases.
        replication: What goes on between this host and others.
    """

    def __init__(self, manager: Manager, replication: Replication) -> None:
        self._manager = manager
        self._replication = replication

    async def join(
        self,
        address: Multiaddr,
        *,
        key: ThreadKey,
        log_key: PrivateKey | PublicKey | None = None,
        name: str = "",
        collections: Sequence[CollectionConfig] = (),
        identity: PublicKey,
        block: bool = False,
    ) -> Database:
        """Join the database at an address; records of collections that are not given wait for them.

        An address of this host attaches to what is here, without a dial. A join that fails leaves nothing behind.

        Args:
            address: Ends in `/p2p/<host>/thread/<thread>`.
            key: The thread's keys.
            log_key: The key of the identity's log; made anew when left out.
            name: The database's name here; `unnamed` when left out.
            collections: Its collections.
            identity: Who joins.
            block: Whether to wait for the records that its hosts have; else they follow by themselves.

        Raises:
            InvalidAddressError: The address names no thread or no host.
            ReadKeyRequiredError: The key opens only the outer records.
            DatabaseExistsError: The database is here already, and the address is one of another host.
            ThreaddError: As `Manager.new_db`, `Replication.ask_for_logs` and, with `block`, `Replication.pull_thread`.
        """
        thread = address.thread_id()
        if thread is None:
            raise InvalidAddressError("invalid thread address: it must end in /thread/<thread ID>")
        if key.read is None:
            raise ReadKeyRequiredError
        known = self._manager.app_of(thread)
        if self._replication.is_own(address):
            if known is not None:
                return await self._attach(known, address, key, log_key, identity)
            self._manager.require_thread(thread)
            logs = []
        elif known is not None:
            raise DatabaseExistsError
        else:
            logs = await self._replication.ask_for_logs(address, key)
        database = await self._manager.new_db(
            thread, key=key, log_key=log_key, name=name, collections=collections, identity=identity, logs=logs
        )
        self._replication.has_joined(thread)
        if block:
            try:
                await self._replication.pull_thread(thread)
            except NetError:
                await self._manager.delete_db(thread)
                raise
        return database

    async def _attach(
        self,
        database: Database,
        address: Multiaddr,
        key: ThreadKey,
        log_key: PrivateKey | PublicKey | None,
        identity: PublicKey,
    ) -> Database:
        if database.info().key != key:
            raise KeyMismatchError
        with suppress(LogExistsError):
            await self._replication.add_thread(address, identity=identity, key=key, log_key=log_key)
        return database
