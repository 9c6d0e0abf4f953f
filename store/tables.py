"""Every key of the store, in one place. A table is a one-byte prefix.

Numbers of threads, logs, collections and indexes are 4 bytes, positions, times and sequences 8, all big-endian, so that
the order of the keys is the order of the things. Parts of variable length that others follow are `keys.terminated`.
"""

import struct
from typing import Final

from store.keys import after_prefix, shortened, terminated, unterminated

Range = tuple[bytes, bytes]
"""The first key and the first key behind."""

FORMAT: Final = b"\x00format"
NUMBERS: Final = b"\x00numbers"

_THREAD: Final = b"\x01"
_LOG: Final = b"\x02"
_HEAD: Final = b"\x03"
_IDENTITY_LOG: Final = b"\x04"
_RECORD: Final = b"\x05"
_SEGMENT: Final = b"\x06"
_PEER: Final = b"\x07"
_BRANCH: Final = b"\x08"
_DATABASE: Final = b"\x10"
_COLLECTION: Final = b"\x11"
_DOCUMENT: Final = b"\x12"
_INDEX_ENTRY: Final = b"\x13"
_PATCH: Final = b"\x14"
_CHANGE: Final = b"\x15"
_WAITING: Final = b"\x16"
_DELETION: Final = b"\x17"
_STALE_INDEX: Final = b"\x18"
_COMPLETE_ROOT: Final = b"\x19"
_ACCOUNT: Final = b"\x20"
_ACCOUNT_NAME: Final = b"\x21"
_API_KEY: Final = b"\x22"
_OWNED_THREAD: Final = b"\x23"
_OWNED_NAME: Final = b"\x24"
_ACCOUNT_EMAIL: Final = b"\x25"
_MEMBERSHIP: Final = b"\x26"
_SESSION: Final = b"\x27"
_INVITATION: Final = b"\x28"
_REVOCATION: Final = b"\x29"
_BUCKET: Final = b"\x30"
_FILE_BLOCK: Final = b"\x40"
_FILE_BLOCK_USE: Final = b"\x41"

_UNDER_NUMBER: Final = (
    *(_LOG, _HEAD, _IDENTITY_LOG, _RECORD, _SEGMENT, _BRANCH),
    *(_COLLECTION, _DOCUMENT, _INDEX_ENTRY, _PATCH, _CHANGE, _WAITING, _STALE_INDEX, _COMPLETE_ROOT),
)

_NUMBER = struct.Struct(">I")
_TWO_NUMBERS = struct.Struct(">II")
_THREE_NUMBERS = struct.Struct(">III")
_POSITION = struct.Struct(">IIQ")
_PLACE = struct.Struct(">IQ")
_SEQUENCE = struct.Struct(">IQ")
_PATCH_ORDER = struct.Struct(">QIQI")

INDEXED_VALUE_BYTES: Final = 64
"""A longer value is cut in keys of an index and completed with a digest."""


def _whole(prefix: bytes) -> Range:
    return prefix, after_prefix(prefix)


# Threads and logs


def thread(thread_id: bytes) -> bytes:
    """Key of a thread by its ID."""
    return _THREAD + thread_id


def threads() -> Range:
    """All threads."""
    return _whole(_THREAD)


def thread_id_of(key: bytes) -> bytes:
    """The thread ID in a key of `thread`."""
    return key[1:]


def log(thread_number: int, log_id: bytes) -> bytes:
    """Key of a log by its ID."""
    return _LOG + _NUMBER.pack(thread_number) + log_id


def logs(thread_number: int) -> Range:
    """All logs of a thread, in the order of their IDs."""
    return _whole(_LOG + _NUMBER.pack(thread_number))


def head(thread_number: int, log_number: int) -> bytes:
    """Key of a log's head."""
    return _HEAD + _TWO_NUMBERS.pack(thread_number, log_number)


