"""Messages of bitswap (`/ipfs/bitswap/1.2.0`): what is wanted and what is given, without any input or output."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from net import cid, varints
from proto import bitswap_pb2 as pb

PROTOCOLS = ("/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap")
"""The latest first."""

MAX_MESSAGE_BYTES = 4 * 2**20
"""What hosts of go-libp2p take and send at most."""

MAX_WANTED = 1024
"""How many blocks a message may ask for; more are not looked at."""

_REPLY_BYTES = 2 * 2**20
_PREFIX = cid.BLOCK_PREFIX


class InvalidMessageError(ValueError):
    """Bytes that are no message of bitswap."""


@dataclass(frozen=True, slots=True)
class Want:
    """A block that a peer asks for.

    Args:
        cid: Its CID.
        only_presence: Whether it only asks if the block is here.
        tell_absence: Whether it wants to hear that the block is not here.
    """

    cid: bytes
    only_presence: bool
    tell_absence: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a peer.

    Args:
        wants: What it asks for.
        blocks: What it gives: blocks by the CIDs that they have by our own count.
        absent: The CIDs of blocks that it does not have.
    """

    wants: tuple[Want, ...]
    blocks: Mapping[bytes, bytes]
    absent: frozenset[bytes]


def read(message: bytes) -> Heard:
    """Read a message.

    Args:
        message: Without the length before it.

    Raises:
        InvalidMessageError: It is none.
    """
    try:
        said = pb.Message.FromString(message)
    except DecodeError as error:
        raise InvalidMessageError from error
    wants = tuple(
        Want(entry.block, entry.wantType == pb.Message.Wantlist.HAVE, entry.sendDontHave)
        for entry in said.wantlist.entries[:MAX_WANTED]
        if not entry.cancel
    )
    blocks = {cid.of_block(block.data): block.data for block in said.payload if block.prefix == _PREFIX}
    dont_have = pb.Message.Presence.DONT_HAVE
    return Heard(wants, blocks, frozenset(each.cid for each in said.presences if each.type == dont_have))


def ask(cids: Iterable[bytes]) -> bytes:
    """Ask for blocks.

    Args:
        cids: Their CIDs.

    Returns:
        A message with its length before it.
    """
    entry = pb.Message.Wantlist.Entry
    entries = [entry(block=each, priority=1, sendDontHave=True) for each in cids]
    return _delimited(pb.Message(wantlist=pb.Message.Wantlist(entries=entries)))


def answer(wants: Iterable[Want], blocks: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Answer what a peer asks for.

    Args:
        wants: What it asks for.
        blocks: Those that are here, by CID.

    Yields:
        Messages with their lengths before them.
    """
    message, size = pb.Message(), 0
    kinds = pb.Message.Presence
    for want in wants:
        data = blocks.get(want.cid)
        if data is None and not want.tell_absence:
            continue
        more = len(want.cid) if data is None or want.only_presence else len(data)
        if size and size + more > _REPLY_BYTES:
            yield _delimited(message)
            message, size = pb.Message(), 0
        size += more
        if data is None:
            message.presences.append(kinds(cid=want.cid, type=kinds.DONT_HAVE))
        elif want.only_presence:
            message.presences.append(kinds(cid=want.cid, type=kinds.HAVE))
        else:
            message.payload.append(pb.Message.Block(prefix=_PREFIX, data=data))
    if size:
        yield _delimited(message)


def _delimited(message: pb.Message) -> bytes:
    data = message.SerializeToString()
    return varints.encode(len(data)) + data
