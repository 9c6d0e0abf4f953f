"""The bytes of grpc-web: what is written can be read, however it is cut, and no input breaks a decoder."""

import base64
import itertools
import struct
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import StatusCode, ThreaddError
from threadd.web import metadata
from threadd.web.frames import FrameDecoder, TextDecoder, block_frame, encode_text, message_frame
from threadd.web.http2_frames import are_trailers

LIMIT = 1000
bodies = st.lists(st.binary(max_size=60), max_size=8)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def check(error):
    assert error.text


places = st.lists(st.integers(0, 10_000), max_size=12)


@given(bodies, places)
def test_messages_survive_any_cut(messages, cuts):
    decoder = FrameDecoder(LIMIT)
    stream = b"".join(message_frame(body) for body in messages)
    assert [body for piece in cut(stream, cuts) for body in decoder.feed(piece)] == messages
    decoder.finish()


@given(bodies, places)
def test_base64_of_each_frame_by_itself_survives_any_cut(messages, cuts):
    decoder = TextDecoder()
    frames = [message_frame(body) for body in messages]
    text = b"".join(encode_text(frame) for frame in frames)
    assert b"".join(decoder.feed(piece) for piece in cut(text, cuts)) == b"".join(frames)
    decoder.finish()


@given(st.binary(max_size=200), places)
def test_base64_in_one_piece_survives_any_cut(data, cuts):
    decoder = TextDecoder()
    assert b"".join(decoder.feed(piece) for piece in cut(base64.b64encode(data), cuts)) == data


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_input_breaks_a_decoder(pieces):
    for make in (lambda: FrameDecoder(LIMIT), TextDecoder):
        decoder = make()
        try:
            for piece in pieces:
                decoder.feed(piece)
            decoder.finish()
        except ThreaddError as error:
            check(error)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (struct.pack(">BI", 0, LIMIT + 1), StatusCode.RESOURCE_EXHAUSTED),
        (struct.pack(">BI", 0, 2**32 - 1), StatusCode.RESOURCE_EXHAUSTED),
        (struct.pack(">BI", 1, 0), StatusCode.UNIMPLEMENTED),
        (struct.pack(">BI", 0x80, 0), StatusCode.INVALID_ARGUMENT),
        (struct.pack(">BI", 2, 0), StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_frame_is_refused_by_its_first_bytes(data, code):
    with pytest.raises(ThreaddError) as caught:
        FrameDecoder(LIMIT).feed(data)
    assert caught.value.code == code


def test_a_request_that_ends_within_a_frame_is_refused():
    decoder = FrameDecoder(LIMIT)
    assert decoder.feed(message_frame(b"whole") + b"\0\0") == [b"whole"]
    with pytest.raises(ThreaddError, match="ends within a frame"):
        decoder.finish()


@pytest.mark.parametrize("text", [b"a===", b"====", b"ab=c", b"a\n==", b"\xff\xff\xff\xff", b"AAA=====", b"-_-_"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(ThreaddError, match="not base64"):
        TextDecoder().feed(text)


def test_blocks_are_lines():
    frame = block_frame([("grpc-status", "0"), ("grpc-message", "")])
    assert frame == b"\x80\x00\x00\x00\x20grpc-status: 0\r\ngrpc-message: \r\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_travel_percent_encoded(text):
    encoded = metadata.percent_encode(text)
    assert urllib.parse.unquote(encoded, errors="strict") == text
    assert encoded == encoded.strip()
    assert encoded.isascii()
    assert encoded.isprintable()


def test_only_what_must_be_is_encoded():
    assert metadata.percent_encode("db not found: 'a b' ~") == "db not found: 'a b' ~"
    assert metadata.percent_encode(" 100 % é\n") == "%20100 %25 %C3%A9%0A"


def test_metadata_comes_as_lines():
    lines = (
        b"content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\nhost: http://127.0.0.1:6007\r\n"
        b"Authorization: bearer a.b.c\r\nx-list: a, b\r\nx-list: c\r\nx-empty:\r\nx-raw-bin: /w==, AQI\r\n"
    )
    assert metadata.from_lines(lines) == [
        ("authorization", "bearer a.b.c"),
        ("x-list", "a, b"),
        ("x-list", "c"),
        ("x-empty", ""),
        ("x-raw-bin", b"\xff"),
        ("x-raw-bin", b"\x01\x02"),
    ]
    assert metadata.from_lines(b"") == []


@pytest.mark.parametrize(
    "data",
    [b"no colon", b": no name", b"a b: c", b"x: \xff", b"x-bin: /", b"x-bin: ???", b"x: " + b"y" * 65_536],
)
def test_what_is_no_metadata_is_refused(data):
    with pytest.raises(ThreaddError) as caught:
        metadata.from_lines(data)
    assert caught.value.code == StatusCode.INVALID_ARGUMENT


@given(st.sampled_from([*range(9), *range(10, 32), 127]).map(chr))
def test_a_value_with_a_control_character_is_refused(character):
    with pytest.raises(ThreaddError) as caught:
        metadata.from_fields([(b"x-name", b"a" + character.encode() + b"b")])
    assert caught.value.code == StatusCode.INVALID_ARGUMENT


@given(st.text(), st.sampled_from(StatusCode))
def test_the_trailers_of_a_status_are_well_formed(text, code):
    fields = [(name.encode(), value.encode("latin-1")) for name, value in metadata.status_fields(code, text)]
    assert are_trailers(fields)


@given(st.binary(max_size=80))
def test_no_metadata_breaks_the_parser(data):
    try:
        fields = metadata.from_lines(data)
    except ThreaddError as error:
        check(error)
    else:
        assert all(name == name.lower() for name, _ in fields)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1S", 1), ("100m", 0.1), ("2M", 120), ("1H", 3600), ("5u", 5e-6), ("99999999n", 0.099999999)],
)
def test_time_limits_have_units(value, seconds):
    assert metadata.timeout_of([("a", "b"), ("grpc-timeout", value)]) == pytest.approx(seconds)
    assert metadata.timeout_of([]) is None


@pytest.mark.parametrize("value", ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", "\u0661S"])
def test_what_is_no_time_limit_is_refused(value):
    with pytest.raises(ThreaddError, match="grpc-timeout"):
        metadata.timeout_of([("grpc-timeout", value)])