def heads(thread_number: int | None = None) -> Range:
    """All heads, or those of one thread; among all of them stand keys of `progress`, whose log is 0."""
    return _whole(_HEAD) if thread_number is None else (head(thread_number, 1), head(thread_number + 1, 0))


def head_of(key: bytes) -> tuple[int, int]:
    """Thread and log number in a key of `head`."""
    thread_number, log_number = _TWO_NUMBERS.unpack_from(key, 1)
    return thread_number, log_number


def identity_log(thread_number: int, identity: bytes) -> bytes:
    """Key of the log that an identity writes to here."""
    return _IDENTITY_LOG + _NUMBER.pack(thread_number) + identity


def identity_logs(thread_number: int) -> Range:
    """All identities with a log here."""
    return _whole(_IDENTITY_LOG + _NUMBER.pack(thread_number))


def identity_of(key: bytes) -> bytes:
    """The identity in a key of `identity_log`."""
    return key[5:]


def record(thread_number: int, log_number: int, position: int) -> bytes:
    """Key of a record by its position in its log, from 1."""
    return _RECORD + _POSITION.pack(thread_number, log_number, position)


def records(thread_number: int, log_number: int, first: int = 0) -> Range:
    """The records of a log from a position on."""
    return record(thread_number, log_number, first), after_prefix(
        _RECORD + _TWO_NUMBERS.pack(thread_number, log_number)
    )


def position_of(key: bytes) -> tuple[int, int]:
    """Log number and position in a key of `record`."""
    _, log_number, position = _POSITION.unpack_from(key, 1)
    return log_number, position


def segment(thread_number: int, log_number: int, number: int) -> bytes:
    """Key of what names the blocks of some records of a log (`store.blocks`); numbers go from 0."""
    return _SEGMENT + _THREE_NUMBERS.pack(thread_number, log_number, number)


def segments(thread_number: int | None = None) -> Range:
    """All segments, or those of one thread."""
    return _whole(_SEGMENT if thread_number is None else _SEGMENT + _NUMBER.pack(thread_number))


def segment_of(key: bytes) -> tuple[int, int, int]:
    """Thread number, log number and number in a key of `segment`."""
    thread_number, log_number, number = _THREE_NUMBERS.unpack_from(key, 1)
    return thread_number, log_number, number


def branch(thread_number: int, cid: bytes) -> bytes:
    """Key of a record beside its log, by its CID."""
    return _BRANCH + _NUMBER.pack(thread_number) + cid


def branches(thread_number: int | None = None) -> Range:
    """All records beside their logs, or those of one thread."""
    return _whole(_BRANCH if thread_number is None else _BRANCH + _NUMBER.pack(thread_number))


def branch_cid_of(key: bytes) -> bytes:
    """The CID in a key of a record beside its log."""
    return key[len(_BRANCH) + _NUMBER.size :]


def peer(peer_id: bytes) -> bytes:
    """Key of where another host is."""
    return _PEER + peer_id


def peers() -> Range:
    """All other hosts."""
    return _whole(_PEER)


def peer_id_of(key: bytes) -> bytes:
    """The peer ID in a key of `peer`."""
    return key[1:]


# Databases


def database(thread_number: int) -> bytes:
    """Key of the database of a thread."""
    return _DATABASE + _NUMBER.pack(thread_number)


def databases() -> Range:
    """All databases."""
    return _whole(_DATABASE)


def collection(thread_number: int, name: str) -> bytes:
    """Key of a collection by its name."""
    return _COLLECTION + _NUMBER.pack(thread_number) + name.encode()


def collections(thread_number: int) -> Range:
    """All collections of a database, by name."""
    return _whole(_COLLECTION + _NUMBER.pack(thread_number))


def all_collections() -> Range:
    """The collections of all databases."""
    return _whole(_COLLECTION)


def stale_index(thread_number: int, collection_number: int, index_number: int) -> bytes:
    """Key of the mark of an index whose entries must be rebuilt."""
    return _STALE_INDEX + _THREE_NUMBERS.pack(thread_number, collection_number, index_number)


