"""Logging: one line an event, on standard error; for people on a terminal, as JSON otherwise."""

import io
import logging
import sys
import textwrap
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

RECENT_LINES: Final = 300
"""How many lines are kept in memory for the operator's pages."""

current_request_id: ContextVar[Callable[[], str] | None] = ContextVar("current_request_id", default=None)
"""Gives the name of the call in whose course something is logged."""

_OWN = ("threadd", "store", "net")
"""The packages whose every level may be logged."""

_SECRET_NAMES = frozenset(
    {"secret", "token", "authorization", "private_key", "seed", "signature", "password", "read_key", "service_key"}
)


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the value of anything that is named like a secret out of the log, whoever put it there."""
    for name in event.keys() & _SECRET_NAMES:
        event[name] = "(hidden)"
    return event


def _name_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the call that an event belongs to."""
    if (request_id := current_request_id.get()) is not None:
        event.setdefault("request_id", request_id())
    return event


def printable(text: str, kept: str = "") -> str:
    """A text as people may be shown it: what strangers wrote shall not move the cursor, nor begin lines of its own.

    Args:
        text: Any text.
        kept: Characters that stay, printable or not.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else ascii(one)[1:-1] for one in text)


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make all texts of an event printable."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _write_traceback(stream: TextIO, error: ExcInfo) -> None:
    """Write a traceback without variables; no line of it begins as one of the log does."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    stream.write(textwrap.indent(printable(written.getvalue(), kept="\n"), "  "))


class RecentLines(logging.Handler):
    """Keeps the last lines in memory, without colours.

    Attributes:
        lines: The lines, the oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=RECENT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            self.lines.append(self.format(record))
        except Exception:  # noqa: BLE001  a line that cannot be written must not end what it tells of
            self.handleError(record)


recent: Final = RecentLines()
"""The last lines of this process."""


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for the process; the logs of libraries take the same way.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``human``, ``json``, or ``auto`` for human on a terminal and JSON elsewhere.
        stream: Where to write; standard error when left out.
    """
    stream = stream or sys.stderr
    human = form == "human" or (form == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_request,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    # A traceback shows no variables: keys and tokens are among them.
    last: list[Processor] = (
        [
            _escape_controls,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_write_traceback),
        ]
        if human
        else [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=_write_traceback)
    recent.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _escape_controls, plain],
        )
    )
    root.handlers[:] = [handler, recent]
    # What libraries say below info holds headers and frames as they came: tokens and sessions among them.
    root.setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.INFO))
    for package in _OWN:
        logging.getLogger(package).setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
