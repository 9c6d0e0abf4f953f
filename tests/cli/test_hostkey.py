"""The daemon's own key."""

import os
import stat
from pathlib import Path

import pytest

from store.errors import FormatError
from threadd import hostkey


def test_a_key_is_made_once(tmp_path: Path) -> None:
    key = hostkey.load(tmp_path, os.urandom)
    file = tmp_path / "host.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 68
    assert file.read_bytes()[:4].hex() == "08011240"
    assert list(tmp_path.iterdir()) == [file]
    assert hostkey.load(tmp_path, os.urandom) == key


def test_the_seed_is_the_randomness(tmp_path: Path) -> None:
    assert hostkey.load(tmp_path, lambda count: b"\7" * count).seed == b"\7" * 32


def test_what_a_crash_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "host.new").write_bytes(b"half")
    hostkey.load(tmp_path, os.urandom)
    assert [file.name for file in tmp_path.iterdir()] == ["host.key"]


@pytest.mark.parametrize("data", [b"", b"\x08\x01\x12\x40", bytes(68)])
def test_a_file_that_holds_no_key(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "host.key").write_bytes(data)
    with pytest.raises(FormatError, match="holds no Ed25519 key"):
        hostkey.load(tmp_path, os.urandom)
    assert (tmp_path / "host.key").read_bytes() == data