def stale_indexes(*numbers: int) -> Range:
    """The marks of all stale indexes, of those of a thread, or of those of a collection of it."""
    return under(_STALE_INDEX, *numbers)


def stale_index_of(key: bytes) -> tuple[int, int, int]:
    """Thread, collection and index number in a key of `stale_index`."""
    thread_number, collection_number, index_number = _THREE_NUMBERS.unpack_from(key, 1)
    return thread_number, collection_number, index_number


def document(thread_number: int, collection_number: int, instance_id: str) -> bytes:
    """Key of an instance."""
    return _DOCUMENT + _TWO_NUMBERS.pack(thread_number, collection_number) + instance_id.encode()


def documents(thread_number: int, collection_number: int) -> Range:
    """All instances of a collection, in the order of their IDs."""
    return _whole(_DOCUMENT + _TWO_NUMBERS.pack(thread_number, collection_number))


def instance_id_of(key: bytes) -> str:
    """The instance ID in a key of `document`."""
    return key[9:].decode()


def index_entry(thread_number: int, collection_number: int, index_number: int, value: bytes, instance_id: str) -> bytes:
    """Key of one instance in one index.

    Args:
        thread_number: The thread.
        collection_number: The collection.
        index_number: The index.
        value: The value at the path, as `keys.scalar` has it.
        instance_id: The instance.
    """
    numbers = _THREE_NUMBERS.pack(thread_number, collection_number, index_number)
    return _INDEX_ENTRY + numbers + shortened(value, INDEXED_VALUE_BYTES) + instance_id.encode()


def index_entries(thread_number: int, collection_number: int, index_number: int) -> Range:
    """All entries of an index, in the order of the values, then of the IDs."""
    return _whole(_INDEX_ENTRY + _THREE_NUMBERS.pack(thread_number, collection_number, index_number))


def index_number_of(key: bytes) -> int:
    """The number of the index in a key of `index_entry`."""
    return int(_THREE_NUMBERS.unpack_from(key, 1)[2])


def index_entries_of_collection(thread_number: int, collection_number: int) -> Range:
    """The entries of all indexes of a collection."""
    return _whole(_INDEX_ENTRY + _TWO_NUMBERS.pack(thread_number, collection_number))


def patch(thread_number: int, collection_number: int, instance_id: str, order: tuple[int, int, int, int]) -> bytes:
    """Key of a patch: the patches of an instance lie together, by time.

    Args:
        thread_number: The thread.
        collection_number: The collection.
        instance_id: The instance.
        order: The patch's time in ns, the number of its log, the position of its record, its place in that, from 0.
    """
    return patches_of(thread_number, collection_number, instance_id)[0] + _PATCH_ORDER.pack(*order)


def patches_of(thread_number: int, collection_number: int, instance_id: str) -> Range:
    """The patches of an instance, by time."""
    numbers = _TWO_NUMBERS.pack(thread_number, collection_number)
    return _whole(_PATCH + numbers + terminated(instance_id.encode()))


def patches_of_collection(thread_number: int, collection_number: int) -> Range:
    """The patches of all instances of a collection."""
    return _whole(_PATCH + _TWO_NUMBERS.pack(thread_number, collection_number))


def patched_instance_of(key: bytes) -> str:
    """The instance ID in a key of `patch`."""
    return unterminated(key, 9)[0].decode()


def patch_order_of(key: bytes) -> tuple[int, int, int, int]:
    """Timestamp, log number, position and index in a key of `patch`."""
    _, end = unterminated(key, 9)
    timestamp, log_number, position, index = _PATCH_ORDER.unpack_from(key, end)
    return timestamp, log_number, position, index


def change(thread_number: int, sequence: int) -> bytes:
    """Key of a change by its place in the order of the database's changes."""
    return _CHANGE + _SEQUENCE.pack(thread_number, sequence)


