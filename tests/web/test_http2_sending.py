"""What a connection sends: as the windows of RFC 9113 let it, in turns, at a cost that other streams do not raise."""

import struct
import sys
import tracemalloc
from collections import Counter, deque
from dataclasses import dataclass, field

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from threadd.web.http2 import ServerConnection
from threadd.web.http2_frames import (
    END_STREAM,
    HEAD,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    PREFACE,
    ConnectionEndedError,
    ErrorCode,
    Kind,
    frame,
    literal,
)

REQUEST = b"".join(literal(name, b"x") for name in (b":method", b":scheme", b":path"))
TRAILERS = literal(b"grpc-status", b"0")
FIRST_WINDOW = 65_535


def initial_window(*sizes):
    return frame(Kind.SETTINGS, 0, 0, b"".join(struct.pack(">HI", 4, size) for size in sizes))


def window_update(stream, size):
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def frames_of(data):
    """Kind, flags, stream and payload of each frame."""
    found, at = [], 0
    while at < len(data):
        high, low, kind, flags, stream = HEAD.unpack_from(data, at)
        at += HEAD.size + (high << 8 | low)
        found.append((kind, flags, stream, data[at - (high << 8 | low) : at]))
    return found


class Server:
    """A connection with streams that are open and do nothing by themselves."""

    def __init__(self, streams=0):
        self.streams = {}
        self.all_sent = []
        self.connection = ServerConnection(self, max_streams=100_000)
        self.receive(PREFACE + initial_window(FIRST_WINDOW))
        for _ in range(streams):
            self.open()
        self.drain()

    def opened(self, stream, _headers):
        self.streams[stream.id] = stream

    def received(self, stream, data):
        self.connection.allow(stream, len(data))

    def half_closed(self, stream):
        pass

    def broken(self, stream):
        pass

    def sent(self, stream):
        self.all_sent.append(stream.id)

    def receive(self, data):
        assert not self.connection.receive(data)

    def open(self):
        number = 2 * len(self.streams) + 1
        self.receive(frame(Kind.HEADERS, 5, number, REQUEST))
        return self.streams[number]

    def drain(self):
        """Take until nothing more can be sent; returns the frames."""
        found = []
        while self.connection.can_send:
            found += frames_of(self.connection.take())
        assert self.connection.take() == b""
        return found

    def data(self):
        """Drain; returns the stream and the size of each DATA frame."""
        return [(stream, len(payload)) for kind, _, stream, payload in self.drain() if kind == Kind.DATA]


# Any order of things, against a model that looks at every stream each time.


@dataclass
class ModelStream:
    window: int
    body: bytes = b""
    sent: int = 0
    ending: bool = False
    ended: bool = False


@dataclass
class Model:
    """Windows by the words of the RFC, and what each stream was given to send."""

    window: int = FIRST_WINDOW
    initial: int = FIRST_WINDOW
    streams: dict[int, ModelStream] = field(default_factory=dict)
    unacknowledged: deque[int] = field(default_factory=deque)

    def acknowledged(self):
        size = self.unacknowledged.popleft()
        for stream in self.streams.values():
            stream.window += size - self.initial
        self.initial = size

    def take(self, frames):
        for kind, flags, number, payload in frames:
            if kind == Kind.DATA:
                stream, size = self.streams[number], len(payload)
                assert not stream.ended
                assert 0 < size <= min(MAX_FRAME_BYTES, self.window, stream.window)
                assert payload == stream.body[stream.sent : stream.sent + size]
                stream.sent += size
                stream.window -= size
                self.window -= size
            elif kind == Kind.HEADERS:
                assert flags & END_STREAM
                assert self.streams[number].ending
                assert self.streams[number].sent == len(self.streams[number].body)
                self.streams[number].ended = True
            elif kind == Kind.SETTINGS:
                self.acknowledged()

    def check_that_nothing_more_can_be_sent(self):
        for stream in self.streams.values():
            if stream.sent < len(stream.body):
                assert self.window <= 0 or stream.window <= 0
            else:
                assert stream.ended == stream.ending


