"""A gRPC client that sends what it is told, frame by frame, and no more: for what no proper client does."""

import asyncio
import struct
from contextlib import asynccontextmanager

from hpack import Decoder

from threadd.web.http2_frames import END_HEADERS, END_STREAM, HEAD, PREFACE, Kind, frame, literal


def request_headers(method, metadata=(), authority=b"localhost"):
    """The header block of a call."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", authority),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *metadata,
    ]
    return b"".join(literal(name, value) for name, value in fields)


def prefix(length):
    """What announces a message of so many bytes."""
    return struct.pack(">BI", 0, length)


class RawConnection:
    """One connection.

    Attributes:
        statuses: The gRPC status of each stream that has ended, by its number.
        request_ids: The name of the request in the trailers of each stream.
        windows: How much more than at first may be sent on each stream; 0 is the connection.
        settings: What the server said last of each setting.
        resets: The error code of each stream that was reset.
        goodbye: The error code the server ended the connection with; None while it did not.
        ended: Whether the server has hung up.
    """

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.statuses, self.request_ids, self.windows, self.settings, self.resets = {}, {}, {}, {}, {}
        self.goodbye = None
        self.ended = False
        self.news = asyncio.Event()
        self._decoder = Decoder(max_header_list_size=1 << 20)
        self._next = 1
        self._reading = asyncio.create_task(self._read())
        writer.write(PREFACE + frame(Kind.SETTINGS, 0, 0, b""))

    def open(self, method, metadata=(), *, end=False, block=None):
        """Begin a call; returns its stream."""
        stream, self._next = self._next, self._next + 2
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.writer.write(frame(Kind.HEADERS, flags, stream, block or request_headers(method, metadata)))
        return stream

    def data(self, stream, data, *, end=False):
        """Send a part of a body of at most 16 kB."""
        self.writer.write(frame(Kind.DATA, END_STREAM if end else 0, stream, data))

    def reset(self, stream):
        """Break a call off."""
        self.writer.write(frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", 8)))

    async def until(self, condition, seconds=20):
        """Wait until something holds of what came."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def status(self, stream, seconds=20):
        """The gRPC status a call ends with, and its text."""
        await self.until(lambda: stream in self.statuses, seconds)
        return self.statuses[stream]

    async def close(self):
        self._reading.cancel()
        self.writer.close()
        await asyncio.gather(self._reading, self.writer.wait_closed(), return_exceptions=True)

    async def _read(self):
        try:
            while True:
                high, low, kind, flags, stream = HEAD.unpack(await self.reader.readexactly(HEAD.size))
                self._take(kind, flags, stream, await self.reader.readexactly(high << 8 | low))
                self.news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended = True
            self.news.set()

    def _take(self, kind, flags, stream, payload):
        if kind == Kind.HEADERS:
            fields = dict(self._decoder.decode(payload))
            if flags & END_STREAM:
                self.request_ids[stream] = fields.get("x-request-id", "")
                self.statuses[stream] = (int(fields.get("grpc-status", -1)), fields.get("grpc-message", ""))
        elif kind == Kind.WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, 0) + struct.unpack(">I", payload)[0]
        elif kind == Kind.SETTINGS and not flags:
            self.settings |= dict(struct.iter_unpack(">HI", payload))
            self.writer.write(frame(Kind.SETTINGS, 1, 0, b""))
        elif kind == Kind.RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif kind == Kind.GOAWAY:
            self.goodbye = struct.unpack_from(">I", payload, 4)[0]


@asynccontextmanager
async def raw_connection(address):
    """A connection to `host:port`."""
    host, port = address.rsplit(":", 1)
    connection = RawConnection(*await asyncio.open_connection(host, int(port)))
    try:
        yield connection
    finally:
        await connection.close()
