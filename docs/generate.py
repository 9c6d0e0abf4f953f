# ruff: noqa: INP001 - a script
"""Makes the reference under `docs/reference` of what the program itself says; `--check` fails where that has drifted.

.venv/bin/python docs/generate.py
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# The defaults are those of a person on Linux, whoever makes the reference.
for _name in [name for name in os.environ if name.startswith(("THREADD_", "XDG_"))]:
    del os.environ[_name]
os.environ["HOME"] = "/home/you"

import click  # noqa: E402 - it must see the environment above

from threadd import config  # noqa: E402
from threadd.cli import cli  # noqa: E402

HERE = Path(__file__).parent
PROTO = HERE.parent / "proto"
SERVICES = ("threads", "threadsnet", "bucketsd", "usersd", "hubd", "threadd")
WIDTH = 100

_SERVICE = re.compile(r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_PACKAGE = re.compile(r"^package ([\w.]+);", re.MULTILINE)
_RPC = re.compile(r"((?:^ *//.*\n)*)^ *rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\)", re.MULTILINE)


def configuration() -> str:
    """The page of the settings."""
    lines = [
        "# Configuration",
        "",
        "Made by `docs/generate.py`. A flag beats the environment, which beats the TOML file, which beats the default.",
        "",
        "| flag | environment | default | what |",
        "| --- | --- | --- | --- |",
    ]
    for setting in config.SETTINGS:
        default = setting.default or str(config.default_repo())
        value = f" {setting.metavar}" if setting.metavar else ""
        cells = (f"`{setting.flag}{value}`", f"`{setting.variable}`", f"`{default}`", setting.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    file = config.default_config_file()
    lines += [
        "",
        f"The TOML file is named by `--config` or `THREADD_CONFIG`; by default it is `{file}`, if it is there.",
    ]
    return "\n".join(lines) + "\n"


def methods() -> str:
    """The page of the methods, from what the .proto files say."""
    lines = ["# Methods", "", "Made by `docs/generate.py` of the files in `proto/`, which hold the messages."]
    for name in SERVICES:
        text = (PROTO / f"{name}.proto").read_text()
        package = _PACKAGE.search(text)
        for service, body in _SERVICE.findall(text):
            lines += ["", f"## {package[1] if package else ''}.{service}", "", "| method | request | reply | what |"]
            lines += ["| --- | --- | --- | --- |"]
            for comment, rpc, many_in, request, many_out, reply in _RPC.findall(body):
                what = " ".join(line.strip().lstrip("/").strip() for line in comment.splitlines())
                lines.append(f"| `{rpc}` | {many_in}`{request}` | {many_out}`{reply}` | {what} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The page of the commands: each with its help as it is printed."""
    lines = ["# Commands", "", "Made by `docs/generate.py`: what `--help` prints."]
    root = click.Context(cli, info_name="threadd", terminal_width=WIDTH, max_content_width=WIDTH)
    for context in _walk(root):
        lines += ["", f"## {context.command_path}", "", "```text", context.command.get_help(context).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _walk(context: click.Context) -> Iterator[click.Context]:
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _walk(click.Context(inner, info_name=name, parent=context))


def main() -> int:
    """Write the pages, or check that they are what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on drift")
    check = parser.parse_args().check
    drifted = []
    for name, make in (("configuration", configuration), ("methods", methods), ("commands", commands)):
        path = HERE / "reference" / f"{name}.md"
        text = make()
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            drifted.append(path.name)
    if drifted:
        sys.exit(f"the reference has drifted, run docs/generate.py: {', '.join(drifted)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
