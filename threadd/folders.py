"""How the path of a folder is read; it imports nothing else of this program, so that a health check starts fast."""

from pathlib import Path


def parse_folder(text: str) -> Path:
    """Read the path of a folder; `~` is the home folder, and what is relative is below the working directory."""
    return Path(text).expanduser().absolute()
