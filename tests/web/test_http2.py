"""HTTP/2 of the gRPC doors: against h2 as a client, against what breaks the rules, and against garbage."""

import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from threadd.web import http2
from threadd.web.http2 import ServerConnection
from threadd.web.http2_frames import (
    MAX_FRAME_BYTES,
    PREFACE,
    ConnectionEndedError,
    ErrorCode,
    Kind,
    are_trailers,
    frame,
    literal,
    string,
)

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a/B"),
    (":authority", "here"),
    ("content-type", "application/grpc"),
]
HEADERS = literal(b":status", b"200") + literal(b"content-type", b"application/grpc")
TRAILERS = literal(b"grpc-status", b"0") + literal(b"x-long", b"y" * 5000)
SETTINGS = frame(Kind.SETTINGS, 0, 0, b"")


class Server:
    """A server that answers each whole request with its body, or with what it is told."""

    def __init__(self, answer=None, *, take=True, max_streams=http2.FIRST_STREAMS):
        self.connection = ServerConnection(self, max_streams=max_streams)
        self.answer = answer
        self.take = take
        self.seen = []
        self.bodies = {}

    def opened(self, stream, headers):
        self.seen.append(("opened", stream.id))
        self.headers = headers
        self.bodies[stream.id] = bytearray()

    def received(self, stream, data):
        self.bodies[stream.id] += data
        if self.take:
            self.connection.allow(stream, len(data))

    def half_closed(self, stream):
        self.seen.append(("half closed", stream.id))
        self.connection.send_headers(stream, HEADERS)
        self.connection.send_data(stream, bytes(self.bodies[stream.id]) if self.answer is None else self.answer)
        self.connection.end(stream, TRAILERS)

    def broken(self, stream):
        self.seen.append(("broken", stream.id))

    def sent(self, stream):
        self.seen.append(("sent", stream.id))


