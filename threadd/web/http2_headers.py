"""The header blocks of one HTTP/2 connection: read by the hpack library, and the same requests read once."""

import re
from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError

from threadd.web.http2_frames import ConnectionEndedError, ErrorCode, Headers, size_of

MAX_HEADER_BYTES: Final = 16 * 1024
"""The headers of one call, counted as RFC 7541 (4.1) does."""

_TABLE_BYTES: Final = 4096
_KNOWN_REQUESTS: Final = 64
_KNOWN_BYTES: Final = 16 * 1024
"""How many requests are remembered by their header blocks, and how many bytes of headers in all."""

_MANY_TABLE_UPDATES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")
"""More changes of the table's size than there is reason for at the beginning of a block (RFC 7541, 4.2)."""


class HeaderReader:
    """Reads header blocks in the order in which they came."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._decoder.max_allowed_table_size = _TABLE_BYTES
        self._known: dict[bytes, Headers] = {}
        self._known_bytes = 0

    def known(self, block: bytes) -> Headers | None:
        """What a block says that was remembered and still means the same; the same object each time."""
        return self._known.get(block)

    def read(self, block: bytes) -> Headers:
        """What a block says.

        Raises:
            ConnectionEndedError: It cannot be read, and neither can what comes after it.
        """
        if _MANY_TABLE_UPDATES.match(block):
            raise ConnectionEndedError(ErrorCode.COMPRESSION_ERROR, "the table changes its size too often")
        try:
            headers: Headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except HPACKError as error:
            raise ConnectionEndedError(ErrorCode.COMPRESSION_ERROR, "headers cannot be read") from error
        if not _is_indexed(block):
            self._forget()
        return headers

    def remember(self, block: bytes, headers: Headers) -> None:
        """Remember what a block said, if it only points into the table: it means the same until the table changes."""
        if not _is_indexed(block):
            return
        size = size_of(headers)
        if len(self._known) == _KNOWN_REQUESTS or self._known_bytes + size > _KNOWN_BYTES:
            self._forget()
        if size <= _KNOWN_BYTES:
            self._known[block] = headers
            self._known_bytes += size

    def _forget(self) -> None:
        self._known.clear()
        self._known_bytes = 0


def _is_indexed(block: bytes) -> bool:
    """Whether a block is nothing but places in the table, a byte each (RFC 7541, 6.1)."""
    return len(block) > 0 and min(block) >= 0x80 and 0xFF not in block  # noqa: PLR2004
