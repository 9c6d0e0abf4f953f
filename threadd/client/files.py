"""The content of files on their way to a daemon: bytes, a file of this machine, or pieces as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import Final, TypeAlias

Content: TypeAlias = bytes | Path | AsyncIterable[bytes]
"""What a file holds: all of it, where it is on this machine, or its pieces, of any size."""

PIECE_BYTES: Final = 256 * 1024
"""How much of a file one message holds at most."""


async def pieces(content: Content) -> AsyncGenerator[bytes, None]:
    """Give a content in pieces that fit into a message, none of them empty.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(content, Path):
        with await asyncio.to_thread(content.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
    elif isinstance(content, AsyncIterable):
        async for given in content:
            for piece in _cut(given):
                yield piece
    else:
        for piece in _cut(content):
            yield piece


def _cut(content: bytes) -> list[bytes]:
    return [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)]
