"""Every block of code in the documents runs, every link leads somewhere, and the reference has not drifted.

A block is run by what its fence names: `python`, `sh`, `go`, `js`. Words in capitals in it stand for values (conftest.py). A comment
right above the fence, which everybody sees in the source, says otherwise:

    <!-- run by: tests/..., a test that does what the block says -->
    <!-- checked, not run: why it cannot be run; its commands and their options must exist -->
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from daemons import GO_MODULE, environment, threadd_command

from threadd.cli import cli

ROOT = Path(__file__).parents[2]
FRAMES = Path(__file__).parent / "frames"

# The first run installs packages and fills Go's cache.
pytestmark = pytest.mark.timeout(400)

LANGUAGES = {"python": 2, "sh": 4, "go": 2, "js": 3}
"""How many blocks of each are run at least."""


def chosen(blocks, language):
    found = [block for block in blocks if block.language == language and not block.kind]
    assert len(found) >= LANGUAGES[language], f"where have the blocks of {language} gone?"
    return found


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def framed(block, extension, whole):
    """A piece of a program, put where `BLOCK` stands in a frame that declares what the text around the piece speaks of."""
    if whole in block.text:
        return block.text
    return (FRAMES / f"frame.{extension}").read_text().replace("BLOCK", block.text)


def test_every_block_is_run_or_says_why_not(blocks, subtests):
    for block in blocks:
        with subtests.test(block.name):
            assert block.language in LANGUAGES, "its fence names no language that is run"
            if block.kind == "run by":
                assert (ROOT / block.why).is_file()
                source = (ROOT / block.why).read_text()
                words = {word for line in commands(block.text) if line[0] != "export" for word in line}
                assert block.page in source or all(re.search(rf"\b{word}\b", source) for word in words)
            elif block.kind:
                assert block.language == "sh", "only commands are checked without being run"
                assert len(block.why) > 20


def test_python_runs(blocks, here, subtests):
    for block in chosen(blocks, "python"):
        with subtests.test(block.name):
            done = run([sys.executable, "-W", "error", "-c", here(block.text)], env=environment())
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


def test_shell_runs(blocks, documented, here, tmp_path, subtests):
    folder = str(Path(threadd_command()).parent)
    settings = environment() | {
        "THREADD_REPO": str(documented.repo),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    for block in chosen(blocks, "sh"):
        with subtests.test(block.name):
            done = run(["sh", "-euc", here(block.text)], env=settings, cwd=tmp_path)
            assert done.returncode == 0, done.stderr


def test_go_runs(blocks, here, tmp_path, subtests):
    for block in chosen(blocks, "go"):
        with subtests.test(block.name):
            source = tmp_path / "main.go"
            source.write_text(here(framed(block, "go", "package main")))
            done = run(["go", "run", str(source)], cwd=GO_MODULE)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == "Ada"


def test_js_runs_in_node_or_in_a_browser(blocks, here, js_packages, chromium, tmp_path, subtests):
    for block in chosen(blocks, "js"):
        with subtests.test(block.name):
            # Beside the packages, where they are found.
            source = js_packages / f"documented-{os.getpid()}.js"
            if "import {" in block.text:
                source.write_text(here(block.text))
                command = ["node", str(js_packages / "documented.js"), chromium, str(tmp_path), str(source)]
            else:
                source.write_text(here(framed(block, "js", "require(")))
                command = ["node", str(source)]
            try:
                done = run(command)
            finally:
                source.unlink()
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == "Ada", done.stderr


def commands(text):
    """The words of each command in a block, without what is set before it."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words = words[1:]
        if words:
            yield words


def test_what_cannot_be_run_names_commands_that_are_there(blocks, subtests):
    found = [block for block in blocks if block.kind]
    assert found
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in found:
        with subtests.test(block.name):
            assert run(["sh", "-nc", block.text]).returncode == 0
            for program, *words in map(inside, commands(block.text)):
                if program == "threadd":
                    check_threadd(words)
                elif program == "make":
                    assert words[0] in rules


def inside(words):
    """The command that is run in a container, for one that runs it there."""
    return words[3:] if words[:2] == ["docker", "exec"] else words


def check_threadd(words):
    """Take a command of ours apart as the program does, without doing it."""
    command, context = cli, click.Context(cli, info_name="threadd", **cli.context_settings)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, list(words))
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, list(words))


def test_the_reference_has_not_drifted():
    done = run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere(subtests):
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in link.findall(page.read_text()):
            with subtests.test(f"{page.name} {target}"):
                assert (page.parent / target).exists()


def test_every_setting_and_method_is_in_the_reference():
    methods = (ROOT / "docs/reference/methods.md").read_text()
    assert methods.count("| `") >= 90
    for name in ("threads.pb.API", "api.hubd.pb.APIService", "threadd.v1.API"):
        assert f"## {name}" in methods
    configuration = (ROOT / "docs/reference/configuration.md").read_text()
    for flag in ("--hub-api", "--announce", "--operator-token"):
        assert flag in configuration
    assert str(Path.home()) not in configuration
