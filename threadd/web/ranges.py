"""Parts of files, as RFC 9110 has requests ask for them; no I/O."""

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII)


class UnsatisfiableRangeError(ValueError):
    """A range begins behind the end of the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range header.

    Args:
        header: Its value; None where there is none.
        size: The length of the file in bytes.

    Returns:
        The first byte and the first byte behind; None where the whole file is to be sent, as for several ranges.

    Raises:
        UnsatisfiableRangeError: There is no such part of the file.
    """
    found = None if header is None else _ONE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = int(found[2])
        if not length or not size:
            raise UnsatisfiableRangeError
        return max(0, size - length), size
    start = int(found[1])
    stop = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return start, stop


def has_tag(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names an entity tag, or any.

    Args:
        header: Its value; None where there is none.
        tag: A strong tag with its quotes.
    """
    if header is None:
        return False
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in header.split(","))
