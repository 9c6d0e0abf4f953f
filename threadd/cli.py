"""The command line."""

import asyncio
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from store.errors import RepositoryLockedError, ThreaddError
from threadd import config, limits, logs, progress
from threadd.browse_commands import add_commands as add_browse_commands
from threadd.bucket_commands import add_commands as add_bucket_commands
from threadd.control_client import ControlClient, NoDaemonError
from threadd.health_command import health
from threadd.upkeep_commands import add_commands as add_upkeep_commands
from threadd.verbs import (
    ApiKey,
    ApiKeySummary,
    Confirm,
    Confirmed,
    CreateKey,
    DbSummary,
    ForeignDb,
    ImportKey,
    InvalidateKey,
    JoinDb,
    ListConfirmations,
    ListDbs,
    ListForeignDbs,
    ListKeys,
    ListPeers,
    PeerSummary,
    PendingConfirmation,
    Request,
    TakenDb,
    ThreadPeer,
    ThreadStatus,
)

_T = TypeVar("_T")
_Command = Callable[..., None]

# How long a command waits for a daemon that is just starting or ending, in seconds.
_PATIENCE = 10.0

# How long the daemon may take to answer; joining a database waits for all of its records.
_ANSWER_SECONDS = 60.0
_JOIN_SECONDS = 24 * 3600.0
_PAUSE = 0.1


_CERTIFICATES_HELP = """\
Trust its authority and give the names to this machine, once:
  sudo install -m 644 {files.authority} /usr/local/share/ca-certificates/threadd.crt && sudo update-ca-certificates
  printf '127.0.0.1 {api}\\n127.0.0.2 {web}\\n' | sudo tee -a /etc/hosts
Then serve where programs look for the hosted Hub (ports below 1024 may need root):
  threadd serve --tls-cert {files.certificate} --tls-key {files.key} --hub-api 127.0.0.1:443 --hub-web 127.0.0.2:443
Node trusts it with NODE_EXTRA_CA_CERTS={files.authority}"""


class _Refusal(click.ClickException):
    """One line on standard error; exit code 1."""


class _Mistake(click.ClickException):
    """The settings are at fault: exit code 2, as for other mistakes on the command line."""

    exit_code = 2


class _Group(click.Group):
    """Runs ``serve`` when no command is named, and tells refusals as such."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            # A shell asks what could come here.
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except config.SettingError as error:
            raise _Mistake(error.text) from error
        except ThreaddError as error:
            # It may repeat what another daemon said.
            raise _Refusal(logs.printable(error.text, kept="\n")) from error


def _settings_options(command: _Command) -> _Command:
    """Add a flag for each setting."""
    for setting in reversed(config.SETTINGS):
        default = setting.default or str(config.default_repo())
        if setting.metavar:
            meaning = f"{setting.meaning}  [{setting.variable}; default: {default}]"
            command = click.option(setting.flag, setting.name, metavar=setting.metavar, help=meaning)(command)
        else:
            meaning = f"{setting.meaning}  [{setting.variable}]"
            command = click.option(setting.flag, setting.name, flag_value="true", help=meaning)(command)
    return command


_config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"A TOML file of settings.  [THREADD_CONFIG; default: {config.default_config_file()}, if it is there]",
)
_repo_option = click.option(
    "--repo",
    metavar="FOLDER",
    help=f"The folder that holds everything.  [THREADD_REPO; default: {config.default_repo()}]",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_type_option = click.option(
    "--type",
    "kind",
    type=click.Choice(["user", "account"]),
    required=True,
    help="user: for an app whose users bring identities of their own. account: for a program that acts as you.",
)
_insecure_option = click.option(
    "--insecure", is_flag=True, help="Callers need not sign with the secret: anybody who sees the key may use it."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="threadd")
def cli() -> None:
    """A Textile Hub on your own machine.

    \b
    Start it; without a command, threadd does the same:
      threadd serve
    Make a key for an app, then change the app's address to 127.0.0.1:3006 (without TLS):
      threadd keys create --type user
    An app that has a key already keeps it:
      threadd keys import --key bxxxx --secret bxxxx --type user
    """  # noqa: D301  click looks for the character


@cli.command()
@_settings_options
@_config_option
def serve(config_file: Path | None, **flags: str | None) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    The Hub's doors ask for API keys and user tokens, as the hosted Hub does. The threads doors ask for none, as a plain
    threads daemon: they stay on this machine unless --threads-open says otherwise.

    Settings come from flags, then the environment, then a TOML file with the flags' names (hub-api = "off").

    \b
    Examples:
      threadd serve
      threadd serve --repo ./data --hub-api 0.0.0.0:3006 --threads-api off
      THREADD_LOG_LEVEL=debug threadd serve
    """  # noqa: D301  click looks for the character
    settings = config.load(flags, os.environ, config_file)
    logs.set_up(settings.log_level, settings.log_format)
    # grpc tells its own troubles past the log, as it is told when it is imported; those that matter come as errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from threadd import daemon  # noqa: PLC0415

    limits.allow_many_files()
    uvloop.run(daemon.run(settings))


