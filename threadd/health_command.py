"""`threadd health`: whether the daemon of a repository takes work, by exit status.

Containers run it every few seconds, so it is reached past the rest of the command line, which takes long to import
(`threadd.__main__`), and what reads a settings file is imported only where nothing else names the repository.
"""

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from store.errors import ThreaddError
from threadd.control_client import ControlClient, NoDaemonError
from threadd.folders import parse_folder

SECONDS: Final = 3.0
"""How long the daemon may take to answer."""

_MAX_SECONDS: Final = 3600.0

_REQUEST: Final = b'{"verb":"check_health"}'


def _check_seconds(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    # click.FloatRange takes a NaN, which is below and above nothing.
    if not 0 < seconds <= _MAX_SECONDS:
        raise click.BadParameter(f"{seconds} is not more than 0 and at most {_MAX_SECONDS:.0f}")
    return seconds


@click.command("health", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--repo", metavar="FOLDER", help="The folder that holds everything.  [THREADD_REPO; default: as threadd serve]"
)
@click.option(
    "--timeout",
    type=float,
    callback=_check_seconds,
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def health(repo: str | None, timeout: float, *, as_json: bool) -> None:
    """Tell whether the daemon takes work: the exit status is 0 if it does, 1 if not.

    It asks over the control socket in the repository, whatever the daemon listens on. For the health check of a
    container, and for supervisors.

    \b
    Examples:
      threadd health
      threadd health --repo ./data --json
    """  # noqa: D301  click looks for the character
    fault = _fault(repo, timeout)
    if as_json:
        click.echo(json.dumps({"ready": not fault, "fault": fault}))
    elif fault:
        click.echo(f"not ready: {fault}", err=True)
    else:
        click.echo("ready")
    sys.exit(1 if fault else 0)


def _fault(repo_flag: str | None, timeout: float) -> str:
    """Why no work is taken; empty where it is."""
    try:
        repo = _repo(repo_flag)
        with closing(ControlClient(repo, timeout)) as client:
            answer = json.loads(client.call(_REQUEST))
    except NoDaemonError as error:
        return f"{error.text}, or it is still starting"
    except ThreaddError as error:
        return error.text
    return str(answer["fault"])


def _repo(flag: str | None) -> Path:
    """The repository, as `threadd.config.load` finds it: the flag, the environment, the file, the default."""
    if named := flag or os.environ.get("THREADD_REPO"):
        return parse_folder(named)
    from threadd import config  # noqa: PLC0415  this doubles the time to start

    return config.load({}, os.environ).repo