class Client:
    """h2 as a client."""

    def __init__(self, settings=None, **options):
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.server = Server(**options)
        self.events = []
        self.bodies = {}

    def talk(self, cut=1 << 30):
        """Bring bytes from one to the other until both are silent; requests come in pieces of at most `cut` bytes."""
        while True:
            data = self.h2.data_to_send()
            for at in range(0, len(data), cut):
                self.server.connection.receive(data[at : at + cut])
            answer = self.server.connection.take()
            if not (data or answer):
                return
            for event in self.h2.receive_data(answer):
                self.events.append(event)
                if isinstance(event, DataReceived):
                    self.bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def send(self, body, pad=None):
        """Send a request as far as the windows let it, and wait for the rest."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, REQUEST)
        at = 0
        while at < len(body):
            self.talk()
            room = min(self.h2.local_flow_control_window(stream), MAX_FRAME_BYTES - 256)
            assert room > 0
            self.h2.send_data(stream, body[at : at + room], pad_length=pad)
            at += room
        self.h2.end_stream(stream)
        return stream

    def kinds(self, stream):
        kinds = [type(event) for event in self.events if getattr(event, "stream_id", None) == stream]
        return [kind for kind in kinds if kind is not WindowUpdated]


@settings(max_examples=60, deadline=None)
@given(
    bodies=st.lists(st.integers(0, 100_000).map(lambda size: bytes([size % 251]) * size), min_size=1, max_size=4),
    window=st.one_of(st.none(), st.integers(200, 100_000)),
    cut=st.integers(20, 50_000),
    pad=st.one_of(st.none(), st.integers(0, 255)),
)
def test_what_is_sent_comes_back_whatever_the_windows_and_the_pieces(bodies, window, cut, pad):
    client = Client({SettingCodes.INITIAL_WINDOW_SIZE: window} if window else None)
    streams = {client.send(body, pad): body for body in bodies}
    client.talk(cut)
    for stream, body in streams.items():
        assert client.bodies.get(stream, b"") == body
        kinds = client.kinds(stream)
        assert kinds[0] is ResponseReceived
        assert kinds[-2:] == [TrailersReceived, StreamEnded]
    assert client.server.connection.is_idle


def test_a_window_that_shrinks_and_opens_again():
    client = Client({SettingCodes.INITIAL_WINDOW_SIZE: 10}, answer=b"x" * 100)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, REQUEST, end_stream=True)
    client.server.connection.receive(client.h2.data_to_send())
    client.h2.receive_data(client.server.connection.take())
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.talk()
    assert not client.server.connection.is_idle
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    client.talk()
    assert client.server.connection.is_idle
    assert ("sent", stream) in client.server.seen


def test_a_client_cannot_send_more_than_is_taken():
    client = Client(take=False)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, REQUEST)
    sent = 0
    client.talk()
    while room := min(client.h2.local_flow_control_window(stream), MAX_FRAME_BYTES):
        client.h2.send_data(stream, bytes(room))
        sent += room
        client.talk()
    assert sent == http2.STREAM_WINDOW
    other = client.send(b"others go on")
    client.talk()
    assert client.bodies[other] == b"others go on"
    client.server.connection.receive(frame(Kind.DATA, 0, stream, b"more"))
    assert ("broken", stream) in client.server.seen


def test_a_broken_stream_is_told_and_forgotten():
    client = Client()
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, REQUEST)
    client.h2.reset_stream(stream, ErrorCodes.CANCEL)
    client.talk()
    assert client.server.seen == [("opened", stream), ("broken", stream)]
    assert client.server.connection.is_idle


def test_an_answer_before_the_request_is_whole_ends_the_stream():
    client = Client()
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, REQUEST)
    client.talk()
    opened = client.server.connection._open[stream]
    client.server.connection.end(opened, HEADERS)
    client.talk()
    assert StreamReset in client.kinds(stream)
    client.server.connection.receive(frame(Kind.DATA, 1, stream, b"late"))
    assert client.server.seen == [("opened", stream)]


def test_pings_are_answered_and_headers_may_be_cut():
    client = Client()
    client.h2.ping(b"12345678")
    client.talk()
    assert any(isinstance(event, PingAckReceived) for event in client.events)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, [*REQUEST, ("x-long", "y" * 15_000)], end_stream=True)
    client.talk(3)
    assert client.server.headers[-1] == (b"x-long", b"y" * 15_000)
    block = request_block() + literal(b"x-long", b"z" * 15_000)
    pieces = [block[at : at + 1000] for at in range(0, len(block), 1000)]
    client.server.connection.receive(frame(Kind.HEADERS, 1, stream + 2, pieces[0]))
    for piece in pieces[1:-1]:
        client.server.connection.receive(frame(Kind.CONTINUATION, 0, stream + 2, piece))
    client.server.connection.receive(frame(Kind.CONTINUATION, 4, stream + 2, pieces[-1]))
    assert client.server.headers[-1] == (b"x-long", b"z" * 15_000)


def test_headers_count_as_they_are_kept_and_not_as_they_were_sent():
    """A few bytes that name an entry of the table many times."""
    large = b"\x40" + string(b"x-long") + string(b"y" * 3_900)
    for times, fits in ((3, True), (4, True), (5, False)):
        server = Server()
        server.connection.receive(PREFACE + SETTINGS)
        server.connection.receive(frame(Kind.HEADERS, 5, 1, request_block() + large))
        block = request_block() + bytes([0x80 | 62]) * times
        if fits:
            server.connection.receive(frame(Kind.HEADERS, 5, 3, block))
            assert server.headers.count((b"x-long", b"y" * 3_900)) == times
        else:
            with pytest.raises(ConnectionEndedError, match="headers cannot be read"):
                server.connection.receive(frame(Kind.HEADERS, 5, 3, block))


def test_headers_that_point_into_the_table_mean_what_they_meant_until_it_changes():
    client = Client()
    for value in ("one", "one", "two", "one", "one", "two"):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [*REQUEST, ("x-value", value)], end_stream=True)
        client.talk()
        assert client.server.headers[-1] == (b"x-value", value.encode())


def request_block(*headers):
    pairs = headers or [(name.encode(), value.encode()) for name, value in REQUEST]
    return b"".join(literal(name, value) for name, value in pairs)


OPEN = frame(Kind.HEADERS, 4, 1, request_block())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
        (PREFACE + struct.pack(">I", (MAX_FRAME_BYTES + 1) << 8) + bytes(5), ErrorCode.FRAME_SIZE_ERROR),
        (PREFACE + frame(Kind.DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.HEADERS, 4, 0, request_block()), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.HEADERS, 4, 2, request_block()), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.HEADERS, 5, 3, request_block()) + OPEN, ErrorCode.STREAM_CLOSED),
        (PREFACE + frame(Kind.HEADERS, 4, 1, b"\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
        (PREFACE + frame(Kind.HEADERS, 0, 1, b"") + SETTINGS, ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.CONTINUATION, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.HEADERS, 0, 1, b"") + frame(Kind.CONTINUATION, 0, 1, b""), ErrorCode.ENHANCE_YOUR_CALM),
        (
            PREFACE + frame(Kind.HEADERS, 0, 1, b"") + frame(Kind.CONTINUATION, 0, 1, bytes(16_000)) * 5,
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        (PREFACE + frame(Kind.SETTINGS, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.SETTINGS, 0, 0, b"x"), ErrorCode.FRAME_SIZE_ERROR),
        (PREFACE + frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), ErrorCode.FLOW_CONTROL_ERROR),
        (PREFACE + frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 5, 1)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.PING, 0, 0, b"x"), ErrorCode.FRAME_SIZE_ERROR),
        (PREFACE + frame(Kind.PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.PUSH_PROMISE, 4, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.RST_STREAM, 0, 5, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.WINDOW_UPDATE, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (PREFACE + OPEN + frame(Kind.DATA, 8, 1, b"\x05x"), ErrorCode.PROTOCOL_ERROR),
        (PREFACE + frame(Kind.PING, 0, 0, bytes(8)) * 70_000, ErrorCode.ENHANCE_YOUR_CALM),
        (
            PREFACE
            + b"".join(
                frame(Kind.HEADERS, 4, number, request_block()) + frame(Kind.RST_STREAM, 0, number, bytes(4))
                for number in range(1, 20_005, 2)
            ),
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_what_breaks_the_rules_ends_the_connection_with_a_word(data, code):
    server = Server()
    with pytest.raises(ConnectionEndedError) as ended:
        server.connection.receive(data)
    assert ended.value.code is code
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    answer = server.connection.take()
    goodbye = answer[answer.rindex(b"\x07\x00\x00\x00\x00\x00") - 3 :]
    assert goodbye[3] == Kind.GOAWAY
    assert struct.unpack_from(">I", goodbye, 13)[0] == code


@pytest.mark.parametrize(
    "headers",
    [
        [(b":method", b"POST"), (b":scheme", b"http")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"Upper", b"x")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"connection", b"close")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"te", b"gzip")],
        [(b":method", b"POST"), (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b"x", b"y"), (b":path", b"/")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":status", b"200")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a\r\nb")],
        *(
            [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"x-name", value)]
            for value in (b"a\rb", b"a\nb", b"a\0b", b"\r", b"\n", b"\0")
        ),
        *(
            [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (name, b"x")]
            for name in (b"", b"a b", b"a\0", b"a\r", b"a\n", b"a:", b"\xe9", b"a\x7f", b"a(b", b"aB")
        ),
    ],
)
def test_a_malformed_request_is_broken_off_and_the_rest_goes_on(headers):
    server = Server()
    server.connection.receive(PREFACE + frame(Kind.HEADERS, 5, 1, request_block(*headers)))
    assert frame(Kind.RST_STREAM, 0, 1, struct.pack(">I", ErrorCode.PROTOCOL_ERROR)) in server.connection.take()
    server.connection.receive(frame(Kind.HEADERS, 5, 3, request_block()))
    assert server.seen == [("opened", 3), ("half closed", 3)]


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t", b" ", b"bearer "])
def test_white_space_at_the_ends_of_a_value_is_taken_as_clients_send_it(value):
    server = Server()
    block = request_block((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b"authorization", value))
    server.connection.receive(PREFACE + frame(Kind.HEADERS, 5, 1, block))
    assert server.seen == [("opened", 1), ("half closed", 1)]


@pytest.mark.parametrize("trailer", [(b"x-name", b"a\nb"), (b"X", b"y"), (b":path", b"/"), (b"connection", b"x")])
def test_malformed_trailers_break_their_stream_off(trailer):
    server = Server()
    server.connection.receive(PREFACE + OPEN + frame(Kind.HEADERS, 5, 1, literal(*trailer)))
    assert frame(Kind.RST_STREAM, 0, 1, struct.pack(">I", ErrorCode.PROTOCOL_ERROR)) in server.connection.take()
    assert server.seen == [("opened", 1), ("broken", 1)]


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_headers_are_taken_as_the_rules_of_characters_say(name, value):
    is_name = all(byte in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" for byte in name)
    is_value = not set(value) & {0, 10, 13} and value == value.strip(b"\t ")
    assert are_trailers([(b"x" + name, value)]) == (is_name and is_value)


REFUSED = struct.pack(">I", ErrorCode.REFUSED_STREAM)


def open_streams(*numbers):
    return b"".join(frame(Kind.HEADERS, 4, number, request_block()) for number in numbers)


def test_one_stream_too_many_is_refused_until_more_are_allowed():
    server = Server(max_streams=2)
    server.connection.receive(PREFACE + open_streams(1, 3, 5))
    assert frame(Kind.RST_STREAM, 0, 5, REFUSED) in server.connection.take()
    server.connection.allow_streams(3)
    assert server.connection.take() == frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 3, 3))
    server.connection.receive(open_streams(7, 9))
    assert server.connection.take() == frame(Kind.RST_STREAM, 0, 9, REFUSED)
    assert [what for what, _ in server.seen] == ["opened"] * 3


def test_streams_that_were_allowed_stay_allowed():
    server = Server(max_streams=3)
    server.connection.take()
    server.connection.allow_streams(2)
    server.connection.receive(PREFACE + open_streams(1, 3, 5))
    assert server.connection.take() == b""
    assert server.connection.max_streams == 3


def test_a_client_is_told_how_many_streams_it_may_open_and_when_there_are_more():
    client = Client()
    client.talk()
    assert client.h2.remote_settings.max_concurrent_streams == http2.FIRST_STREAMS
    client.server.connection.allow_streams(1000)
    client.talk()
    assert client.h2.remote_settings.max_concurrent_streams == 1000


frames = st.builds(
    frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 1, 3, 5, 2]),
    st.one_of(st.binary(max_size=40), st.just(request_block()), st.just(request_block() + b"\x80")),
)


@settings(deadline=None)
@given(st.lists(st.one_of(frames, st.binary(max_size=20)), max_size=20), st.booleans(), st.integers(1, 60))
def test_garbage_ends_the_connection_or_is_answered(pieces, with_preface, cut):
    server = Server()
    data = (PREFACE if with_preface else b"") + b"".join(pieces)
    try:
        for at in range(0, len(data), cut):
            server.connection.receive(data[at : at + cut])
    except ConnectionEndedError:
        pass
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    try:
        events = client.receive_data(server.connection.take())
    except ProtocolError:
        return  # it answers streams that this client did not open
    assert not any(isinstance(event, ConnectionTerminated) and event.error_code == 0 for event in events)
