# ruff: noqa: INP001 - a script
"""Runs the first program of the five-minute start with Python, as it stands on its page: what `make hello` does.

.venv/bin/python docs/hello.py
"""

import os
import re
from pathlib import Path

PAGE = Path(__file__).parent / "starts" / "python.md"
DOOR = "127.0.0.1:6006"
"""The door that the page names; whoever set another one for the daemon means it here, too."""


def main() -> None:
    """Run it."""
    found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"no program in {PAGE}")
    text = found[1].replace(DOOR, os.environ.get("THREADD_THREADS_API", DOOR))
    exec(compile(text, str(PAGE), "exec"), {"__name__": "__main__"})  # noqa: S102 - a program of this tree


if __name__ == "__main__":
    main()
