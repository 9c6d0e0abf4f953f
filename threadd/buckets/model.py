"""The instance of a bucket: its JSON, and what it says of paths (hub-protocol.md, section 5, "Stored instance")."""

import base64
import binascii
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import msgspec

from net import cid as cids
from net.errors import InvalidCIDError, InvalidKeyError
from net.keys import PublicKey
from threadd.buckets.dag import Link
from threadd.buckets.errors import InvalidNodeError, PathNotFoundError, RoleKeyError
from threadd.buckets.sealing import KEY_BYTES

VERSION: Final = 1
SEED: Final = ".textileseed"
ANYBODY: Final = "*"

_IPFS: Final = "/ipfs/"
_OPENS_NOTHING: Final = bytes(KEY_BYTES)


class Role(IntEnum):
    """What somebody may do with a path."""

    NONE = 0
    READER = 1
    WRITER = 2
    ADMIN = 3


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bucket says of a path.

    Args:
        roles: What each public key may do, and `*` for anybody.
        updated_at: In ns since 1970.
        key: The key of files at the path and below, in base64; empty for that of the next path above.
    """

    roles: dict[str, int]
    updated_at: int
    key: str = ""


class Deal(msgspec.Struct, frozen=True):
    """A deal to store an archive."""

    proposal_cid: str
    miner: str


class Archive(msgspec.Struct, frozen=True):
    """An archive."""

    cid: str
    deals: tuple[Deal, ...]


class Archives(msgspec.Struct, frozen=True):
    """The archives of a bucket."""

    current: Archive
    history: tuple[Archive, ...]


NO_ARCHIVES: Final = Archives(Archive("", ()), ())


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True, rename={"id": "_id", "link_key": "key"}):
    """A bucket.

    Args:
        id: Its key, which is its name in IPNS.
        owner: Text of the owner's public key; empty for none.
        name: What people call it.
        version: 1; old ones of version 0 have no metadata.
        path: `/ipfs/` and the CID of the root.
        metadata: What it says of paths.
        archives: Its archives.
        created_at: In ns since 1970.
        updated_at: In ns since 1970.
        link_key: The key of directories in base64; empty where the bucket is public.
    """

    id: str
    owner: str
    name: str
    version: int
    path: str
    metadata: dict[str, Metadata]
    archives: Archives
    created_at: int
    updated_at: int
    link_key: str = ""

    @property
    def is_private(self) -> bool:
        """Whether its content is encrypted."""
        return bool(self.link_key)

    @property
    def root(self) -> bytes:
        """The CID of its root.

        Raises:
            InvalidNodeError: Its path names none.
        """
        root = parse_root(self.path)
        if not root:
            raise InvalidNodeError(f"the path of the bucket, {self.path}, names no node")
        return root

    @property
    def link_key_bytes(self) -> bytes | None:
        """The key of directories, or None.

        Raises:
            InvalidNodeError: It is no key.
        """
        return parse_key(self.link_key) if self.link_key else None

    def paths(self) -> "Paths":
        """A copy of what it says of paths, for edits."""
        return Paths(self.version, self.is_private, self.link_key, self.metadata)

    def changed(self, paths: "Paths", updated_at: int, root: Link | None = None) -> "Bucket":
        """The bucket with other metadata, and with another root.

        Args:
            paths: What it says of paths.
            updated_at: In ns since 1970.
            root: A link to the root; None for the one that it has.
        """
        path = self.path if root is None else path_of(root.cid)
        return msgspec.structs.replace(self, metadata=dict(paths.entries), updated_at=updated_at, path=path)


class _ReadBucket(msgspec.Struct, rename={"id": "_id", "link_key": "key"}):
    """A bucket as it is read: what other versions left out is filled in."""

    id: str
    owner: str = ""
    name: str = ""
    version: int = 0
    path: str = ""
    metadata: dict[str, Metadata] | None = None
    archives: dict[str, object] | None = None
    created_at: int = 0
    updated_at: int = 0
    link_key: str = ""


_reader = msgspec.json.Decoder(_ReadBucket)


def parse_bucket(text: bytes) -> Bucket:
    """Read the instance of a bucket.

    Args:
        text: Its JSON.

    Raises:
        InvalidNodeError: It is no bucket.
    """
    try:
        read = _reader.decode(text)
        archives = NO_ARCHIVES if not read.archives else msgspec.convert(read.archives, Archives)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidNodeError(f"the instance of the bucket cannot be read: {error}") from error
    return Bucket(
        id=read.id,
        owner=read.owner,
        name=read.name,
        version=read.version,
        path=read.path,
        metadata=read.metadata or {},
        archives=archives,
        created_at=read.created_at,
        updated_at=read.updated_at,
        link_key=read.link_key,
    )


class Brief(msgspec.Struct, frozen=True):
    """What a document says of a bucket, without the metadata, of which there may be much.

    Args:
        path: The path of the root.
        owner: Text of the owner's public key; empty for none.
    """

    path: str = ""
    owner: str = ""

    @property
    def root(self) -> bytes:
        """The CID of the root; nothing where the document names none."""
        return parse_root(self.path)


_briefs = msgspec.json.Decoder(Brief)


def brief_of(document: bytes) -> Brief:
    """What a document says in brief; nothing where it is none of a bucket."""
    try:
        return _briefs.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Brief()


def bucket_json(bucket: Bucket) -> bytes:
    """The JSON of a bucket's instance."""
    return msgspec.json.encode(bucket)


