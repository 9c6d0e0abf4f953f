"""Messages on a stream, each with its length before it as an unsigned varint."""

from collections.abc import AsyncGenerator

from net import varints
from net.host.library import IOException, Stream

_READ_BYTES = 64 * 2**10
_MAX_LENGTH_BYTES = 5


class MessageTooLongError(IOException):
    """A message is longer than any that is taken."""


class NoLengthError(ValueError):
    """What comes does not begin with a length."""


async def messages(stream: Stream, most: int) -> AsyncGenerator[bytes, None]:
    """Split what a stream carries into messages.

    Args:
        stream: The stream.
        most: How many bytes a message may have.

    Yields:
        Each message without its length, until the stream ends.

    Raises:
        MessageTooLongError: One is longer.
        NoLengthError: There is no length where one has to be.
        IOException: The stream broke.
    """
    data = bytearray()
    while True:
        try:
            size, start = varints.decode(bytes(data[:_MAX_LENGTH_BYTES]))
        except varints.VarintError as error:
            if len(data) >= _MAX_LENGTH_BYTES:
                raise NoLengthError("a message without a length") from error
            size, start = 1, len(data)
        if size > most:
            raise MessageTooLongError("a message is too long")
        if len(data) >= start + size:
            yield bytes(data[start : start + size])
            del data[: start + size]
            continue
        chunk = await stream.read(_READ_BYTES)
        if not chunk:
            return
        data += chunk
