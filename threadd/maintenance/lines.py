"""The lines of an exported database: JSON objects, one a line, in this order.

The first is `Header`, then collections, owners, logs, records (log by log, by position), records beside the logs (by
position), instances, and `End`, so that a file that was cut short is refused. Bytes are in base64. The file holds the
thread's keys and the private keys of its logs.
"""

from typing import Final, TypeAlias

import msgspec

VERSION: Final = 2
"""Version 1 had no records beside logs."""


class Header(msgspec.Struct, frozen=True, tag="database"):
    """The database and its thread.

    Args:
        version: The version of this form.
        thread: The thread's ID.
        name: The database's name.
        service_key: 32 bytes.
        read_key: 32 bytes.
        created: When the thread came to where it is exported from, in ns since 1970.
        sequence: How many changes there were.
        timestamp: The latest time of a patch, in ns since 1970.
    """

    version: int
    thread: str
    name: str
    service_key: bytes
    read_key: bytes
    created: int
    sequence: int
    timestamp: int


class IndexLine(msgspec.Struct, frozen=True):
    """An index: its path, and whether it is unique."""

    path: str
    unique: bool


class CollectionLine(msgspec.Struct, frozen=True, tag="collection"):
    """A collection; its schema is a text, since its characters count."""

    name: str
    schema: str
    indexes: tuple[IndexLine, ...]
    write_validator: str
    read_filter: str


class LogLine(msgspec.Struct, frozen=True, tag="log"):
    """A log.

    Args:
        id: Its peer ID.
        public_key: libp2p's protobuf form.
        private_key: libp2p's protobuf form, or nothing.
        addresses: Multiaddrs of the hosts that serve it.
        managed: Whether it is written where it is exported from.
        identities: The public keys of those who write to it there.
        head: The CID of its last record.
        counter: How many records it has.
    """

    id: bytes
    public_key: bytes
    private_key: bytes
    addresses: tuple[bytes, ...]
    managed: bool
    identities: tuple[bytes, ...]
    head: bytes
    counter: int


class _Kept(msgspec.Struct, frozen=True):
    """A record: its log, its position there, its four blocks as they are kept, and why it is not applied."""

    log: bytes
    position: int
    record: bytes
    event: bytes
    header: bytes
    body: bytes
    refused: str = ""


class RecordLine(_Kept, frozen=True, tag="record"):
    """A record of a log, and the collections that it waits for."""

    waiting: tuple[str, ...] = ()


class BesideLine(_Kept, frozen=True, tag="beside"):
    """A record of another history of a log than the log itself; see `store.branches`."""


class PatchLine(msgspec.Struct, frozen=True, array_like=True):
    """Where a patch of an instance is: its time, its log, the position of its record there, its place in that."""

    timestamp: int
    log: bytes
    position: int
    index: int


class InstanceLine(msgspec.Struct, frozen=True, tag="instance"):
    """An instance, or one that was deleted.

    Args:
        collection: The name of its collection.
        id: Its ID.
        document: Its JSON text; None where it was deleted.
        patches: All of its patches.
    """

    collection: str
    id: str
    document: str | None
    patches: tuple[PatchLine, ...]


class OwnerLine(msgspec.Struct, frozen=True, tag="owner"):
    """Who owns the thread at the Hub: a public key, the thread's name there, the API key and the time it was made."""

    key: bytes
    name: str
    api_key: str
    created: int


class End(msgspec.Struct, frozen=True, tag="end"):
    """The end, with how many records, instances and records beside logs came before."""

    records: int
    instances: int
    beside: int = 0


Line: TypeAlias = Header | CollectionLine | LogLine | RecordLine | BesideLine | InstanceLine | OwnerLine | End

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode
