"""The commands about buckets: list them, move their files, write them to CAR files, make them of such."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
import msgspec

from threadd import progress
from threadd.bucket_verbs import (
    BucketSummary,
    ExportBucket,
    ImportBucket,
    ListBuckets,
    MovedBucket,
    MovedFile,
    PullFile,
    PushFile,
)
from threadd.verbs import Request

_T = TypeVar("_T")
_Command = Callable[..., Any]

_HOURS = 12 * 3600.0
"""How long a large bucket may take, in seconds."""


class _Call(Protocol):
    """Has a request carried out: by the daemon if one runs, in this process otherwise."""

    def __call__(
        self,
        repo: str | None,
        request: Request,
        result: type[_T],
        /,
        *,
        must_exist: bool = False,
        seconds: float = 60.0,
    ) -> _T: ...


class _ShowTable(Protocol):
    """Prints rows below a header, or JSON."""

    def __call__(
        self, found: object, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], /, *, as_json: bool
    ) -> None: ...


def add_commands(
    group: click.Group, call: _Call, show_table: _ShowTable, repo_option: _Command, json_option: _Command
) -> None:
    """Add the commands to a group.

    Args:
        group: The group.
        call: Has a request carried out.
        show_table: Prints rows.
        repo_option: Adds ``--repo`` to a command.
        json_option: Adds ``--json`` to a command.
    """

    @group.group("buckets")
    def buckets() -> None:
        """Look at the buckets, put files into them, take files out, and move them as CAR files."""

    @buckets.command("ls")
    @repo_option
    @json_option
    def list_buckets(repo: str | None, *, as_json: bool) -> None:
        """List all buckets, whoever owns them. Works whether or not the daemon runs."""
        found = call(repo, ListBuckets(), list[BucketSummary], must_exist=True)
        rows = [
            (each.key, each.name, "private" if each.private else "public", str(each.size), each.thread)
            for each in found
        ]
        show_table(found, ("KEY", "NAME", "KIND", "BYTES", "THREAD"), rows, as_json=as_json)

    @buckets.command("export")
    @click.argument("key")
    @click.argument("file", type=click.Path(path_type=Path))
    @repo_option
    @json_option
    def export_bucket(key: str, file: Path, repo: str | None, *, as_json: bool) -> None:
        """Write the public bucket KEY to the CAR file FILE, which must be new.

        \b
        Example:
          threadd buckets export bafzbei... site.car
        """  # noqa: D301  click looks for the character
        total = _size(call, repo, key) if progress.is_shown(as_json=as_json) else 0
        with progress.watched("writing", total, lambda: progress.size_of(file), as_json=as_json):
            done = call(repo, ExportBucket(key, str(file.absolute())), MovedBucket, must_exist=True, seconds=_HOURS)
        _say(done, f"wrote {done.blocks} blocks of {done.path} to {file}", as_json=as_json)

    @buckets.command("import")
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @click.option("--thread", required=True, help="The thread that the bucket is made in.")
    @click.option("--name", default="", help="What it is called.")
    @click.option("--private", is_flag=True, help="Encrypt its content.")
    @repo_option
    @json_option
    def import_bucket(file: Path, thread: str, name: str, repo: str | None, *, private: bool, as_json: bool) -> None:
        """Make a bucket of the directory in the CAR file FILE; it belongs to the account of the command line's keys.

        \b
        Example:
          threadd buckets import site.car --thread bafk... --name site
        """  # noqa: D301  click looks for the character
        request = ImportBucket(str(file.absolute()), thread, name, private)
        with progress.watched("reading", 0, lambda: 0, as_json=as_json):
            done = call(repo, request, MovedBucket, must_exist=True, seconds=_HOURS)
        _say(done, f"made the bucket {done.key} of {done.blocks} blocks: {done.path}", as_json=as_json)

    _add_files(buckets, call, repo_option, json_option)


def _add_files(buckets: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @buckets.command("push")
    @click.argument("key")
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @click.argument("path", default="")
    @repo_option
    @json_option
    def push_file(key: str, file: Path, path: str, repo: str | None, *, as_json: bool) -> None:
        """Put FILE into the bucket KEY at PATH, or at its root under the name of the file.

        The bucket must have no owner, or belong to the account of the command line's keys, or let that account write.

        \b
        Example:
          threadd buckets push bafzbei... ./index.html docs/index.html
        """  # noqa: D301  click looks for the character
        request = PushFile(key, path or file.name, str(file.absolute()))
        with progress.watched("pushing", 0, lambda: 0, as_json=as_json):
            done = call(repo, request, MovedFile, must_exist=True, seconds=_HOURS)
        _say(done, f"pushed {done.size} bytes to {done.path}: {done.root}", as_json=as_json)

    @buckets.command("pull")
    @click.argument("key")
    @click.argument("path")
    @click.argument("file", type=click.Path(path_type=Path))
    @repo_option
    @json_option
    def pull_file(key: str, path: str, file: Path, repo: str | None, *, as_json: bool) -> None:
        """Write what is at PATH in the bucket KEY, whoever owns it, to FILE, which must be new.

        \b
        Example:
          threadd buckets pull bafzbei... docs/index.html ./index.html
        """  # noqa: D301  click looks for the character
        with progress.watched("pulling", 0, lambda: 0, as_json=as_json):
            request = PullFile(key, path, str(file.absolute()))
            done = call(repo, request, MovedFile, must_exist=True, seconds=_HOURS)
        _say(done, f"pulled {done.size} bytes of {done.path} to {file}", as_json=as_json)


def _size(call: _Call, repo: str | None, key: str) -> int:
    found = call(repo, ListBuckets(), list[BucketSummary], must_exist=True)
    return next((bucket.size for bucket in found if bucket.key == key), 0)


def _say(done: MovedBucket | MovedFile, text: str, *, as_json: bool) -> None:
    click.echo(msgspec.json.encode(done).decode() if as_json else text)