def changes(thread_number: int, first: int = 0) -> Range:
    """The changes of a database from a sequence on."""
    return change(thread_number, first), after_prefix(_CHANGE + _NUMBER.pack(thread_number))


def sequence_of(key: bytes) -> int:
    """The sequence in a key of `change`."""
    _, sequence = _SEQUENCE.unpack_from(key, 1)
    return int(sequence)


def waiting(thread_number: int, collection: str, log_number: int, position: int) -> bytes:
    """Key of a record that waits for a collection of that name."""
    return waiting_for(thread_number, collection)[0] + _PLACE.pack(log_number, position)


def waiting_for(thread_number: int, collection: str) -> Range:
    """The records that wait for a collection, log by log."""
    return _whole(_WAITING + _NUMBER.pack(thread_number) + terminated(collection.encode()))


def all_waiting(thread_number: int) -> Range:
    """The records of a thread that wait for any collection."""
    return _whole(_WAITING + _NUMBER.pack(thread_number))


def waited_collection_of(key: bytes) -> str:
    """The name of the collection in a key of `waiting`."""
    return unterminated(key, 5)[0].decode()


def waiting_of(key: bytes) -> tuple[int, int]:
    """Log number and position in a key of `waiting`."""
    _, end = unterminated(key, 5)
    log_number, position = _PLACE.unpack_from(key, end)
    return log_number, position


def progress(thread_number: int) -> bytes:
    """Key of how far a database has come: beside its heads, which change with it, as if it were that of log 0."""
    return head(thread_number, 0)


def deletion(thread_number: int, collection_number: int, index_number: int = 0) -> bytes:
    """Key of a deletion that is under way; index 0 for the whole collection, collection 0 for the whole thread."""
    return _DELETION + _THREE_NUMBERS.pack(thread_number, collection_number, index_number)


def deletions() -> Range:
    """All deletions that are under way."""
    return _whole(_DELETION)


def deletion_of(key: bytes) -> tuple[int, int, int]:
    """Thread, collection and index number in a key of `deletion`."""
    thread_number, collection_number, index_number = _THREE_NUMBERS.unpack_from(key, 1)
    return thread_number, collection_number, index_number


def numbered() -> tuple[Range, ...]:
    """What stands under the number of a thread, table by table."""
    return tuple(_whole(table) for table in _UNDER_NUMBER)


def numbered_in_collection() -> tuple[bytes, ...]:
    """The tables of what stands under the number of a thread and that of a collection, to be completed with both."""
    return _DOCUMENT, _INDEX_ENTRY, _PATCH


def under(table: bytes, *numbers: int) -> Range:
    """What a table has under some numbers."""
    return _whole(table + b"".join(map(_NUMBER.pack, numbers)))


def numbers_of(key: bytes) -> tuple[int, int]:
    """The two numbers that a key of `numbered_in_collection` begins with."""
    first, second = _TWO_NUMBERS.unpack_from(key, 1)
    return first, second


def thread_number_of(key: bytes) -> int:
    """The number of a thread that a key of `numbered` begins with."""
    return int(_NUMBER.unpack_from(key, 1)[0])


def whole_thread(thread_number: int) -> tuple[Range, ...]:
    """Everything under a thread's number."""
    return tuple(_whole(table + _NUMBER.pack(thread_number)) for table in _UNDER_NUMBER)


# The Hub


def account(public_key: bytes) -> bytes:
    """Key of an account."""
    return _ACCOUNT + public_key


def accounts() -> Range:
    """All accounts, in the order of their keys."""
    return _whole(_ACCOUNT)


def account_name(name: str) -> bytes:
    """Key of an account by its name; case does not count."""
    return _ACCOUNT_NAME + name.casefold().encode()


def account_email(email: str) -> bytes:
    """Key of an account by the address of its mail; case does not count."""
    return _ACCOUNT_EMAIL + email.casefold().encode()


