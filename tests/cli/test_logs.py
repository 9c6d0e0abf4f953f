"""What a log line looks like, and what never stands in one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from threadd import logs

SECRET = "bpb4hq6dypb4hq6dypb4hq6dypb4hq6dypb4hq6a"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fail(token: str) -> None:
    raise RuntimeError(f"failed with {len(token)} characters")


def test_json_lines() -> None:
    stream = io.StringIO()
    logs.set_up("info", "auto", stream)
    structlog.get_logger("threadd.test").info("key made", key="bkey", secret=SECRET, token=SECRET)
    structlog.get_logger("threadd.test").debug("not shown")
    logging.getLogger("library").warning("says %s", "this")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "key made",
        "key": "bkey",
        "secret": "(hidden)",
        "token": "(hidden)",
        "level": "info",
        "logger": "threadd.test",
    }
    assert (second["event"], second["level"], second["logger"]) == ("says this", "warning", "library")


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_traceback_shows_no_variables(form: str) -> None:
    stream = io.StringIO()
    logs.set_up("info", form, stream)
    for log in (structlog.get_logger("threadd.test"), logging.getLogger("library")):
        try:
            fail(SECRET)
        except RuntimeError:
            log.exception("it broke")
    text = stream.getvalue()
    assert text.count("failed with 40 characters") >= 2
    assert SECRET not in text


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    logs.set_up("info", "auto", stream)
    structlog.get_logger("threadd.test").info("hello", place="here")
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_levels() -> None:
    stream = io.StringIO()
    logs.set_up("error", "human", stream)
    structlog.get_logger("threadd.test").warning("not shown")
    logging.getLogger("library").warning("not shown")
    structlog.get_logger("threadd.test").error("shown")
    assert stream.getvalue().count("shown") == 1


STRANGE = "boo\x1b[2J\x9b2K\u202e\r\n2026-11-30T17:00:00Z [info     ] confirm the sign-in of local"


@pytest.mark.parametrize("form", ["human", "json"])
def test_what_strangers_write_stays_in_its_line_and_moves_no_cursor(form: str) -> None:
    stream = io.StringIO()
    logs.set_up("info", form, stream)
    logging.getLogger("net.sync").warning("exchange with a peer: %s", STRANGE)
    structlog.get_logger("threadd.test").info(STRANGE, size=1, path=STRANGE, name="größe")
    structlog.get_logger("threadd.test").error("failed", exc_info=ValueError(STRANGE))
    logging.getLogger("library").error("failed", exc_info=ValueError(STRANGE))
    lines = stream.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026-11-30T17:00:00Z") for line in lines)
    assert form == "json" or "größe" in stream.getvalue()
    shown = [line for text in list(logs.recent.lines)[-4:] for line in text.split("\n")]
    assert all(line.isprintable() for line in shown)
