"""Logs of a thread as other hosts tell of them: what is checked, what is joined with what is here, and edges over all.

Every address that a log has is one of a host that serves it, `/p2p/<peer ID>`; sets of addresses are joined and never
replaced (threads-protocol.md, "Peer protocol").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from net import edges
from net.crypto import KEY_BYTES
from net.errors import KeyMismatchError, NetError, ThreadNotFoundError
from net.keys import PublicKey
from net.multiaddr import Multiaddr, peer_address
from net.thread_id import ThreadID
from net.thread_info import LogInfo
from net.thread_key import ThreadKey
from net.threads import Threads
from store import tables
from store import threads as rows
from store.engine import Reader, Transaction
from store.errors import StatusCode
from store.threads import LogRow, ThreadRow

MAX_LOGS = 4096
"""How many logs a thread may have before no more are taken from elsewhere."""

MAX_ADDRESSES = 64
"""How many hosts of a log are remembered."""


class TooManyLogsError(NetError):
    """A thread has so many logs that no more are taken from other hosts."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "the thread has too many logs"


@dataclass(frozen=True, slots=True)
class RemoteLog:
    """A log as another host tells of it; its ID is the peer ID of its key.

    Args:
        public_key: What verifies its records.
        addresses: The hosts that serve it, each `/p2p/<peer ID>` in bytes.
    """

    public_key: PublicKey
    addresses: tuple[bytes, ...]

    @property
    def id(self) -> bytes:
        """Its ID."""
        return self.public_key.peer_id


@dataclass(frozen=True, slots=True)
class Edges:
    """One number for all addresses of a thread, one for all its heads; 0 for none."""

    addresses: int = edges.NO_EDGE
    heads: int = edges.NO_EDGE


def host_addresses(addresses: Iterable[bytes]) -> tuple[bytes, ...]:
    """Read which hosts the addresses of a log name.

    Args:
        addresses: Multiaddrs in bytes, as another host sent them; those that name no host are dropped.

    Returns:
        `/p2p/<peer ID>` of each, in bytes, once.
    """
    found: dict[bytes, None] = {}
    for address in addresses:
        if len(found) == MAX_ADDRESSES:
            break
        try:
            peer = Multiaddr.from_bytes(address).peer_id()
        except NetError:
            continue
        if peer is not None:
            found[peer_address(peer).bytes] = None
    return tuple(found)


def hosts_of(logs: Iterable[LogInfo | LogRow]) -> list[bytes]:
    """Give the peer IDs of the hosts that serve some logs, each once.

    Args:
        logs: The logs.
    """
    peers = (Multiaddr(address).peer_id() for log in logs for address in log.addresses)
    return list(dict.fromkeys(peer for peer in peers if peer is not None))


def edges_of(reader: Reader, thread: ThreadID) -> Edges:
    """Compute the edges of a thread; those of one that is not here are 0.

    Args:
        reader: The state to read.
        thread: The thread's ID.
    """
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        return Edges()
    logs = list(rows.logs_of(reader, row.number))
    heads = [(log.id, rows.get_head(reader, row.number, log.number).cid) for log in logs]
    return Edges(
        edges.address_edge((log.id, address) for log in logs for address in log.addresses),
        edges.heads_edge((log_id, head) for log_id, head in heads if head),
    )


def add_thread(
    threads: Threads,
    reader: Reader,
    transaction: Transaction,
    thread: ThreadID,
    key: ThreadKey,
    created: int,
) -> int:
    """Keep a thread that other hosts have, so that its records are followed; it has no logs yet.

    Args:
        threads: The threads.
        reader: The state to build on.
        transaction: Where it is put. It fails with a conflict if the thread comes here meanwhile.
        thread: The thread's ID.
        key: Its keys; a read key that is not here yet completes what is kept.
        created: The time, in ns since 1970.

    Returns:
        Its number.

    Raises:
        KeyMismatchError: The thread is here with other keys.
    """
    name = tables.thread(thread.bytes)
    transaction.require(name, reader.get(name))
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        number = threads.numbers.next(transaction)
        rows.put_thread(transaction, ThreadRow(number, thread.bytes, key.service, key.read or b"", created))
        return number
    if key.service != row.service_key:
        raise KeyMismatchError
    if key.read and row.read_key and key.read != row.read_key:
        raise KeyMismatchError("read-key mismatch")
    if key.read and not row.read_key:
        rows.put_thread(transaction, ThreadRow(row.number, row.id, row.service_key, key.read, row.created))
    return row.number