steps = st.one_of(
    st.tuples(st.just("open"), st.just(0), st.just(0)),
    st.tuples(st.just("send"), st.integers(0, 9), st.sampled_from([0, 1, 5, 300, 20_000, 150_000])),
    st.tuples(st.just("end"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("reset"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("initial"), st.just(0), st.sampled_from([0, 1, 2, 10, 1000, FIRST_WINDOW, 200_000])),
    st.tuples(st.just("window"), st.integers(-1, 9), st.sampled_from([1, 2, 100, 30_000, 500_000])),
    st.tuples(st.just("take"), st.just(0), st.just(0)),
    st.tuples(st.just("drain"), st.just(0), st.just(0)),
)


class Run:
    """The same steps with the connection and with the model."""

    def __init__(self):
        self.server, self.model = Server(), Model()

    def step(self, what, which, size):
        alive = [number for number, stream in self.model.streams.items() if not (stream.ending or stream.ended)]
        number = alive[which % len(alive)] if alive and which >= 0 else 0
        connection = self.server.connection
        if what == "open":
            self.model.take(frames_of(connection.take()))
            self.model.streams[self.server.open().id] = ModelStream(self.model.initial)
        elif what == "initial":
            self.server.receive(initial_window(7, size))
            self.model.unacknowledged.append(size)
        elif what == "window":
            self.server.receive(window_update(number, size))
            windows = self.model if number == 0 else self.model.streams[number]
            windows.window += size
        elif what == "take":
            self.model.take(frames_of(connection.take()))
        elif what == "drain":
            self.model.take(self.server.drain())
            self.model.check_that_nothing_more_can_be_sent()
        elif number:
            self.on(number, what, size)

    def on(self, number, what, size):
        connection, stream = self.server.connection, self.server.streams[number]
        if what == "send":
            start = len(self.model.streams[number].body)
            body = bytes((start + at) % 251 for at in range(size))
            self.model.streams[number].body += body
            connection.send_data(stream, body)
        elif what == "end":
            self.model.streams[number].ending = True
            connection.end(stream, TRAILERS)
        elif what == "reset":
            self.model.take(self.server.drain())
            self.server.receive(frame(Kind.RST_STREAM, 0, number, bytes(4)))
            del self.model.streams[number]


@settings(deadline=None, max_examples=150)
@given(st.lists(steps, max_size=60))
def test_whatever_comes_streams_send_what_their_windows_let_them_and_no_more(chosen):
    run = Run()
    for step in [("open", 0, 0), ("open", 0, 0), *chosen]:
        run.step(*step)
    run.step("drain", 0, 0)
    for number, stream in run.model.streams.items():
        if not stream.ended:
            run.server.receive(window_update(0, len(stream.body) + 1) + window_update(number, 1 << 24))
            stream.window += 1 << 24
            run.model.window += len(stream.body) + 1
    run.step("drain", 0, 0)
    assert all(stream.sent == len(stream.body) for stream in run.model.streams.values())


# What a frame costs.


def lines_run(work):
    """How many lines of Python a piece of work takes: each turn of a loop is one at least."""
    count = 0

    def trace(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def held_by_the_connection(streams):
    """A connection whose streams all wait for its window."""
    server = Server(streams)
    server.connection.send_data(server.streams[1], bytes(FIRST_WINDOW))
    for stream in server.streams.values():
        server.connection.send_data(stream, bytes(100))
    server.drain()
    return server


def held_by_themselves(streams):
    """A connection whose streams all wait for windows of their own."""
    server = Server(streams)
    server.receive(initial_window(0) + window_update(0, 1 << 24))
    for stream in server.streams.values():
        server.connection.send_data(stream, bytes(100))
    server.drain()
    return server


COSTS = {
    "a window of the connection": window_update(0, 1),
    "a window of a stream": window_update(5, 1),
    "an initial window": initial_window(1),
    "many initial windows": initial_window(*range(2_730)),
    "the same settings": initial_window(FIRST_WINDOW),
    "windows that open and shut": initial_window(0) + initial_window(FIRST_WINDOW) + initial_window(0),
    "a ping": frame(Kind.PING, 0, 0, bytes(8)),
    "a priority": frame(Kind.PRIORITY, 0, 5, bytes(5)),
    "an unknown frame": frame(99, 0, 5, bytes(5)),
    "an empty piece of a request": frame(Kind.DATA, 0, 5, b""),
    "a stream that is broken off": frame(Kind.RST_STREAM, 0, 5, bytes(4)),
}


@pytest.mark.parametrize("held", [held_by_the_connection, held_by_themselves])
@pytest.mark.parametrize("what", COSTS)
def test_a_frame_costs_the_same_however_many_streams_are_open(held, what):
    few, many = held(10), held(2_000)
    cost = lines_run(lambda: few.connection.receive(COSTS[what]))
    assert lines_run(lambda: many.connection.receive(COSTS[what])) == cost


@pytest.mark.parametrize("held", [held_by_the_connection, held_by_themselves])
def test_what_is_sent_after_a_frame_costs_in_proportion_to_itself(held):
    costs = {}
    for streams in (10, 2_000):
        server = held(streams)
        server.receive(window_update(0, 1) + window_update(5, 1))
        costs[streams] = lines_run(server.connection.take)
    assert costs[2_000] == costs[10]


def test_settings_that_open_and_shut_every_window_move_no_stream():
    costs = {}
    for streams in (10, 2_000):
        server = held_by_the_connection(streams)

        def flap(server=server):
            for _ in range(20):
                server.connection.receive(initial_window(0))
                server.connection.take()
                server.connection.receive(initial_window(FIRST_WINDOW))
                server.connection.take()

        costs[streams] = lines_run(flap)
    assert costs[2_000] == costs[10]


def test_one_take_is_bounded_however_many_streams_may_send():
    server = held_by_themselves(5_000)
    server.receive(initial_window(1))
    data = server.connection.take()
    assert 0 < len(data) < 20_000
    assert server.connection.can_send
    assert len(server.data()) + len(frames_of(data)) - 1 == 5_000


def test_the_rest_of_a_long_reply_is_not_copied():
    server = Server(1)
    server.receive(initial_window(0) + window_update(0, 1 << 24))
    server.connection.send_data(server.streams[1], bytes(1 << 23))
    server.drain()
    tracemalloc.start()
    try:
        for _ in range(20):
            server.receive(window_update(1, 1))
            assert server.data() == [(1, 1)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_window_that_opens_serves_all_streams_in_turn():
    server = Server(500)
    server.connection.send_data(server.streams[1], bytes(FIRST_WINDOW))
    for stream in server.streams.values():
        server.connection.send_data(stream, bytes(40_000))
    server.drain()
    server.receive(window_update(0, 500 * MAX_FRAME_BYTES))
    served = [stream for stream, _ in server.data()]
    assert Counter(served) == dict.fromkeys(server.streams, 1)
    server.receive(window_update(0, 1 << 24))
    served = [stream for stream, _ in server.data()]
    assert set(served[:500]) == set(server.streams)


def test_streams_that_a_larger_initial_window_lets_send_wait_for_none_that_send_on():
    server = Server(2)
    server.receive(window_update(0, 1 << 24) + window_update(1, 1 << 24) + initial_window(0))
    server.connection.send_data(server.streams[1], bytes(1 << 22))
    server.connection.send_data(server.streams[3], bytes(100))
    server.connection.take()
    server.receive(initial_window(100))
    assert (3, 100) in server.data()[:3]


def test_what_ends_a_stream_needs_no_window():
    server = held_by_the_connection(3)
    other = server.open()
    server.connection.send_headers(other, TRAILERS)
    server.connection.end(other, TRAILERS)
    assert [(kind, stream) for kind, _, stream, _ in server.drain()] == [(Kind.HEADERS, 7), (Kind.HEADERS, 7)]


def test_replies_that_are_not_taken_wait_with_their_streams():
    server = Server(1_000)
    for stream in server.streams.values():
        server.connection.send_data(stream, bytes(50))
        server.connection.end(stream, TRAILERS + literal(b"grpc-message", bytes(100)))
    waiting = len(server.connection._open)
    assert 0 < waiting < 1_000
    assert len(server.connection.take()) < 70_000
    server.drain()
    assert server.connection.is_idle


# What breaks the rules.


def test_answers_that_nobody_reads_end_the_connection():
    for asked in (frame(Kind.PING, 0, 0, bytes(8)), frame(Kind.SETTINGS, 0, 0, b"")):
        server = Server()
        with pytest.raises(ConnectionEndedError) as ended:
            server.receive(asked * 5_000)
        assert ended.value.code is ErrorCode.ENHANCE_YOUR_CALM
        assert len(server.connection.take()) < 100_000


def test_padding_whose_windows_nobody_reads_ends_the_connection():
    server = Server()
    server.receive(frame(Kind.HEADERS, 4, 1, REQUEST))
    with pytest.raises(ConnectionEndedError) as ended:
        server.receive(frame(Kind.DATA, 8, 1, b"\x02\0\0") * 5_000)
    assert ended.value.code is ErrorCode.ENHANCE_YOUR_CALM
    assert len(server.connection.take()) < 100_000


def test_streams_refused_or_malformed_whose_end_nobody_reads_end_the_connection():
    malformed = literal(b":method", b"POST")
    for block, limit in ((REQUEST, 0), (malformed, 10)):
        connection = ServerConnection(Server(), max_streams=limit)
        with pytest.raises(ConnectionEndedError) as ended:
            connection.receive(
                PREFACE + b"".join(frame(Kind.HEADERS, 5, number, block) for number in range(1, 20_001, 2))
            )
        assert ended.value.code is ErrorCode.ENHANCE_YOUR_CALM
        assert len(connection.take()) < 100_000


def test_streams_that_are_made_to_be_broken_off_count_as_broken_off():
    server = Server()
    number = 1
    with pytest.raises(ConnectionEndedError) as ended:
        while True:
            server.receive(frame(Kind.HEADERS, 4, number, REQUEST) + window_update(number, 0))
            server.connection.take()
            number += 2
    assert ended.value.code is ErrorCode.ENHANCE_YOUR_CALM
    assert number < 30_000


def test_a_window_that_is_too_large_by_settings_ends_the_connection_when_its_stream_is_used():
    server = Server(1)
    server.receive(window_update(1, MAX_WINDOW - FIRST_WINDOW))
    server.receive(initial_window(FIRST_WINDOW + 1))
    with pytest.raises(ConnectionEndedError) as ended:
        server.connection.receive(window_update(1, 1))
    assert ended.value.code is ErrorCode.FLOW_CONTROL_ERROR


def test_a_header_block_that_changes_its_table_again_and_again_is_refused():
    server = Server()
    server.receive(frame(Kind.HEADERS, 5, 1, b"\x20\x3f\x45" + REQUEST))
    with pytest.raises(ConnectionEndedError) as ended:
        server.receive(frame(Kind.HEADERS, 5, 3, b"\x20" * 10_000 + REQUEST))
    assert ended.value.code is ErrorCode.COMPRESSION_ERROR


def test_what_is_remembered_of_header_blocks_is_bounded():
    server = Server()
    names = [f"x-{number}".encode() for number in range(20)]
    table = b"".join(b"\x40" + literal(name, bytes([65 + at]) * 100)[1:] for at, name in enumerate(names))
    server.receive(frame(Kind.HEADERS, 5, 1, table))
    for at in range(1_000):
        block = bytes((0x83, 0x86, 0x84, 0xBE + at % 20, 0xBE + at // 20 % 20, 0xBE + at // 400))
        server.receive(frame(Kind.HEADERS, 5, 3 + 2 * at, block))
    kept = server.connection._header_reader._known.values()
    assert 0 < len(kept) <= 64
    assert sum(len(name) + len(value) + 32 for headers in kept for name, value in headers) <= 16 * 1024


def test_frames_are_taken_a_part_at_a_time_and_none_is_lost():
    pings = [struct.pack(">Q", number) for number in range(3_000)]
    data = b"".join(frame(Kind.PING, 0, 0, ping) for ping in pings)
    server = Server()
    answered = []
    more, turns = server.connection.receive(data[:40_000], 500), 1
    data = data[40_000:]
    while more or data:
        answered += frames_of(server.connection.take())
        if not more:
            more, data = server.connection.receive(data[:30_000], 500), data[30_000:]
        else:
            more = server.connection.receive(b"", 500)
        turns += 1
    answered += frames_of(server.connection.take())
    assert [payload for _, _, _, payload in answered] == pings
    assert turns > 10


def test_header_blocks_are_as_much_work_as_they_take_to_read():
    """Many kilobytes of Huffman codes take milliseconds, and only a few such blocks are read at a time."""
    block = REQUEST + Encoder().encode([(b"x", b"0" * 12_000)], huffman=True)
    server = Server()
    data = b"".join(frame(Kind.HEADERS, 4, number, block) for number in range(1, 61, 2))
    more, parts = server.connection.receive(data, 1_000), 1
    while more:
        more, parts = server.connection.receive(b"", 1_000), parts + 1
    assert len(server.streams) == 30
    assert parts == 30