def membership(member: bytes, organisation: bytes) -> bytes:
    """Key of a developer's membership in an organisation, both by their public keys."""
    return _MEMBERSHIP + terminated(member) + organisation


def memberships(member: bytes) -> Range:
    """The organisations that a developer is a member of."""
    return _whole(_MEMBERSHIP + terminated(member))


def organisation_of(key: bytes) -> bytes:
    """The organisation in a key of `membership`."""
    return key[unterminated(key, 1)[1] :]


def session(session_id: str) -> bytes:
    """Key of a session."""
    return _SESSION + session_id.encode()


def sessions() -> Range:
    """All sessions."""
    return _whole(_SESSION)


def invitation(token: str) -> bytes:
    """Key of an invitation."""
    return _INVITATION + token.encode()


def invitations() -> Range:
    """All invitations."""
    return _whole(_INVITATION)


def revocation(identity: bytes) -> bytes:
    """Key of the end of an identity's tokens."""
    return _REVOCATION + identity


def revocations() -> Range:
    """All ends of tokens."""
    return _whole(_REVOCATION)


def revoked_identity_of(key: bytes) -> bytes:
    """The identity in a key of `revocation`."""
    return key[1:]


def api_key(key: str) -> bytes:
    """Key of an API key."""
    return _API_KEY + key.encode()


def api_keys() -> Range:
    """All API keys."""
    return _whole(_API_KEY)


def owned_thread(owner: bytes, thread_id: bytes) -> bytes:
    """Key of who owns a thread."""
    return _OWNED_THREAD + terminated(owner) + thread_id


def owned_threads(owner: bytes) -> Range:
    """The threads of an owner."""
    return _whole(_OWNED_THREAD + terminated(owner))


def all_owned_threads() -> Range:
    """The threads of all owners."""
    return _whole(_OWNED_THREAD)


def ownership_of(key: bytes) -> tuple[bytes, bytes]:
    """Owner and thread ID in a key of `owned_thread`."""
    owner, end = unterminated(key, 1)
    return owner, key[end:]


def owned_name(owner: bytes, name: str) -> bytes:
    """Key of an owner's thread by its name; case does not count."""
    return _OWNED_NAME + terminated(owner) + name.casefold().encode()


# Buckets


def bucket(key: str) -> bytes:
    """Key of what is kept of a bucket beside its instance."""
    return _BUCKET + key.encode()


def buckets() -> Range:
    """What is kept of all buckets."""
    return _whole(_BUCKET)


def bucket_key_of(key: bytes) -> str:
    """The bucket's key in a key of `bucket`."""
    return key[1:].decode()


def complete_root(thread_number: int, key: str) -> bytes:
    """Key of the last complete root of a bucket."""
    return _COMPLETE_ROOT + _NUMBER.pack(thread_number) + key.encode()


def complete_roots(thread_number: int) -> Range:
    """The last complete roots of all buckets of a thread."""
    return _whole(_COMPLETE_ROOT + _NUMBER.pack(thread_number))


def bucket_of_complete_root(key: bytes) -> str:
    """The bucket's key in a key of `complete_root`."""
    return key[5:].decode()


# Blocks of files; they have an environment of their own

FILE_BLOCK_EPOCH: Final = b"\x00epoch"


def file_block(digest: bytes) -> bytes:
    """Key of a block by the SHA2-256 digest in its CID."""
    return _FILE_BLOCK + digest


def file_blocks() -> Range:
    """All blocks, by their digests."""
    return _whole(_FILE_BLOCK)


def file_block_use(digest: bytes) -> bytes:
    """Key of the epoch in which a block was last written or built upon."""
    return _FILE_BLOCK_USE + digest


def file_block_uses(first: bytes = b"") -> Range:
    """The epochs of all blocks, by their digests, from one digest on."""
    return _FILE_BLOCK_USE + first, after_prefix(_FILE_BLOCK_USE)


def digest_of(key: bytes) -> bytes:
    """The digest in a key of `file_block` or `file_block_use`."""
    return key[1:]
