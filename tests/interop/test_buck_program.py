"""The real `buck` program in temporary folders, at a terminal, against real daemons."""

import os
import re
import subprocess

import pytest
from daemons import environment
from terminal import Answer, run

# The first build downloads the compiler and the modules.
pytestmark = pytest.mark.timeout(900)

PASSWORD = "correct horse"


class Folder:
    """A folder that is a bucket, or becomes one.

    Args:
        program: The `buck` program; or the `hub` program and its word for the same.
        home: The home of whoever runs it.
        path: The folder.
        daemon: What it talks to.
    """

    def __init__(self, program, home, path, daemon):
        self.program = [str(word) for word in program]
        self.path = path
        doors = {"BUCK_API": daemon.threads_api, "HUB_API": daemon.hub_api}
        self.environment = environment() | doors | {"HOME": str(home), "TERM": "xterm"}

    def buck(self, *arguments, answers=(), status=0):
        """Run a command in the folder; returns what it said."""
        command = ["env", "-C", str(self.path), *self.program, *arguments]
        ran = run(command, self.environment, [Answer(*answer) for answer in answers])
        assert ran.status == status, ran.said
        return ran.said

    def plain(self, *arguments):
        """What a command writes that is no text for people."""
        command = [*self.program, *arguments]
        done = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, timeout=60, check=True)
        return done.stdout

    def init(self, name, *, private):
        answers = [("Encrypt bucket contents", "y" if private else "n"), ("Select or create a new one", "")]
        said = self.buck("init", "-n", name, "-y", answers=answers)
        assert "as a new empty bucket" in said
        return said

    def push(self):
        return self.buck("push", "-y", "-q")

    def up_to_date(self):
        return "Everything up-to-date" in self.buck("status")

    def roots(self):
        """The local and the remote root."""
        return re.findall(r"(bafy\w+) \((?:local|remote)\)", self.buck("root"))

    def config(self, name):
        return re.findall(rf"^{name}: (\S+)$", (self.path / ".textile" / "config.yml").read_text(), re.MULTILINE)[0]

    def write(self, files):
        for name, data in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def read(self):
        """All files but those of the program itself."""
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file() and ".textile" not in path.relative_to(self.path).parts and path.name != ".textileseed"
        }


@pytest.fixture
def folder(buck_program, tmp_path):
    """A function that gives a new folder."""
    home = tmp_path / "home"
    home.mkdir()

    def made(daemon, name, program=(buck_program,)):
        path = tmp_path / name
        path.mkdir()
        return Folder(program, home, path, daemon)

    return made


@pytest.mark.parametrize("private", [False, True])
def test_a_bucket_from_its_beginning_to_its_end(start_daemon, folder, private):
    daemon = start_daemon()
    here = folder(daemon, "here")
    here.init("site", private=private)
    files = {
        "a.txt": b"hello",
        ".env": b"x=1",
        "sub/deep/big.bin": os.urandom(600_000),
        "sub/a b#?&%é.txt": b"odd",
        "edge": bytes(262_144),
    }
    here.write(files)
    assert "new file:  sub/deep/big.bin" in here.buck("status")
    here.push()
    assert here.up_to_date()
    if not private:
        # The program makes the tree anew by itself: it is the same to the byte.
        assert len(set(here.roots())) == 1

    (here.path / "a.txt").unlink()
    here.write({"c.txt": b"new", "sub/deep/big.bin": b"small now"})
    said = here.buck("status")
    for line in ("deleted:   a.txt", "new file:  c.txt", "modified:  sub/deep/big.bin"):
        assert line in said
    here.push()
    assert here.up_to_date()
    assert here.buck("cat", "c.txt").strip() == "new"
    listed = here.buck("ls", "sub")
    assert "deep" in listed
    assert "Found 2 objects" in listed
    links = here.buck("links", "c.txt")
    assert f"/thread/{here.config('thread')}/buckets/{here.config('key')}/c.txt" in links
    assert f"/ipns/{here.config('key')}/c.txt" in links

    there = folder(daemon, "there")
    said = there.buck("init", "-e", answers=[("Which existing bucket", "")])
    assert "Success" in said, said
    assert there.read() == here.read()
    there.write({"d.txt": b"from there"})
    there.push()
    here.write({"e.txt": b"from here"})
    assert "The root of your bucket is behind" in here.buck("push", "-y", status=1)
    here.buck("pull", "-y", "-q")
    here.push()
    there.buck("pull", "-y", "-q")
    assert there.read() == here.read()

    assert "Updated access roles" in here.buck("roles", "grant", "*", "sub", "-r", "reader")
    assert re.search(r"\*\s+Reader", here.buck("roles", "ls", "sub"))
    if private:
        # The folder has a key of its own now, and with it another root.
        here.buck("pull", "-y", "-q")
    here.write({"sealed": here.plain("encrypt", "c.txt", PASSWORD)})
    here.push()
    assert here.plain("decrypt", "sealed", PASSWORD) == b"new"
    assert "has been deleted" in here.buck("destroy", answers=[("Are you absolutely sure", "y")])
    assert "Instance not found" in there.buck("ls", status=1)
    daemon.stop()


@pytest.mark.parametrize("private", [False, True])
def test_a_bucket_of_a_developer(start_daemon, folder, hub_program, private):
    daemon = start_daemon("--confirm", "auto")
    account = folder(daemon, "account", [hub_program])
    account.buck("init", answers=[("Choose a username", "jane"), ("Enter your email", "jane@example.org")])
    here = folder(daemon, "here", [hub_program, "buck"])
    here.init("site", private=private)
    here.write({"index.html": b"<h1>jane", "sub/big.bin": os.urandom(400_000)})
    here.push()
    assert here.up_to_date()
    assert here.buck("cat", "index.html").strip() == "<h1>jane"
    assert ("?token=ey" in here.buck("links")) is private
    assert re.search(r"bbaarei\w+\s+Admin", here.buck("roles", "ls"))
    listed = account.buck("threads", "ls")
    assert re.search(r"default\s+db", listed), listed
    assert "has been deleted" in here.buck("destroy", answers=[("Are you absolutely sure", "y")])
    daemon.stop()
