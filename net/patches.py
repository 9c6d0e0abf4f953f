"""The body of a DB's record: the patches of one transaction (threads-protocol.md, "Blocks").

`{patches: [{iD, patch: {type, jSONPatch, instanceID}, timestamp, collectionName}]}` in canonical DAG-CBOR.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from net import cbor
from net.errors import InvalidBlockError, InvalidBodyError

MAX_TIMESTAMP = (1 << 63) - 1

_BODY_START = cbor.head(5, 1) + cbor.text_string("patches")
_PATCH_START = cbor.head(5, 4) + cbor.text_string("iD")
_OPERATION = cbor.text_string("patch") + cbor.head(5, 3) + cbor.text_string("type")
_JSON = cbor.text_string("jSONPatch")
_INSTANCE = cbor.text_string("instanceID")
_TIMESTAMP = cbor.text_string("timestamp")
_COLLECTION = cbor.text_string("collectionName")


class PatchType(enum.IntEnum):
    """What a patch does to its instance."""

    CREATE = 0
    SAVE = 1
    DELETE = 2


_STARTS = {kind: _OPERATION + cbor.integer(kind) + _JSON for kind in PatchType}


@dataclass(frozen=True, slots=True)
class Patch:
    """One change to one instance.

    Args:
        instance_id: The instance.
        collection: The name of its collection.
        type: What is done.
        json: The JSON document (create), a merge patch of RFC 7386 (save), None (delete).
        timestamp: Nanoseconds since 1970, 0 where an old peer wrote something else.
    """

    instance_id: str
    collection: str
    type: PatchType
    json: bytes | None
    timestamp: int


def encode_body(patches: Sequence[Patch]) -> bytes:
    """Write the body of a record.

    Args:
        patches: In the order of their timestamps. Texts have no lone surrogates.

    Returns:
        Canonical DAG-CBOR.
    """
    pieces = [_BODY_START, cbor.head(4, len(patches))]
    for patch in patches:
        instance_id = cbor.text_string(patch.instance_id)
        pieces += (
            _PATCH_START,
            instance_id,
            _STARTS[patch.type],
            cbor.NULL if patch.json is None else cbor.byte_string(patch.json),
            _INSTANCE,
            instance_id,
            _TIMESTAMP,
            cbor.integer(patch.timestamp),
            _COLLECTION,
            cbor.text_string(patch.collection),
        )
    return b"".join(pieces)


def decode_body(body: bytes) -> list[Patch]:
    """Read the body of a record.

    Args:
        body: DAG-CBOR from any peer.

    Returns:
        The patches in the order in which they stand there.

    Raises:
        InvalidBodyError: It is no DAG-CBOR or of another shape.
    """
    try:
        content = cbor.decode(body)
    except InvalidBlockError as error:
        raise InvalidBodyError from error
    if not isinstance(content, dict):
        raise InvalidBodyError
    patches = content.get("patches")
    if not isinstance(patches, list):
        raise InvalidBodyError
    return [_patch(item) for item in patches]


def _patch(item: object) -> Patch:
    if not isinstance(item, dict):
        raise InvalidBodyError
    operation = item.get("patch")
    instance_id, collection = item.get("iD"), item.get("collectionName")
    if not (isinstance(operation, dict) and isinstance(instance_id, str) and isinstance(collection, str)):
        raise InvalidBodyError
    number, json = operation.get("type"), operation.get("jSONPatch")
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidBodyError
    try:
        kind = PatchType(number)
    except ValueError as error:
        raise InvalidBodyError(f"invalid record body: unknown operation {number}") from error
    if kind is PatchType.DELETE:
        json = None
    elif not isinstance(json, bytes):
        raise InvalidBodyError
    return Patch(instance_id, collection, kind, json, _timestamp(item.get("timestamp")))


def _timestamp(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TIMESTAMP:
        return 0
    return value