@cli.group()
def keys() -> None:
    """Make and manage API keys, which apps show at the Hub's door.

    The keys belong to the built-in account `local`. These commands work whether or not the daemon runs.
    """


@keys.command("create")
@_type_option
@_insecure_option
@_repo_option
@_json_option
def create_key(kind: str, repo: str | None, *, insecure: bool, as_json: bool) -> None:
    """Make a key and print it with its secret, which is not shown again.

    \b
    Examples:
      threadd keys create --type user
      threadd keys create --type account --json
    """  # noqa: D301  click looks for the character
    request = CreateKey(kind, secure=not insecure)
    _show_key(_call(repo, request, ApiKey), as_json=as_json)


@keys.command("import")
@click.option("--key", required=True, metavar="KEY", help="The key that the app carries.")
@click.option("--secret", required=True, metavar="SECRET", help="Its secret; - reads it from standard input.")
@_type_option
@_insecure_option
@_repo_option
@_json_option
def import_key(key: str, secret: str, kind: str, repo: str | None, *, insecure: bool, as_json: bool) -> None:
    """Take in a key that an app carries already, so that the app runs unchanged.

    \b
    Example:
      threadd keys import --key bxxxx --secret bxxxx --type user
    """  # noqa: D301  click looks for the character
    if secret == "-":  # noqa: S105  a word for standard input
        secret = sys.stdin.readline().strip()
    request = ImportKey(key, secret, kind, secure=not insecure)
    _show_key(_call(repo, request, ApiKey), as_json=as_json)


@keys.command("ls")
@_repo_option
@_json_option
def list_keys(repo: str | None, *, as_json: bool) -> None:
    """List the keys, without their secrets."""
    found = _call(repo, ListKeys(), list[ApiKeySummary], must_exist=True)
    rows = [
        (
            key.key,
            key.type,
            "yes" if key.secure else "no",
            "yes" if key.valid else "no",
            str(key.threads),
            _when(key.created),
        )
        for key in found
    ]
    _show_table(found, ("KEY", "TYPE", "SECURE", "VALID", "THREADS", "CREATED"), rows, as_json=as_json)


@keys.command("invalidate")
@click.argument("key")
@_repo_option
@_json_option
def invalidate_key(key: str, repo: str | None, *, as_json: bool) -> None:
    """Make KEY useless for good. Threads that were made with it stay.

    \b
    Example:
      threadd keys invalidate bxxxx
    """  # noqa: D301  click looks for the character
    found = _call(repo, InvalidateKey(key), ApiKeySummary, must_exist=True)
    click.echo(_json(found) if as_json else f"{found.key} is invalid from now on")


