"""The commands that show what is kept, as the console does: collections, documents, the log, accounts, the daemon."""

import asyncio
import datetime as dt
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import click
import msgspec
from click.shell_completion import get_completion_class

from store.errors import StatusCode, ThreaddError
from threadd.browsing_verbs import (
    AccountSummary,
    CollectionSummary,
    ConsoleLink,
    CountDocuments,
    Counted,
    DeleteDocuments,
    FindDocuments,
    FoundDocuments,
    Link,
    ListAccounts,
    ListCollections,
    ListSizes,
    MakeToken,
    OperatorToken,
    RecordSummary,
    SavedDocument,
    SaveDocument,
    ShowLog,
    ShowStatus,
    SizeSummary,
    StatusSummary,
)
from threadd.verbs import Request

_T = TypeVar("_T")
_Command = Callable[..., Any]

_SHELLS = ("bash", "zsh", "fish")


class _Call(Protocol):
    """Has a request carried out: by the daemon if one runs, in this process otherwise."""

    def __call__(self, repo: str | None, request: Request, result: type[_T], /, *, must_exist: bool = False) -> _T: ...


class _ShowTable(Protocol):
    """Prints rows below a header, or JSON."""

    def __call__(
        self, found: object, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], /, *, as_json: bool
    ) -> None: ...


