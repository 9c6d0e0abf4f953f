"""The pages that the gateway makes itself; every name in them is escaped."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td{padding:.3rem .6rem;border-top:1px solid #ddd}"
    "td.size{text-align:right;white-space:nowrap;color:#666}a{color:#0645ad;text-decoration:none}"
    "td.name{word-break:break-all}a:hover{text-decoration:underline}code{word-break:break-all;color:#666}"
)
_UNIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a listing.

    Args:
        name: What it is called.
        address: Where it leads, as a URL that is ready for use.
        size: How many bytes it has; None where that is not told.
        is_directory: Whether it is a directory.
    """

    name: str
    address: str
    size: int | None = None
    is_directory: bool = False


def page(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: Plain text.
        body: HTML.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{body}</body></html>\n"
    )


def message(title: str, text: str) -> str:
    """A page that says something.

    Args:
        title: Plain text.
        text: Plain text.
    """
    return page(title, f"<p>{html.escape(text)}</p>\n")


def listing(title: str, path: str, back: str, rows: Sequence[Row]) -> str:
    """A directory.

    Args:
        title: Plain text.
        path: What it is, as plain text; empty for nothing.
        back: The URL of the directory above; empty for none.
        rows: What is in it.
    """
    lines = [f"<p><code>{html.escape(path)}</code></p>\n"] if path else []
    lines.append("<table>\n")
    if back:
        lines.append(f'<tr><td class="name"><a href="{html.escape(back)}">..</a></td><td></td></tr>\n')
    for row in rows:
        name = html.escape(row.name) + ("/" if row.is_directory else "")
        size = "" if row.size is None else size_text(row.size)
        link = f'<a href="{html.escape(row.address)}">{name}</a>'
        lines.append(f'<tr><td class="name">{link}</td><td class="size">{size}</td></tr>\n')
    lines.append("</table>\n")
    return page(title, "".join(lines))


def address(*parts: str, token: str = "", is_directory: bool = False) -> str:
    """A URL of this gateway.

    Args:
        parts: The parts of its path, as they are.
        token: What opens private content; empty for none.
        is_directory: Whether it ends in a slash.
    """
    path = "".join("/" + quote(part, safe="", errors="surrogateescape") for part in parts)
    end = "/" if is_directory else ""
    return f"{path}{end}?token={quote(token)}" if token else path + end


def size_text(size: int) -> str:
    """A size for people: `1.5 kB`."""
    if size < _UNIT:
        return f"{size} B"
    value = float(size)
    for prefix in "kMGTPE":
        value /= _UNIT
        if value < _UNIT:
            return f"{value:.1f} {prefix}B"
    return f"{value:.1f} ZB"