@cli.command()
@click.argument("secret", required=False)
@click.option("--list", "only_list", is_flag=True, help="Only show what waits.")
@_repo_option
@_json_option
def confirm(secret: str | None, repo: str | None, *, only_list: bool, as_json: bool) -> None:
    """Confirm a sign-up, a sign-in or an invitation, as the link in an e-mail would.

    SECRET is the last part of the link. Without it, the only one that waits is confirmed, unless a page in a browser
    asked for it: pages ask without the browser's user.

    \b
    Examples:
      threadd confirm --list
      threadd confirm
      threadd confirm bxxxx
    """  # noqa: D301  click looks for the character
    if only_list or secret is None:
        found = _call(repo, ListConfirmations(), list[PendingConfirmation], must_exist=True)
        if only_list:
            rows = [(one.secret, one.purpose, one.name, one.email, one.peer, one.page, one.link) for one in found]
            head = ("SECRET", "FOR", "NAME", "E-MAIL", "FROM", "PAGE", "LINK")
            _show_table(found, head, rows, as_json=as_json)
            return
        if len(found) != 1:
            state = f"{len(found)} wait: name the secret of one" if found else "nothing waits"
            raise _Refusal(f"{state}; threadd confirm --list shows what does")
        if page := found[0].page:
            raise _Refusal(
                f"what waits is the {found[0].purpose} of {found[0].name}, asked for by a page of {page}: if that is "
                f"yours, threadd confirm {found[0].secret} confirms it"
            )
        secret = found[0].secret
    done = _call(repo, Confirm(secret), Confirmed, must_exist=True)
    click.echo(_json(done) if as_json else done.text)


@cli.group()
def dbs() -> None:
    """Look at the databases."""


@dbs.command("ls")
@_repo_option
@_json_option
def list_dbs(repo: str | None, *, as_json: bool) -> None:
    """List all databases, whoever owns them. Works whether or not the daemon runs."""
    found = _call(repo, ListDbs(), list[DbSummary], must_exist=True)
    rows = [(db.id, db.name, str(db.collections)) for db in found]
    _show_table(found, ("ID", "NAME", "COLLECTIONS"), rows, as_json=as_json)


@cli.command()
@click.option("--from", "address", required=True, metavar="HOST:PORT", help="The threads door of the other daemon.")
@_repo_option
@_json_option
def join(address: str, repo: str | None, *, as_json: bool) -> None:
    """Bring all databases of another threads daemon here, and keep them in step from then on.

    Each is joined with its key and its collections; the command waits until both daemons have the same records. The
    blocks of files in buckets do not come along; it says which buckets lack them. Nothing changes on the other daemon
    but that this one is among its peers. It may be repeated.

    \b
    Example:
      threadd join --from old-machine:6006
    """  # noqa: D301  click looks for the character
    found = _call(repo, ListForeignDbs(address), list[ForeignDb], must_exist=True)
    taken: list[TakenDb] = []
    failed: list[str] = []
    for db in progress.counted(found, "joining", len(found), as_json=as_json):
        try:
            taken.append(_call(repo, JoinDb(address, db.id), TakenDb, seconds=_JOIN_SECONDS))
        except ThreaddError as error:
            failed.append(f"{db.id} ({db.name}): {error.text}")
    rows = [(db.id, db.name, str(db.collections), str(db.logs), str(db.records), _state_of_join(db)) for db in taken]
    _show_table(taken, ("ID", "NAME", "COLLECTIONS", "LOGS", "RECORDS", "STATE"), rows, as_json=as_json)
    lacking = [key for db in taken for key in db.buckets_without_content]
    if lacking:
        click.echo(
            f"The content of these buckets did not come along: {' '.join(lacking)}\n"
            "Bring that of public ones as CAR files (threadd buckets export, import); the files of private ones can be "
            "pulled there and pushed into new buckets here.",
            err=True,
        )
    if failed:
        raise _Refusal("not joined: " + "; ".join(failed))


def _state_of_join(db: TakenDb) -> str:
    state = "was here" if db.was_here else "joined"
    lacking = len(db.buckets_without_content)
    return f"{state}; buckets without content: {lacking}" if lacking else state


@cli.command("peers")
@_repo_option
@_json_option
def list_peers(repo: str | None, *, as_json: bool) -> None:
    """List the other hosts that serve threads here."""
    found = _call(repo, ListPeers(), list[PeerSummary], must_exist=True)
    rows = [
        (
            peer.id,
            " ".join(peer.addresses),
            str(peer.threads),
            str(peer.behind),
            _ago(peer.contact),
            str(peer.failures),
            peer.error,
        )
        for peer in found
    ]
    headings = ("PEER", "ADDRESSES", "THREADS", "RECORDS BEHIND", "LAST CONTACT", "FAILURES", "LAST ERROR")
    _show_table(found, headings, rows, as_json=as_json)


