"""How far long work is, as a bar on a terminal; nothing is shown where output is read by a program."""

import contextlib
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import click

_T = TypeVar("_T")

_LOOK_SECONDS: Final = 0.2
_BLOCK_BYTES: Final = 512


def is_shown(*, as_json: bool) -> bool:
    """Whether there is somebody who looks on: both outputs are a terminal, and no JSON was asked for."""
    return not as_json and sys.stdout.isatty() and sys.stderr.isatty()


def counted(things: Iterable[_T], label: str, length: int, *, as_json: bool) -> Iterator[_T]:
    """Give things on, and show how many have come.

    Args:
        things: The things.
        label: What is done, in a word or two.
        length: How many there are, as far as known.
        as_json: Whether JSON was asked for.
    """
    if not is_shown(as_json=as_json):
        yield from things
        return
    with click.progressbar(length=max(1, length), label=label, file=sys.stderr, update_min_steps=64) as bar:
        for thing in things:
            bar.update(1)
            yield thing
        bar.update(max(0, (bar.length or 0) - bar.pos) + bar.update_min_steps)


def size_of(*paths: Path) -> int:
    """How many bytes files take, those in folders among them; none where there is nothing yet."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_blocks * _BLOCK_BYTES
    return total


@contextmanager
def watched(label: str, length: int, done: Callable[[], int], *, as_json: bool) -> Generator[None, None, None]:
    """Show how far the work of the body is, which goes on elsewhere.

    Args:
        label: What is done, in a word or two.
        length: How much there is to do; 0 where nobody knows, for a bar that moves to and fro.
        done: Tells how much is done; called by another thread.
        as_json: Whether JSON was asked for.
    """
    if not is_shown(as_json=as_json):
        yield
        return
    ended = threading.Event()
    looking = threading.Thread(target=_look, args=(label, length, done, ended))
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def _look(label: str, length: int, done: Callable[[], int], ended: threading.Event) -> None:
    if not length:
        with click.progressbar(_until(ended), label=label, file=sys.stderr, show_eta=False) as pulse:
            for _ in pulse:
                pass
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        while not ended.wait(_LOOK_SECONDS):
            bar.update(max(0, min(done(), length) - bar.pos))
        bar.update(length - bar.pos)


def _until(ended: threading.Event) -> Iterator[None]:
    while not ended.wait(_LOOK_SECONDS):
        yield None
