"""What there is to know of threads, logs and records that are kept here."""

from dataclasses import dataclass

from net.keys import PrivateKey, PublicKey
from net.records import Record
from net.thread_id import ThreadID
from net.thread_key import ThreadKey


@dataclass(frozen=True, slots=True)
class LogInfo:
    """A log.

    Args:
        number: Its number in this store.
        id: The peer ID of its key.
        public_key: What verifies its records.
        private_key: What signs them; None where this host cannot write to it.
        addresses: The multiaddrs of the hosts that serve it.
        head: The CID of its last record; None where it is empty.
        counter: How many records it has.
        managed: Whether it was made here.
    """

    number: int
    id: bytes
    public_key: PublicKey
    private_key: PrivateKey | None
    addresses: tuple[bytes, ...]
    head: bytes | None
    counter: int
    managed: bool


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread.

    Args:
        number: Its number in this store.
        id: Its ID.
        key: Its keys.
        logs: Its logs, by ID.
        created: When it came here, in ns since 1970.
    """

    number: int
    id: ThreadID
    key: ThreadKey
    logs: tuple[LogInfo, ...]
    created: int


@dataclass(frozen=True, slots=True)
class AppendedRecord:
    """A record that was put at the end of a log.

    Args:
        thread: The thread.
        thread_number: Its number in this store.
        log_id: The peer ID of the log.
        log_number: Its number in this store.
        position: The record's place in the log, from 1.
        author: Whoever wrote it.
        record: The record.
    """

    thread: ThreadID
    thread_number: int
    log_id: bytes
    log_number: int
    position: int
    author: PublicKey
    record: Record


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """What a record that is kept says.

    Args:
        author: Whoever wrote it.
        body: DAG-CBOR.
    """

    author: PublicKey
    body: bytes