@cli.group()
def threads() -> None:
    """Look at the threads."""


@threads.command("status")
@click.argument("thread")
@_repo_option
@_json_option
def show_thread(thread: str, repo: str | None, *, as_json: bool) -> None:
    """Tell how far the other hosts of THREAD are.

    \b
    Example:
      threadd threads status bafxxxx
    """  # noqa: D301  click looks for the character
    found = _call(repo, ThreadStatus(thread), list[ThreadPeer], must_exist=True)
    rows = [
        (peer.id, "unknown" if peer.behind is None else str(peer.behind), _ago(peer.contact), peer.error)
        for peer in found
    ]
    _show_table(found, ("PEER", "RECORDS BEHIND", "LAST CONTACT", "LAST ERROR"), rows, as_json=as_json)


@cli.command("certs")
@_repo_option
@_json_option
def make_certificates(repo: str | None, *, as_json: bool) -> None:
    """Make a certificate for this machine and for the hosted Hub's names, and tell how to use it.

    A program that cannot be changed, with TLS and the hosted Hub's name in it, then runs against this machine. The
    authority that signs the certificate is made once, in the repository, and is good for these names only.

    \b
    Example:
      threadd certs
    """  # noqa: D301  click looks for the character
    # It takes a tenth of a second to import what this needs.
    from threadd import certificates  # noqa: PLC0415

    folder = config.load({"repo": repo}, os.environ).repo / "tls"
    files = certificates.make(folder, dt.datetime.now(dt.UTC))
    if as_json:
        click.echo(_json({"ca": str(files.authority), "cert": str(files.certificate), "key": str(files.key)}))
        return
    click.echo(_CERTIFICATES_HELP.format(files=files, api=certificates.HUB_NAMES[0], web=certificates.HUB_NAMES[1]))


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"


def _call(
    repo_flag: str | None,
    request: Request,
    result: type[_T],
    *,
    must_exist: bool = False,
    seconds: float = _ANSWER_SECONDS,
) -> _T:
    """Have a request carried out: by the daemon if one runs, in this process otherwise."""
    logs.set_up("warning", "auto")
    repo = config.load({"repo": repo_flag}, os.environ).repo
    if must_exist and not repo.is_dir():
        raise _Refusal(f"there is no repository at {repo}; threadd serve and threadd keys create make one")
    patience_ends = time.monotonic() + _PATIENCE
    while True:
        try:
            with closing(ControlClient(repo, seconds)) as client:
                return msgspec.json.decode(client.call(msgspec.json.encode(request)), type=result)
        except NoDaemonError:
            pass
        try:
            return msgspec.convert(asyncio.run(_handle_here(repo, request)), type=result)
        except RepositoryLockedError:
            # A daemon is starting or ending, or another command runs.
            if time.monotonic() > patience_ends:
                raise
            time.sleep(_PAUSE)


async def _handle_here(repo: Path, request: Request) -> Any:
    # A command that a daemon answers starts twice as fast without the rooms.
    from threadd.rooms import open_rooms  # noqa: PLC0415

    async with open_rooms(repo) as rooms:
        return await rooms.operator.handle(request)


def _show_key(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        click.echo(_json(key))
        return
    click.echo(f"key     {key.key}\nsecret  {key.secret}\ntype    {key.type}, {'secure' if key.secure else 'insecure'}")


def _show_table(found: object, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, as_json: bool) -> None:
    if as_json:
        click.echo(_json(found))
        return
    table = [tuple(map(logs.printable, row)) for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _json(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value), indent=2)


def _when(nanoseconds: int) -> str:
    return dt.datetime.fromtimestamp(nanoseconds // 1_000_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


cli.add_command(health)
add_upkeep_commands(cli, _call, _repo_option, _json_option)
add_bucket_commands(cli, _call, _show_table, _repo_option, _json_option)
add_browse_commands(cli, _call, _show_table, _repo_option, _json_option)


def main() -> None:
    """Run the command line."""
    cli(prog_name="threadd")
