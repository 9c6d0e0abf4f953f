"""The commands that keep a repository safe: backup, restore, verify, export, import, tokens revoke."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import click
import msgspec

from store.errors import StoreError
from threadd import config, progress
from threadd.verbs import BackedUp, Backup, ImportDatabase, ImportedDb, Request, Revoked, RevokeTokens

_T = TypeVar("_T")
_Command = Callable[..., Any]

_HOURS = 12 * 3600.0
"""How long a copy or an import may take, in seconds."""

_CONFIG_FILE_NAME = "config.toml"


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


class _Faults(click.ClickException):
    """A check found something: exit code 1."""

    def show(self, file: Any = None) -> None:
        """Say nothing more."""


def add_commands(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    """Add the commands to a group.

    Args:
        group: The group.
        call: Has a request carried out.
        repo_option: Adds ``--repo`` to a command.
        json_option: Adds ``--json`` to a command.
    """
    _add_copies(group, call, repo_option, json_option)
    _add_verify(group, repo_option, json_option)
    _add_databases(group, call, repo_option, json_option)
    _add_tokens(group, call, repo_option, json_option)


def _add_copies(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @group.command("backup")
    @click.argument("folder", type=click.Path(path_type=Path))
    @repo_option
    @json_option
    def backup(folder: Path, repo: str | None, *, as_json: bool) -> None:
        """Copy everything into FOLDER, while the daemon goes on; it must be new or empty.

        The copy holds the databases, the files, the host key and the certificates as they are at that moment. Whoever
        has it can read everything and speak for this daemon: keep it as you keep the repository.

        \b
        Example:
          threadd backup /var/backups/threadd-monday
        """  # noqa: D301  click looks for the character
        kept = config.load({"repo": repo}, os.environ).repo
        copied = folder.with_name(f"{folder.name}.unfinished")
        total = progress.size_of(kept / "store", kept / "blocks")
        with progress.watched("copying", total, lambda: progress.size_of(copied), as_json=as_json):
            done = call(repo, Backup(str(folder.absolute())), BackedUp, must_exist=True, seconds=_HOURS)
        settings = _settings_file()
        if settings is not None:
            copy = folder / _CONFIG_FILE_NAME
            copy.touch(0o600)
            shutil.copyfile(settings, copy)
        _say(done, f"copied {done.size / 1e6:,.1f} MB to {done.folder}", as_json=as_json)

    @group.command("restore")
    @click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
    @repo_option
    @json_option
    def restore(folder: Path, repo: str | None, *, as_json: bool) -> None:
        """Make a repository of the backup in FOLDER; there must be none yet.

        Never run it beside the one that was copied: both have the same key. Whatever was written after the copy and
        reached another host comes back from there before this daemon writes to the same logs again, so let it meet its
        peers first.

        \b
        Example:
          threadd restore /var/backups/threadd-monday --repo ./data
        """  # noqa: D301  click looks for the character
        from store import copies  # noqa: PLC0415  it opens LMDB

        target = config.load({"repo": repo}, os.environ).repo
        label = copies.restore(folder, target)
        _say(label, f"restored {target} from the backup of version {label.version}", as_json=as_json)


def _add_verify(group: click.Group, repo_option: _Command, json_option: _Command) -> None:
    @group.command("verify")
    @click.option("--repair", is_flag=True, help="Rebuild what can be rebuilt; the daemon must not run.")
    @repo_option
    @json_option
    def verify(repo: str | None, *, repair: bool, as_json: bool) -> None:
        """Check everything that is kept: records, signatures, heads, instances, indexes, files.

        Works on a backup, too, and while a daemon runs. The exit status is 0 if all agrees, 1 if not.

        \b
        Examples:
          threadd verify
          threadd verify --repo /var/backups/threadd-monday
          threadd verify --repair
        """  # noqa: D301  click looks for the character
        from threadd.maintenance import verification  # noqa: PLC0415  it takes a while to import
        from threadd.maintenance.findings import Tally  # noqa: PLC0415

        folder = config.load({"repo": repo}, os.environ).repo
        tally = Tally()
        total = 0 if repair or not progress.is_shown(as_json=as_json) else verification.count_records(folder)
        with progress.watched("checking", total, lambda: tally.counts["records"], as_json=as_json):
            report = asyncio.run(verification.repair(folder)) if repair else verification.verify(folder, tally)
        if as_json:
            click.echo(_json(report))
        else:
            for fault in report.faults:
                click.echo(f"{fault.kind}: {fault.where}: {fault.text}{' (repairable)' if fault.repairable else ''}")
            looked_at = ", ".join(f"{count:,} {name}" for name, count in report.counts.items()) or "nothing"
            repaired = f"; {report.repaired} repaired" if repair else ""
            click.echo(f"{looked_at}: {report.fault_count or 'no'} faults{repaired}")
        if report.fault_count:
            raise _Faults("")


def _add_databases(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @group.command("export")
    @click.argument("db")
    @click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Where to; else standard output.")
    @repo_option
    @json_option
    def export(db: str, output: Path | None, repo: str | None, *, as_json: bool) -> None:
        """Write the database DB as lines of JSON: its records, its instances, its keys.

        Whoever has them can read and write the database. Works while a daemon runs; DB is the ID of its thread.

        \b
        Example:
          threadd export bafkxxxx --output things.jsonl
        """  # noqa: D301  click looks for the character
        folder = config.load({"repo": repo}, os.environ).repo
        if output is None:
            _export(folder, db, sys.stdout.buffer, as_json=as_json)
            return
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise click.ClickException(f"cannot make {output}: {error.strerror}") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                _export(folder, db, file, as_json=as_json)
                file.flush()
                os.fsync(descriptor)
        except BaseException:
            output.unlink()
            raise
        if as_json:
            click.echo(json.dumps({"id": db, "file": str(output), "size": output.stat().st_size}))

    @group.command("import")
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @repo_option
    @json_option
    def import_database(file: Path, repo: str | None, *, as_json: bool) -> None:
        """Bring in the database in FILE, as threadd export wrote it: the same thread, records and instances.

        It comes in whole or not at all. A log can be written by one host only: once a database was brought in, write
        to it here and no longer where it came from, unless the two hosts keep in step as peers.

        \b
        Example:
          threadd import things.jsonl
        """  # noqa: D301  click looks for the character
        with progress.watched("importing", 0, lambda: 0, as_json=as_json):
            done = call(repo, ImportDatabase(str(file.absolute())), ImportedDb, seconds=_HOURS)
        said = f"{done.id} {done.name}: {done.records} records, {done.instances} instances"
        _say(done, said, as_json=as_json)


def _add_tokens(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @group.group("tokens")
    def tokens() -> None:
        """Take back the tokens of users."""

    @tokens.command("revoke")
    @click.argument("identity")
    @repo_option
    @json_option
    def revoke(identity: str, repo: str | None, *, as_json: bool) -> None:
        """Make every token useless that IDENTITY has so far, and end its sessions. It may ask for new ones.

        IDENTITY is the text of a public key.

        \b
        Example:
          threadd tokens revoke bbaareixxxx
        """  # noqa: D301  click looks for the character
        done = call(repo, RevokeTokens(identity), Revoked, must_exist=True)
        said = f"the tokens of {done.identity} are no longer valid; {done.sessions} sessions ended"
        _say(done, said, as_json=as_json)


def _export(folder: Path, db: str, file: BinaryIO, *, as_json: bool) -> None:
    from net.thread_id import ThreadID  # noqa: PLC0415  it takes a while to import
    from store.copies import open_to_read  # noqa: PLC0415
    from threadd.maintenance import exporting, lines  # noqa: PLC0415

    thread = ThreadID.from_text(db)
    try:
        with open_to_read(folder) as (reader, _):
            total = exporting.count_lines(reader, thread) if progress.is_shown(as_json=as_json) else 0
            found = progress.counted(exporting.export(reader, thread), "exporting", total, as_json=as_json)
            file.writelines(lines.encode(line) + b"\n" for line in found)
        file.flush()
    except OSError as error:
        raise StoreError(f"cannot write the database: {error.strerror}") from error


def _settings_file() -> Path | None:
    named = os.environ.get("THREADD_CONFIG")
    path = Path(named) if named else config.default_config_file()
    return path if path.is_file() else None


def _say(value: object, text: str, *, as_json: bool) -> None:
    click.echo(_json(value) if as_json else text)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