class _NoConsoleError(ThreaddError):
    """The daemon has no page to link to."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "the daemon's console is off: start it with --console HOST:PORT"


def add_commands(
    group: click.Group, call: _Call, show_table: _ShowTable, repo_option: _Command, json_option: _Command
) -> None:
    """Add the commands to a group.

    Args:
        group: The group.
        call: Has a request carried out.
        show_table: Prints what was found.
        repo_option: Adds ``--repo`` to a command.
        json_option: Adds ``--json`` to a command.
    """
    _add_daemon(group, call, repo_option, json_option)
    _add_kept(group, call, show_table, repo_option, json_option)
    documents = click.Group("docs", help="Find, count, write and follow documents, whatever read filters hide.")
    group.add_command(documents)
    _add_reads(documents, call, repo_option, json_option)
    _add_writes(documents, call, repo_option, json_option)
    _add_watch(documents)
    _add_completion(group)


def _add_daemon(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @group.command("console")
    @repo_option
    @json_option
    def console(repo: str | None, *, as_json: bool) -> None:
        """Print a link that opens the console in a browser, once, within 15 minutes."""
        link = call(repo, ConsoleLink(), Link, must_exist=True)
        if not link.url:
            raise _NoConsoleError
        click.echo(_json(link) if as_json else link.url)

    @group.command("token")
    @repo_option
    @json_option
    def token(repo: str | None, *, as_json: bool) -> None:
        """Print an operator token, good for twelve hours or until the daemon ends.

        With it, programs read metrics, the console, documents, lists of buckets, and private buckets without an owner.

        \b
        Example:
          curl -H "Authorization: Bearer $(threadd token)" http://127.0.0.1:8007/metrics
        """  # noqa: D301  click looks for the character
        made = call(repo, MakeToken(), OperatorToken, must_exist=True)
        click.echo(_json(made) if as_json else made.token)

    @group.command("status")
    @repo_option
    @json_option
    def status(repo: str | None, *, as_json: bool) -> None:
        """Tell how the daemon is doing: counters, sizes, calls, the last lines of its log."""
        found = call(repo, ShowStatus(), StatusSummary, must_exist=True)
        if as_json:
            click.echo(_json(found))
            return
        click.echo(f"threadd {found.version}, {'ready' if found.ready else 'not ready'}, up {found.uptime:.0f} s")
        click.echo(f"databases {found.databases}, listeners {found.listeners}, open calls {found.open_calls}")
        click.echo(f"commits {found.commits} in {found.batches} batches, loop late by at most {found.loop_delay:.3f} s")
        click.echo("disk " + ", ".join(f"{part} {size} bytes" for part, size in found.disk.items()))
        if found.traffic:
            last = found.traffic[-1]
            click.echo(f"reads {last.reads:.1f} a second, writes {last.writes:.1f} a second; --json has the last hour")
        for each in found.calls:
            click.echo(f"  {each.door} {each.method} {each.ended} well, {each.failed} failed, mean {each.mean:.4f} s")
        for line in found.log[-20:]:
            click.echo(line)


def _add_kept(
    group: click.Group, call: _Call, show_table: _ShowTable, repo_option: _Command, json_option: _Command
) -> None:
    @group.command("collections")
    @click.argument("db")
    @repo_option
    @json_option
    def collections(db: str, repo: str | None, *, as_json: bool) -> None:
        """List the collections of DB, the ID that `threadd dbs ls` shows."""
        found = call(repo, ListCollections(db), list[CollectionSummary], must_exist=True)
        rows = [
            (
                each.name,
                str(each.documents),
                ",".join(each.indexes),
                "yes" if each.has_validator else "no",
                "yes" if each.has_filter else "no",
            )
            for each in found
        ]
        show_table(found, ("NAME", "DOCUMENTS", "INDEXES", "VALIDATOR", "FILTER"), rows, as_json=as_json)

    @group.command("log")
    @click.argument("db")
    @click.option("--limit", default=20, show_default=True, metavar="COUNT", help="The most records of each log.")
    @repo_option
    @json_option
    def log(db: str, limit: int, repo: str | None, *, as_json: bool) -> None:
        """Show the last records of the thread of DB, with who wrote them and when, the newest first."""
        found = call(repo, ShowLog(db, limit), list[RecordSummary], must_exist=True)
        rows = [
            (
                str(each.position),
                each.log,
                each.author,
                _when(each.patches[-1].time) if each.patches else "",
                each.refused
                or ", ".join(f"{patch.action} {patch.collection}/{patch.id}" for patch in each.patches[:3]),
            )
            for each in found
        ]
        show_table(found, ("POSITION", "LOG", "AUTHOR", "TIME", "WHAT"), rows, as_json=as_json)

    @group.command("accounts")
    @repo_option
    @json_option
    def accounts(repo: str | None, *, as_json: bool) -> None:
        """List developers, organisations, and users who own threads, with how much mail each has."""
        found = call(repo, ListAccounts(), list[AccountSummary], must_exist=True)
        header = ("NAME", "KIND", "E-MAIL", "KEYS", "THREADS", "RECEIVED", "UNREAD", "SENT", "PUBLIC KEY")
        rows = [
            (each.name, each.kind, each.email, str(each.keys), str(each.threads), *_mail(each), each.key)
            for each in found
        ]
        show_table(found, header, rows, as_json=as_json)

    @group.command("sizes")
    @repo_option
    @json_option
    def sizes(repo: str | None, *, as_json: bool) -> None:
        """List how many records and bytes each database holds, the largest first; a large one takes its time."""
        found = call(repo, ListSizes(), list[SizeSummary], must_exist=True)
        rows = [(each.id, each.name, str(each.records), str(each.size)) for each in found]
        show_table(found, ("ID", "NAME", "RECORDS", "BYTES"), rows, as_json=as_json)


def _add_reads(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    query_option = click.option(
        "--query", default="{}", metavar="JSON", help="A query, as clients of the Hub send it; everything without."
    )

    @group.command("find")
    @click.argument("db")
    @click.argument("collection")
    @query_option
    @repo_option
    @json_option
    def find(db: str, collection: str, query: str, repo: str | None, *, as_json: bool) -> None:
        """Print the documents of COLLECTION in DB that a query gives, one a line.

        How it was answered, by which index or by a scan, is told on standard error.

        \b
        Example:
          threadd docs find bafk... people --query '{"limit": 5}'
        """  # noqa: D301  click looks for the character
        found = call(repo, FindDocuments(db, collection, query), FoundDocuments, must_exist=True)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
            return
        for document in found.documents:
            click.echo(bytes(document).decode())
        way = f"index on {', '.join(found.indexes)}" if found.indexes else "scan"
        click.echo(f"{way}, {found.rows_read} rows read in {found.microseconds / 1000:.1f} ms", err=True)

    @group.command("count")
    @click.argument("db")
    @click.argument("collection")
    @query_option
    @repo_option
    @json_option
    def count(db: str, collection: str, query: str, repo: str | None, *, as_json: bool) -> None:
        """Count the documents of COLLECTION in DB that a query gives."""
        found = call(repo, CountDocuments(db, collection, query), Counted, must_exist=True)
        click.echo(_json(found) if as_json else str(found.count))


def _add_writes(group: click.Group, call: _Call, repo_option: _Command, json_option: _Command) -> None:
    @group.command("save")
    @click.argument("db")
    @click.argument("collection")
    @click.argument("document", default="-")
    @repo_option
    @json_option
    def save(db: str, collection: str, document: str, repo: str | None, *, as_json: bool) -> None:
        """Create DOCUMENT in COLLECTION of DB, or replace the one with its _id, and print the ID.

        Without DOCUMENT, or with -, it is read from standard input.

        \b
        Example:
          threadd docs save bafk... people '{"name": "Ada"}'
        """  # noqa: D301  click looks for the character
        text = sys.stdin.read() if document == "-" else document
        found = call(repo, SaveDocument(db, collection, text), SavedDocument, must_exist=True)
        click.echo(_json(found) if as_json else found.id)

    @group.command("rm")
    @click.argument("db")
    @click.argument("collection")
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
    @repo_option
    @json_option
    def remove(db: str, collection: str, ids: tuple[str, ...], repo: str | None, *, as_json: bool) -> None:
        """Delete documents of COLLECTION in DB by their IDs, and print how many were there."""
        found = call(repo, DeleteDocuments(db, collection, list(ids)), Counted, must_exist=True)
        click.echo(_json(found) if as_json else str(found.count))


def _add_watch(group: click.Group) -> None:
    @group.command("watch")
    @click.argument("db")
    @click.argument("collection", default="")
    @click.option(
        "--address", default="127.0.0.1:6006", show_default=True, metavar="HOST:PORT", help="The threads door."
    )
    @click.option("--snapshot", is_flag=True, help="Begin with all documents.")
    def watch(db: str, collection: str, address: str, *, snapshot: bool) -> None:
        """Print the changes of DB, or of one COLLECTION, a JSON line each, until Ctrl-C; a daemon may come and go."""
        asyncio.run(_watch(db, collection, address, snapshot=snapshot))


async def _watch(db: str, collection: str, address: str, *, snapshot: bool) -> None:
    # It takes a quarter of a second to import what this needs.
    from threadd.client import Client  # noqa: PLC0415

    async with (
        Client(address) as client,
        aclosing(client.db(db).listen(collection, snapshot=snapshot)) as events,
    ):
        async for event in events:
            told = {
                "action": event.action.value,
                "position": event.position,
                "collection": event.collection,
                "id": event.instance_id,
                "document": event.instance,
            }
            click.echo(json.dumps(told, ensure_ascii=False))


def _add_completion(group: click.Group) -> None:
    @group.command("completion")
    @click.argument("shell", type=click.Choice(_SHELLS))
    def completion(shell: str) -> None:
        """Print a script that lets SHELL complete commands and options.

        \b
        Examples:
          eval "$(threadd completion bash)"
          threadd completion fish > ~/.config/fish/completions/threadd.fish
        """  # noqa: D301  click looks for the character
        found = get_completion_class(shell)
        if found is None:
            raise click.UsageError(f"{shell} is not known")
        click.echo(found(group, {}, "threadd", "_THREADD_COMPLETE").source())


def _mail(account: AccountSummary) -> tuple[str, str, str]:
    mail = account.mail
    return ("", "", "") if mail is None else (str(mail.received), str(mail.unread), str(mail.sent))


def _json(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value), indent=2)


def _when(nanoseconds: int) -> str:
    return dt.datetime.fromtimestamp(nanoseconds // 1_000_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
