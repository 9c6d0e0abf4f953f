"""Records: what a log is a chain of (threads-protocol.md, "Blocks").

A record is four blocks: the record itself, its event, the event's header and the event's body. Record, header and body
are kept and sent sealed; the event is plain. Each block names the next by its CID, so the record's CID stands for all
four.
"""

from dataclasses import dataclass
from typing import TypeGuard

from net import cbor, cid
from net.crypto import KEY_BYTES, NONCE_BYTES, Cipher, Randomness
from net.errors import (
    BadSignatureError,
    InvalidKeyError,
    InvalidRecordError,
    InvalidThreadKeyError,
)
from net.keys import SIGNATURE_BYTES, PrivateKey, PublicKey

_EVENT_BODY = cbor.head(5, 2) + cbor.text_string("body") + cbor.LINK_PREFIX
_EVENT_HEADER = cbor.text_string("header") + cbor.LINK_PREFIX
_DIGEST_BYTES = 32
_BODY_AT = len(_EVENT_BODY)
_HEADER_AT = _BODY_AT + _DIGEST_BYTES + len(_EVENT_HEADER)
_EVENT_BYTES = _HEADER_AT + _DIGEST_BYTES

_HEADER_START = cbor.head(5, 1) + cbor.text_string("key") + cbor.head(2, KEY_BYTES)

_SIG = cbor.text_string("sig") + cbor.head(2, SIGNATURE_BYTES)
_FIRST_START = cbor.head(5, 3) + _SIG
_LATER_START = cbor.head(5, 4) + _SIG
_PREV = cbor.text_string("prev") + b"\xd8\x2a\x58\x25\x00"
_BLOCK = cbor.text_string("block") + b"\xd8\x2a\x58\x25\x00"
_PUB_KEY = cbor.text_string("pubKey") + cbor.head(2, 36)

_RANDOM_BYTES = KEY_BYTES + 3 * NONCE_BYTES


