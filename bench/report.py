"""Keeps `RESULTS.md`, of which each program that measures writes its own section; what others wrote stays."""

from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"

_HEADING = "\n## "


def write_section(heading: str, text: str) -> None:
    """Put a section in the place of the one with its heading, or at the end.

    Args:
        heading: The heading, without the marks of one.
        text: Markdown.
    """
    start, *sections = RESULTS.read_text().split(_HEADING)
    new = f"{heading}\n\n{text.strip()}\n"
    names = [section.partition("\n")[0] for section in sections]
    if heading in names:
        sections[names.index(heading)] = new
    else:
        sections.append(new)
    RESULTS.write_text(_HEADING.join([start, *sections]))


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown of a table.

    Args:
        lines: The cells of each line, the header first.
    """
    marked = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in marked)