def path_of(root: bytes) -> str:
    """The path of a root."""
    return _IPFS + cids.text(root)


def parse_root(path: str) -> bytes:
    """The CID of the root that a path names; nothing where it names none."""
    try:
        return cids.from_text(path.removeprefix(_IPFS).split("/")[0])
    except InvalidCIDError:
        return b""


def key_text(key: bytes) -> str:
    """A key as instances hold it."""
    return base64.b64encode(key).decode()


def parse_key(text: str) -> bytes:
    """A key as documents hold it.

    Raises:
        InvalidNodeError: It is no key.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidNodeError("a key of the bucket is not base64") from error
    if len(key) != KEY_BYTES:
        raise InvalidNodeError(f"a key of the bucket has {len(key)} bytes and not {KEY_BYTES}")
    return key


def link_key_of(text: str) -> bytes | None:
    """The link key in a document, None in that of a public bucket; one that opens nothing where the text is no key."""
    try:
        return parse_key(text) if text else None
    except InvalidNodeError:
        return _OPENS_NOTHING


def new_metadata(owner: str, file_key: bytes | None, now: int) -> dict[str, Metadata]:
    """The metadata of a new bucket.

    Args:
        owner: Text of the owner's public key; empty for none.
        file_key: The key of its files; None where it is public.
        now: In ns since 1970.
    """
    roles: dict[str, int] = {}
    if owner:
        if file_key is None:
            roles[ANYBODY] = Role.READER
        roles[owner] = Role.ADMIN
    key = "" if file_key is None else key_text(file_key)
    return {"": Metadata(roles, now, key), SEED: Metadata({}, now)}


def check_roles(roles: Mapping[str, int]) -> None:
    """Refuse roles for what is no public key.

    Raises:
        RoleKeyError: One is for something else.
    """
    for key in roles:
        if key == ANYBODY:
            continue
        try:
            PublicKey.from_text(key)
        except InvalidKeyError as error:
            raise RoleKeyError(f"unmarshaling role public key: {error.text}") from error


@dataclass(slots=True)
class Paths:
    """What a bucket says of its paths, while it is edited.

    Args:
        version: The bucket's version.
        is_private: Whether it is private.
        link_key: Its link key in base64.
        entries: What it says; a copy is made.
    """

    version: int
    is_private: bool
    link_key: str
    entries: Mapping[str, Metadata]
    _entries: dict[str, Metadata] = field(init=False)
    _order: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = dict(self.entries)
        self.entries = self._entries
        self._order = sorted(self._entries)

    def find(self, path: str, *, with_key: bool = False) -> tuple[str, Metadata] | None:
        """The entry of a path, else that of the nearest path above it.

        Args:
            path: The path.
            with_key: Whether to pass over entries without a key in a private bucket.

        Returns:
            The path of the entry and the entry, or None where there is none or it cannot be seen.
        """
        if self.version == 0:
            return path, Metadata({}, 0)
        for at in _upward(path):
            entry = self._entries.get(at)
            if entry is not None and (entry.key or not self.is_private or not with_key):
                return at, entry
        return None

    def file_key(self, path: str) -> bytes | None:
        """The key of the files at a path; None in a public bucket.

        Raises:
            PathNotFoundError: There is none that can be seen.
        """
        if not self.is_private:
            if self.find(path) is None:
                raise PathNotFoundError(f"could not resolve path: {path}")
            return None
        if self.version == 0:
            return parse_key(self.link_key)
        found = self.find(path, with_key=True)
        if found is None:
            raise PathNotFoundError(f"could not resolve path: {path}")
        return parse_key(found[1].key)

    def has_below(self, path: str) -> bool:
        """Whether there are entries of paths below one."""
        prefix = f"{path}/" if path else ""
        place = bisect_right(self._order, prefix)
        return place < len(self._order) and self._order[place].startswith(prefix)

    def touch(self, path: str, now: int) -> None:
        """Say that a path was changed: its entry keeps roles and key, entries below it are dropped."""
        if self.version == 0:
            return
        entry = self._entries.get(path)
        self.set(path, Metadata({}, now) if entry is None else Metadata(entry.roles, now, entry.key))
        self.drop(path + "/")

    def set(self, path: str, entry: Metadata) -> None:
        """Set the entry of a path."""
        if path not in self._entries:
            insort(self._order, path)
        self._entries[path] = entry

    def drop(self, prefix: str) -> None:
        """Drop the entries whose paths begin with a text."""
        if self.version == 0:
            return
        first = last = bisect_left(self._order, prefix)
        while last < len(self._order) and self._order[last].startswith(prefix):
            del self._entries[self._order[last]]
            last += 1
        del self._order[first:last]


def _upward(path: str) -> Iterator[str]:
    """A path, and all paths above it."""
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path


def split(path: str) -> list[str]:
    """The parts of a path that was cleaned."""
    return path.split("/") if path else []


def encoded(names: Iterable[str]) -> list[bytes]:
    """Parts of a path as directories hold them."""
    return [name.encode("utf-8", "surrogateescape") for name in names]
