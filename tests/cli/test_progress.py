"""Long work shows how far it is: at a terminal, and nowhere else."""

import json
import subprocess

import pytest
import terminal
from daemons import environment, threadd_command

from threadd.client import Client


@pytest.fixture
async def kept(start_daemon):
    daemon = start_daemon()
    async with Client(daemon.threads_api) as client:
        db = await client.new_db(name="library")
        people = await db.new_collection("people")
        for _ in range(3):
            await people.create([{"name": "x"} for _ in range(50)])
    return daemon, db.id


def commands(db, folder):
    """Each kind of long work, with what its bar is called."""
    return {
        "copying": ["backup", str(folder / "copy")],
        "checking": ["verify"],
        "exporting": ["export", db, "--output", str(folder / "library.jsonl")],
    }


def test_a_bar_is_drawn_at_a_terminal(kept, tmp_path):
    daemon, db = kept
    surroundings = environment() | {"TERM": "xterm"}
    for label, arguments in commands(db, tmp_path).items():
        command = [threadd_command(), *arguments, "--repo", str(daemon.repo)]
        ran = terminal.run(command, surroundings)
        assert ran.status == 0, ran.said
        assert label in ran.said
        assert "100%" in ran.said
    other = tmp_path / "other"
    command = [threadd_command(), "import", str(tmp_path / "library.jsonl"), "--repo", str(other)]
    ran = terminal.run(command, surroundings)
    assert ran.status == 0, ran.said
    assert "importing" in ran.said
    assert "150 instances" in ran.said


def test_json_has_no_bar_in_it_even_at_a_terminal(kept, tmp_path):
    daemon, db = kept
    command = [threadd_command(), "verify", "--json", "--repo", str(daemon.repo)]
    ran = terminal.run(command, environment() | {"TERM": "xterm"})
    assert json.loads(ran.said)["fault_count"] == 0
    file = tmp_path / "things.jsonl"
    command = [threadd_command(), "export", db, "--output", str(file), "--json", "--repo", str(daemon.repo)]
    ran = terminal.run(command, environment() | {"TERM": "xterm"})
    assert json.loads(ran.said) == {"id": db, "file": str(file), "size": file.stat().st_size}


def test_programs_that_read_the_output_see_no_bar(kept, tmp_path):
    daemon, db = kept
    for label, arguments in commands(db, tmp_path).items():
        command = [threadd_command(), *arguments, "--repo", str(daemon.repo)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(), timeout=60)
        assert label not in done.stdout + done.stderr
        assert done.stderr == ""
