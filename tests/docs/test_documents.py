"""Every block of code in the documents runs or builds, every link leads somewhere, and the reference has not drifted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import GO_MODULE, environment, has_go, threadd_command

ROOT = Path(__file__).parents[2]

# The first run installs packages and fills Go's cache.
pytestmark = pytest.mark.timeout(400)

# Blocks that set up a whole machine, serve for ever, or are pieces of a program.
NOT_RUN = {"README.md"}


def chosen(blocks, language, count):
    found = [block for block in blocks if block.language == language and block.page not in NOT_RUN]
    assert len(found) >= count, f"where have the blocks of {language} gone?"
    return found


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def test_python_runs(blocks, here, subtests):
    for block in chosen(blocks, "python", 2):
        with subtests.test(f"{block.page} {block.number}"):
            done = run([sys.executable, "-W", "error", "-c", here(block.text)], env=environment())
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


def test_shell_runs(blocks, documented, subtests):
    folder = str(Path(threadd_command()).parent)
    settings = environment() | {
        "THREADD_REPO": str(documented.repo),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    for block in chosen(blocks, "sh", 2):
        with subtests.test(f"{block.page} {block.number}"):
            done = run(["sh", "-euc", block.text], env=settings)
            assert done.returncode == 0, done.stderr


def test_go_builds_and_runs(blocks, here, tmp_path, subtests):
    if not has_go():
        pytest.skip("Go is not installed")
    for block in chosen(blocks, "go", 1):
        with subtests.test(f"{block.page} {block.number}"):
            source = tmp_path / "main.go"
            source.write_text(here(block.text))
            done = run(["go", "run", str(source)], cwd=GO_MODULE)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == "Ada"


def test_js_runs_or_is_bundled(blocks, here, js_packages, tmp_path, subtests):
    for block in chosen(blocks, "js", 2):
        with subtests.test(f"{block.page} {block.number}"):
            # Beside the packages, where they are found.
            source = js_packages / f"documented-{os.getpid()}.js"
            source.write_text(here(block.text))
            if "require(" in block.text:
                done = run(["node", str(source)])
                assert done.stdout.strip() == "Ada", done.stderr
            else:
                shim = js_packages / "lib" / "shim.js"
                command = [str(js_packages / "node_modules" / "esbuild" / "bin" / "esbuild"), str(source), "--bundle"]
                command += ["--platform=browser", "--main-fields=browser,main", f"--inject:{shim}"]
                done = run(
                    [*command, "--define:global=window", f"--outfile={tmp_path / 'page.js'}", "--log-level=error"]
                )
            source.unlink()
            assert done.returncode == 0, done.stderr


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
