"""Metadata, time limits and statuses as texts: what travels in headers, in blocks, and in the first websocket message.

The sources are PROTOCOL-HTTP2.md of the grpc project and the Hub's facts (section 1).
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from store.errors import StatusCode
from threadd.api.dispatcher import REQUEST_ID
from threadd.api.statuses import fit
from threadd.logs import current_request_id
from threadd.web.frames import FramingError

Metadata: TypeAlias = list[tuple[str, str | bytes]]

MAX_METADATA_BYTES: Final = 64 * 2**10
"""The most bytes of metadata that are taken with a call."""

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_TIMEOUT_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_NAME = re.compile(r"[0-9a-z_.-]+", re.ASCII)
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")

# What belongs to the carrier. The JS clients of the Hub put a `host` into the metadata as well.
_NOT_METADATA: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "te", "transfer-encoding", "upgrade", "x-grpc-web"},
)


def from_lines(data: bytes) -> Metadata:
    r"""Read the first message of a websocket call.

    Args:
        data: Lines of `name: value\r\n`; several values of a name, joined by a comma and a space, stay one value.

    Raises:
        FramingError: It is something else.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise FramingError(f"metadata of {len(data)} bytes is larger than the {MAX_METADATA_BYTES} that are taken")
    fields = []
    for line in data.split(b"\n"):
        text = line.strip(b"\r\t ")
        if not text:
            continue
        name, colon, value = text.partition(b":")
        if not colon:
            raise FramingError("the first message of a call holds metadata: lines of name, colon and value")
        fields.append((name, value))
    return from_fields(fields)


def from_fields(fields: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """Read headers.

    Args:
        fields: Names and values, as they were sent.

    Returns:
        Lower-case names with texts, or with bytes if the name ends with `-bin`; without what belongs to the carrier.

    Raises:
        FramingError: A name or a value is none.
    """
    metadata: Metadata = []
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1").lower()
        if name in _NOT_METADATA:
            continue
        if not _NAME.fullmatch(name):
            raise FramingError(f"{name!r} is not a name of metadata")
        try:
            value = raw_value.strip(b"\t ").decode("ascii")
        except UnicodeDecodeError:
            raise FramingError(f"the metadata {name} is not ASCII") from None
        if not value.isprintable() and _CONTROL.search(value):  # the first is twenty times as fast
            raise FramingError(f"the metadata {name} contains a control character")
        if name.endswith("-bin"):
            metadata += [(name, _from_base64(name, piece.strip())) for piece in value.split(",")]
        else:
            metadata.append((name, value))
    return metadata


def _from_base64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise FramingError(f"the metadata {name} is not base64") from None


def timeout_of(metadata: Metadata) -> float | None:
    """How long a call may take, in seconds; None where its client names no limit.

    Raises:
        FramingError: `grpc-timeout` is not of the form of the specification.
    """
    for name, value in metadata:
        if name == "grpc-timeout":
            matched = _TIMEOUT.fullmatch(str(value))
            if matched is None:
                raise FramingError(f"grpc-timeout is {value!r}: write up to 8 digits and one of H, M, S, m, u, n")
            return int(matched[1]) * _TIMEOUT_UNITS[matched[2]]
    return None


def status_fields(code: StatusCode, text: str, request_id: str = "") -> list[tuple[str, str]]:
    """How a call ended, as trailers; it is named as it stands in the log.

    Args:
        code: The status code.
        text: The status text, which is cut to what a trailer takes; empty if there is nothing to say.
        request_id: The name of the call; empty for that of the call in whose course this is said, if there is one.
    """
    fields = [("grpc-status", str(int(code))), ("grpc-message", percent_encode(fit(text)))]
    if not request_id and (current := current_request_id.get()) is not None:
        request_id = current()
    if request_id:
        fields.append((REQUEST_ID, request_id))
    return fields


def percent_encode(text: str) -> str:
    """Make printable ASCII of a status text: `%XX` for every other byte of its UTF-8, and for the percent sign.

    A space at either end is encoded too, as a header loses it there.
    """
    data = text.encode("utf-8", "replace")
    last = len(data) - 1
    return "".join(
        chr(byte)
        if (0x21 <= byte <= 0x7E and byte != 0x25) or (byte == 0x20 and 0 < position < last)  # noqa: PLR2004
        else f"%{byte:02X}"
        for position, byte in enumerate(data)
    )