def join_logs(
    threads: Threads, reader: Reader, transaction: Transaction, thread: ThreadID, logs: Sequence[RemoteLog]
) -> bool:
    """Add the logs that are not here, and to those that are the hosts that are not known to serve them.

    Args:
        threads: The threads.
        reader: The state to build on.
        transaction: Where it is put. It fails with a conflict if one of the logs changes meanwhile.
        thread: The thread's ID.
        logs: As another host tells of them.

    Returns:
        Whether anything is new.

    Raises:
        ThreadNotFoundError: The thread is not here.
        TooManyLogsError: It would have too many logs.
    """
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        raise ThreadNotFoundError
    transaction.require(tables.thread(thread.bytes), reader.get(tables.thread(thread.bytes)))
    return stage_logs(threads, reader, transaction, row.number, logs)


def stage_logs(
    threads: Threads, reader: Reader, transaction: Transaction, thread_number: int, logs: Sequence[RemoteLog]
) -> bool:
    """Do as `join_logs` for a thread that may come with the same transaction.

    Args:
        threads: The threads.
        reader: The state to build on.
        transaction: Where it is put; a log that it holds already stays as it is there.
        thread_number: The number of the thread.
        logs: As another host tells of them.

    Returns:
        Whether anything is new.

    Raises:
        TooManyLogsError: It would have too many logs.
    """
    news = False
    room = MAX_LOGS - sum(1 for _ in rows.logs_of(reader, thread_number))
    for log in {each.id: each for each in logs}.values():
        known = rows.get_log(reader, thread_number, log.id)
        name = tables.log(thread_number, log.id)
        if name in transaction.puts:
            continue
        if known is None:
            room -= 1
            if room < 0:
                raise TooManyLogsError
            number = threads.numbers.next(transaction)
            transaction.require(name, None)
            rows.put_log(transaction, thread_number, LogRow(number, log.id, log.public_key.bytes, b"", log.addresses))
            news = True
        elif not set(log.addresses) <= set(known.addresses):
            transaction.require(name, reader.get(name))
            rows.put_log(transaction, thread_number, _with_addresses(known, log.addresses))
            news = True
    return news


def add_host(reader: Reader, transaction: Transaction, thread: ThreadID, host: bytes) -> list[LogRow]:
    """Say that another host serves the logs that were made here.

    Args:
        reader: The state to build on.
        transaction: Where it is put. It fails with a conflict if one of the logs changes meanwhile.
        thread: The thread's ID.
        host: The host's peer ID.

    Returns:
        The logs that were made here, as they will be.

    Raises:
        ThreadNotFoundError: The thread is not here.
    """
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        raise ThreadNotFoundError
    transaction.require(tables.thread(thread.bytes), reader.get(tables.thread(thread.bytes)))
    managed: list[LogRow] = []
    for log in list(rows.logs_of(reader, row.number)):
        if not log.managed:
            continue
        name = tables.log(row.number, log.id)
        transaction.require(name, reader.get(name))
        managed.append(_with_addresses(log, (peer_address(host).bytes,)))
        rows.put_log(transaction, row.number, managed[-1])
    return managed


def is_service_key(reader: Reader, thread: ThreadID, key: bytes) -> bool:
    """Tell whether a thread that is here has a service key.

    Args:
        reader: The state to read.
        thread: The thread's ID.
        key: 32 bytes.

    Raises:
        ThreadNotFoundError: The thread is not here.
    """
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        raise ThreadNotFoundError
    return len(key) == KEY_BYTES and key == row.service_key


def _with_addresses(log: LogRow, addresses: Iterable[bytes]) -> LogRow:
    joined = tuple(dict.fromkeys((*log.addresses, *addresses)))[:MAX_ADDRESSES]
    return LogRow(log.number, log.id, log.public_key, log.private_key, joined, log.managed)
