"""The command line without a daemon: what it prints, what it refuses, and with which exit code."""

import fcntl
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from threadd.cli import _show_table, cli


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="threadd")
    assert result.exit_code == code, result.output
    return result


def answer(*arguments: str | Path) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serve",),
        ("keys",),
        ("keys", "create"),
        ("keys", "import"),
        ("keys", "ls"),
        ("keys", "invalidate"),
        ("confirm",),
        ("dbs",),
        ("dbs", "ls"),
    ],
)
def test_help(arguments: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        assert "Usage: threadd" in run(*arguments, flag).stdout


def test_help_names_every_setting_with_its_default_and_variable() -> None:
    text = run("serve", "--help").stdout
    for flag, default in {
        "--hub-api": "127.0.0.1:3006",
        "--hub-web": "127.0.0.1:3007",
        "--threads-api": "127.0.0.1:6006",
        "--threads-web": "127.0.0.1:6007",
        "--gateway": "127.0.0.1:8006",
        "--console": "127.0.0.1:8007",
        "--host-addr": "/ip4/0.0.0.0/tcp/4006",
        "--repo": "",
        "--config": "",
        "--log-level": "info",
        "--log-format": "auto",
    }.items():
        assert flag in text
        assert default in text
        assert "THREADD_" + flag[2:].replace("-", "_").upper() in text


def test_the_version() -> None:
    assert re.fullmatch(r"threadd, version \d+\.\d+\.\d+(\.dev\d+)?\n", run("--version").stdout)


@pytest.mark.parametrize(("kind", "flags", "secure"), [("user", (), True), ("account", ("--insecure",), False)])
def test_a_key_is_created(repo: Path, kind: str, flags: tuple[str, ...], secure: bool) -> None:  # noqa: FBT001
    key = answer("keys", "create", "--type", kind, *flags, "--repo", repo)
    assert re.fullmatch("b[a-z2-7]{26}", key["key"])
    assert re.fullmatch("b[a-z2-7]{39}", key["secret"])
    assert (key["type"], key["secure"]) == (kind, secure)
    assert stat.S_IMODE(repo.stat().st_mode) == 0o700


def test_a_key_is_shown_to_people(repo: Path) -> None:
    text = run("keys", "create", "--type", "user", "--repo", repo).stdout
    assert re.fullmatch(r"key +b[a-z2-7]{26}\nsecret +b[a-z2-7]{39}\ntype +user, secure\n", text)


def test_keys_are_listed_without_secrets(repo: Path) -> None:
    key = answer("keys", "create", "--type", "user", "--repo", repo)
    (found,) = answer("keys", "ls", "--repo", repo)
    assert found.pop("created") > 1_700_000_000 * 10**9
    assert found == {"key": key["key"], "type": "user", "secure": True, "valid": True, "threads": 0}
    text = run("keys", "ls", "--repo", repo).stdout
    assert key["key"] in text
    assert key["secret"] not in text
    assert text.splitlines()[0].split() == ["KEY", "TYPE", "SECURE", "VALID", "THREADS", "CREATED"]


def test_a_key_is_invalidated(repo: Path) -> None:
    key = answer("keys", "create", "--type", "user", "--repo", repo)["key"]
    assert run("keys", "invalidate", key, "--repo", repo).stdout == f"{key} is invalid from now on\n"
    assert not answer("keys", "invalidate", key, "--repo", repo)["valid"]
    assert [found["valid"] for found in answer("keys", "ls", "--repo", repo)] == [False]
    assert "there is no API key 'bunknown'" in run("keys", "invalidate", "bunknown", "--repo", repo, code=1).stderr


KEY, SECRET = "bxcdmqgfvoeys4akwb6lzkdfmra", "bpb4hq6dypb4hq6dypb4hq6dypb4hq6dypb4hq6a"


def test_a_key_is_imported(repo: Path) -> None:
    arguments = ("keys", "import", "--key", KEY, "--type", "user", "--repo", repo)
    for _ in range(2):
        assert answer(*arguments, "--secret", SECRET) == {
            "key": KEY,
            "secret": SECRET,
            "type": "user",
            "secure": True,
        }
    assert "E11000" in run(*arguments, "--secret", "b" + "a" * 39, code=1).stderr
    assert "multibase" in run(*arguments, "--secret", "nonsense", code=1).stderr


def test_a_secret_may_come_from_standard_input(repo: Path) -> None:
    arguments = ["keys", "import", "--key", KEY, "--secret", "-", "--type", "user", "--repo", str(repo), "--json"]
    result = CliRunner().invoke(cli, arguments, input=f"{SECRET}\n")
    assert json.loads(result.stdout)["secret"] == SECRET


def test_nothing_waits_to_be_confirmed_where_no_daemon_runs(repo: Path) -> None:
    run("keys", "create", "--type", "user", "--repo", repo)
    assert answer("confirm", "--list", "--repo", repo) == []
    columns = ["SECRET", "FOR", "NAME", "E-MAIL", "FROM", "PAGE", "LINK"]
    assert run("confirm", "--list", "--repo", repo).stdout.split() == columns
    assert "nothing waits; threadd confirm --list shows" in run("confirm", "--repo", repo, code=1).output
    assert "nothing waits for that" in run("confirm", "bunknown", "--repo", repo, code=1).output


def test_a_table_shows_names_of_strangers_without_their_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _show_table((), ("NAME", "SIZE"), [("a\x9b2K\u202eb\r\n\x1b[31m", "1"), ("größe", "2")], as_json=False)
    shown = r"a\x9b2K\u202eb\r\n\x1b[31m"
    assert capsys.readouterr().out.splitlines() == [
        f"{'NAME':{len(shown)}}  SIZE",
        f"{shown}  1",
        f"{'größe':{len(shown)}}  2",
    ]


def test_databases_are_listed(repo: Path) -> None:
    run("keys", "create", "--type", "user", "--repo", repo)
    assert answer("dbs", "ls", "--repo", repo) == []
    assert run("dbs", "ls", "--repo", repo).stdout.split() == ["ID", "NAME", "COLLECTIONS"]


@pytest.mark.parametrize("arguments", [("keys", "ls"), ("keys", "invalidate", KEY), ("dbs", "ls")])
def test_looking_makes_no_repository(repo: Path, arguments: tuple[str, ...]) -> None:
    assert "there is no repository at" in run(*arguments, "--repo", repo, code=1).stderr
    assert not repo.exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("keys", "create"), "Missing option '--type'"),
        (("keys", "create", "--type", "robot"), "'robot' is not one of 'user', 'account'"),
        (("keys", "import", "--key", "b", "--type", "user"), "Missing option '--secret'"),
        (("keys", "invalidate"), "Missing argument 'KEY'"),
        (("nonsense",), "No such command 'nonsense'"),
        (("serve", "--nonsense"), "No such option"),
        (("--nonsense",), "No such option"),
        (("serve", "--hub-api", "3006"), "--hub-api: '3006' is not HOST:PORT or off"),
        (("--hub-api", "3006"), "--hub-api: '3006' is not HOST:PORT or off"),
        (("serve", "--threads-api", "0.0.0.0:6006"), "add --threads-open"),
        (("serve", "--config", "/nowhere.toml"), "cannot read /nowhere.toml"),
    ],
)
def test_mistakes_have_exit_code_two(arguments: tuple[str, ...], hint: str) -> None:
    assert hint in run(*arguments, code=2).stderr


def test_the_repository_of_the_environment(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADD_REPO", str(repo))
    run("keys", "create", "--type", "user")
    assert repo.is_dir()


def test_a_repository_that_something_else_holds(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadd.cli._PATIENCE", 0.3)
    repo.mkdir()
    with (repo / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = run("keys", "ls", "--repo", repo, code=1).stderr
        assert error.startswith(f"Error: the repository {repo} is in use by process")
    run("keys", "ls", "--repo", repo)