@dataclass(frozen=True, slots=True)
class RecordBlocks:
    """The four blocks of a record as they are kept and sent.

    Args:
        record: Sealed with the service key.
        event: Plain.
        header: Sealed with the read key.
        body: Sealed with the key in the header.
    """

    record: bytes
    event: bytes
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A record with the names of its blocks.

    Args:
        cid: The CID of the record, 36 bytes.
        event_cid: That of its event.
        header_cid: That of the event's header.
        body_cid: That of the event's body.
        blocks: The blocks.
    """

    cid: bytes
    event_cid: bytes
    header_cid: bytes
    body_cid: bytes
    blocks: RecordBlocks


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record says of itself once the service key has opened it. Nothing of it is verified yet.

    Args:
        cid: The record's CID.
        event_cid: The CID of its event.
        signature: By the log's key.
        author: The libp2p form of the author's public key, as it stands there.
        previous: The CID of the record before it, None for the first.
    """

    cid: bytes
    event_cid: bytes
    signature: bytes
    author: bytes
    previous: bytes | None


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record that is whole and signed with the key of its log.

    Args:
        record: Its blocks, canonical, and their names.
        previous: The CID of the record before it, None for the first.
        author: Whoever wrote it. Covered by the signature in the first record of a log only.
        body: The plain body; None where it was opened without the read key.
    """

    record: Record
    previous: bytes | None
    author: PublicKey
    body: bytes | None


def build(
    body: bytes,
    *,
    service: Cipher,
    read: Cipher,
    log_key: PrivateKey,
    author: PublicKey,
    previous: bytes | None,
    randomness: Randomness,
) -> Record:
    """Seal a body, put it into an event and the event into a signed record.

    Args:
        body: Canonical DAG-CBOR (`cbor.canonicalise` foreign ones).
        service: The thread's service key.
        read: The thread's read key.
        log_key: The log's key, which signs.
        author: The identity that writes.
        previous: The CID of the log's head, None where the log is empty.
        randomness: Asked once for 68 bytes: the body's key, the nonces of body, header and record.

    Returns:
        The record.
    """
    random = randomness(_RANDOM_BYTES)
    body_key = random[:KEY_BYTES]
    body_nonce, header_nonce, record_nonce = random[32:44], random[44:56], random[56:68]

    body_block = cbor.byte_string(Cipher(body_key).seal(body, body_nonce))
    header_block = cbor.byte_string(read.seal(_HEADER_START + body_key, header_nonce))
    body_cid, header_cid = cid.of_block(body_block), cid.of_block(header_block)
    event_block = _EVENT_BODY + body_cid[4:] + _EVENT_HEADER + header_cid[4:]
    event_cid = cid.of_block(event_block)

    author_bytes = author.bytes
    if previous is None:
        plain = _FIRST_START + log_key.sign(author_bytes)
    else:
        plain = _LATER_START + log_key.sign(event_cid + previous) + _PREV + previous
    plain += _BLOCK + event_cid + _PUB_KEY + author_bytes
    record_block = cbor.byte_string(service.seal(plain, record_nonce))
    blocks = RecordBlocks(record=record_block, event=event_block, header=header_block, body=body_block)
    return Record(cid.of_block(record_block), event_cid, header_cid, body_cid, blocks)


def open_envelope(record_block: bytes, service: Cipher) -> Envelope:
    """Open the outermost block alone.

    Args:
        record_block: As it was kept or sent.
        service: The thread's service key.

    Returns:
        What it says.

    Raises:
        DecryptionError: The key is another one, or the block was changed.
        InvalidBlockError: It is no sealed block.
        InvalidRecordError: What it holds is no record.
    """
    block = cbor.canonicalise(record_block)
    plain = cbor.decode(service.open(cbor.read_byte_string(block)))
    if not isinstance(plain, dict):
        raise InvalidRecordError
    signature, author = plain.get("sig"), plain.get("pubKey")
    event_cid, previous = plain.get("block"), plain.get("prev")
    if not (isinstance(signature, bytes) and isinstance(author, bytes) and _is_block_cid(event_cid)):
        raise InvalidRecordError
    if previous is not None and not _is_block_cid(previous):
        raise InvalidRecordError
    return Envelope(cid.of_block(block), event_cid, signature, author, previous)


def verify_envelope(envelope: Envelope, log_key: PublicKey) -> None:
    """Check the signature.

    Args:
        envelope: An opened record.
        log_key: The key of the log that it is said to stand in.

    Raises:
        BadSignatureError: Another key signed, or something else was signed.
    """
    signed = envelope.author if envelope.previous is None else envelope.event_cid + envelope.previous
    if not log_key.verify(signed, envelope.signature):
        raise BadSignatureError


def open_record(blocks: RecordBlocks, *, service: Cipher, read: Cipher | None, log_key: PublicKey) -> OpenedRecord:
    """Check a record from a peer or the store, and open it as far as the keys go.

    Args:
        blocks: As they were sent or kept.
        service: The thread's service key.
        read: The thread's read key, None where it is not known.
        log_key: The key of the log that it is said to stand in.

    Returns:
        The record.

    Raises:
        DecryptionError: A key is another one, or a sealed block was changed.
        InvalidBlockError: A block is no DAG-CBOR.
        InvalidRecordError: The blocks do not belong together, or are of another shape.
        BadSignatureError: The log's key did not sign it.
    """
    envelope = open_envelope(blocks.record, service)
    verify_envelope(envelope, log_key)
    record = _bind(blocks, envelope)
    try:
        author = PublicKey.from_bytes(envelope.author)
    except InvalidKeyError as error:
        raise InvalidRecordError("invalid record: its author is no Ed25519 key") from error
    body = None if read is None else open_body(record.blocks, read)
    return OpenedRecord(record, envelope.previous, author, body)


def open_body(blocks: RecordBlocks, read: Cipher) -> bytes:
    """Open the body of a record whose blocks are known to belong together.

    Args:
        blocks: The record's blocks, canonical.
        read: The thread's read key.

    Returns:
        The body as it was sealed, DAG-CBOR from whoever wrote it.

    Raises:
        DecryptionError: The key is another one, or a block was changed.
        InvalidBlockError: Header or body is no sealed block.
        InvalidRecordError: The header is of another shape.
    """
    header = cbor.decode(read.open(cbor.read_byte_string(blocks.header)))
    key = header.get("key") if isinstance(header, dict) else None
    if not isinstance(key, bytes):
        raise InvalidRecordError
    try:
        cipher = Cipher(key)
    except InvalidThreadKeyError as error:
        raise InvalidRecordError from error
    return cipher.open(cbor.read_byte_string(blocks.body))


def event_links(event_block: bytes) -> tuple[bytes, bytes]:
    """Read what an event links to.

    Args:
        event_block: The event, canonical.

    Returns:
        The CIDs of its header and of its body.

    Raises:
        InvalidRecordError: It is no event.
    """
    body, header = event_block[_BODY_AT : _BODY_AT + _DIGEST_BYTES], event_block[_HEADER_AT:]
    if len(event_block) != _EVENT_BYTES or event_block != _EVENT_BODY + body + _EVENT_HEADER + header:
        raise InvalidRecordError("invalid record: its event is of another shape")
    return cid.BLOCK_PREFIX + header, cid.BLOCK_PREFIX + body


def _bind(blocks: RecordBlocks, envelope: Envelope) -> Record:
    """Check that the blocks are those that the record names."""
    canonical = RecordBlocks(
        record=cbor.canonicalise(blocks.record),
        event=cbor.canonicalise(blocks.event),
        header=cbor.canonicalise(blocks.header),
        body=cbor.canonicalise(blocks.body),
    )
    event_cid, header_cid, body_cid = (
        cid.of_block(block) for block in (canonical.event, canonical.header, canonical.body)
    )
    if event_cid != envelope.event_cid or event_links(canonical.event) != (header_cid, body_cid):
        raise InvalidRecordError("invalid record: its blocks do not belong together")
    return Record(envelope.cid, event_cid, header_cid, body_cid, canonical)


def _is_block_cid(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes) and len(value) == cid.BLOCK_CID_BYTES and value.startswith(cid.BLOCK_PREFIX)
