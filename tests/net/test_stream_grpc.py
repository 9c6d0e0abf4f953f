"""Unary gRPC over a stream of bytes: both sides against each other, the server against bytes that no client sends."""

import random

import pytest
from h2 import config, connection, errors
from hypothesis import given
from hypothesis import strategies as st

from net import stream_grpc
from net.stream_grpc import BrokenStreamError, Called, Cancelled, Failed, GrpcClient, GrpcServer, Replied
from store.errors import StatusCode

METHOD = "/net.pb.Service/GetLogs"
NO_TIMEOUTS = [(text, None) for text in ("", "S", "123456789S", "-1S", "1x")]


def run(client, server, *, chunk=None, rounds=10_000):
    """Carry bytes to and fro until both are silent; returns what each side saw."""
    seen_by_client, seen_by_server = [], []
    for _ in range(rounds):
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return seen_by_client, seen_by_server
        for data, side, seen in ((to_server, server, seen_by_server), (to_client, client, seen_by_client)):
            size = chunk or len(data) or 1
            for start in range(0, len(data), size):
                seen.extend(side.receive(data[start : start + size]))
    raise AssertionError("never silent")


def pair():
    client, server = GrpcClient("peer"), GrpcServer()
    run(client, server)
    return client, server


def raw_client():
    """A client that can do what ours does not, connected to a server."""
    raw = connection.H2Connection(config.H2Configuration(client_side=True, header_encoding=None))
    raw.initiate_connection()
    server = GrpcServer()
    server.receive(raw.data_to_send())
    raw.receive_data(server.data_to_send())
    return raw, server


def headers(**changes):
    given = {":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "x", "te": "trailers"}
    given |= {"content-type": "application/grpc"}
    return list((given | {name.replace("_", "-"): value for name, value in changes.items()}).items())


def message(body):
    return b"\0" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_a_call_and_its_answer(chunk):
    client, server = pair()
    call = client.call(METHOD, b"question", 10)
    assert run(client, server, chunk=chunk) == ([], [Called(call, METHOD, b"question", 10.0)])
    server.reply(call, b"answer")
    assert run(client, server, chunk=chunk) == ([Replied(call, b"answer")], [])


def test_messages_larger_than_every_window():
    client, server = pair()
    question = random.Random(1).randbytes(stream_grpc.MAX_REQUEST_BYTES)
    call = client.call(METHOD, question, 10)
    _, (called,) = run(client, server)
    assert called.body == question
    answer = random.Random(2).randbytes(20 * 2**20)
    server.reply(call, answer)
    (replied,), _ = run(client, server)
    assert replied.body == answer


def test_many_calls_at_once_answered_the_other_way_round():
    client, server = pair()
    calls = [client.call(METHOD, bytes([number]) * 100_000, 10) for number in range(stream_grpc.MAX_CALLS)]
    assert client.is_full
    _, called = run(client, server)
    assert {each.call: each.body for each in called} == {call: bytes([n]) * 100_000 for n, call in enumerate(calls)}
    for each in reversed(called):
        server.reply(each.call, each.body[:1] * 50_000)
    replied, _ = run(client, server)
    assert {each.call: each.body for each in replied} == {call: bytes([n]) * 50_000 for n, call in enumerate(calls)}
    assert not client.is_full


@pytest.mark.parametrize("text", ["thread not found", "100 % ünïcode\n\t\\", ""])
def test_errors_with_any_text(text):
    client, server = pair()
    call = client.call(METHOD, b"", 10)
    run(client, server)
    server.fail(call, StatusCode.NOT_FOUND, text)
    assert run(client, server) == ([Failed(call, StatusCode.NOT_FOUND, text)], [])


def test_a_call_that_is_given_up():
    client, server = pair()
    call = client.call(METHOD, b"", 10)
    run(client, server)
    client.cancel(call)
    client.cancel(call)
    assert run(client, server) == ([], [Cancelled(call)])
    server.reply(call, b"too late")
    server.fail(call, StatusCode.INTERNAL, "too late")
    assert run(client, server) == ([], [])
    call = client.call(METHOD, b"next", 10)
    assert run(client, server)[1] == [Called(call, METHOD, b"next", 10.0)]


def test_a_call_that_is_given_up_while_its_answer_is_under_way():
    client, server = pair()
    call = client.call(METHOD, b"", 10)
    run(client, server)
    server.reply(call, bytes(10 * 2**20))
    client.receive(server.data_to_send())
    client.cancel(call)
    assert run(client, server) == ([], [])
    call = client.call(METHOD, b"", 10)
    run(client, server)
    server.reply(call, b"x")
    assert run(client, server)[0] == [Replied(call, b"x")]


def test_a_request_that_is_too_large_is_refused_and_the_stream_lives():
    client, server = pair()
    call = client.call(METHOD, bytes(stream_grpc.MAX_REQUEST_BYTES + 1), 10)
    (failed,), called = run(client, server)
    assert (failed.call, failed.status, called) == (call, StatusCode.RESOURCE_EXHAUSTED, [])
    call = client.call(METHOD, b"next", 10)
    assert run(client, server)[1] == [Called(call, METHOD, b"next", 10.0)]


def test_a_reply_that_is_too_large_is_refused_and_the_stream_lives(monkeypatch):
    monkeypatch.setattr(stream_grpc, "MAX_REPLY_BYTES", 2**20)
    client, server = pair()
    call = client.call(METHOD, b"", 10)
    run(client, server)
    server.reply(call, bytes(2**20 + 1))
    (failed,), _ = run(client, server)
    assert (failed.call, failed.status) == (call, StatusCode.RESOURCE_EXHAUSTED)
    call = client.call(METHOD, b"next", 10)
    assert run(client, server)[1] == [Called(call, METHOD, b"next", 10.0)]


def test_more_calls_than_a_peer_may_have():
    raw = connection.H2Connection(config.H2Configuration(client_side=True, header_encoding=None))
    raw.initiate_connection()  # it does not hear what it is told
    server = GrpcServer()
    calls = range(1, 2 * stream_grpc.MAX_CALLS + 3, 2)
    refused = []
    for call in calls:
        raw.send_headers(call, headers())
        raw.send_data(call, message(b""), end_stream=True)
        try:
            server.receive(raw.data_to_send())
        except BrokenStreamError:
            refused.append(call)
            break
    assert refused == [calls[-1]]


def test_a_peer_that_resets_what_it_asks_for_holds_no_more_than_it_may():
    raw, server = raw_client()
    for call in range(1, 1001, 2):
        raw.send_headers(call, headers())
        raw.send_data(call, message(b""), end_stream=True)
        raw.reset_stream(call)
        events = server.receive(raw.data_to_send())
        assert [type(event) for event in events] == [Called, Cancelled]
        raw.receive_data(server.data_to_send())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [*NO_TIMEOUTS, ("10S", 10), ("1H", 3600), ("2M", 120), ("5m", 0.005), ("5u", 5e-6), ("5n", 5e-9)],
)
def test_deadlines_of_other_clients(value, seconds):
    raw, server = raw_client()
    raw.send_headers(1, headers(grpc_timeout=value) if value else headers())
    raw.send_data(1, message(b"x"), end_stream=True)
    (called,) = server.receive(raw.data_to_send())
    assert called.timeout == seconds


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", StatusCode.INTERNAL),
        (b"\0\0\0\0", StatusCode.INTERNAL),
        (b"\0\0\0\0\5abc", StatusCode.INTERNAL),
        (message(b"one") + message(b"two"), StatusCode.INTERNAL),
        (b"\1\0\0\0\1x", StatusCode.UNIMPLEMENTED),
    ],
)
def test_what_is_not_one_message(data, status):
    raw, server = raw_client()
    raw.send_headers(1, headers())
    raw.send_data(1, data, end_stream=True)
    assert server.receive(raw.data_to_send()) == []
    answer = dict(raw.receive_data(server.data_to_send())[0].headers)
    assert answer[b"grpc-status"] == str(int(status)).encode()


@pytest.mark.parametrize("changes", [{":method": "GET"}, {"content-type": "text/html"}])
def test_what_is_no_grpc(changes):
    raw, server = raw_client()
    raw.send_headers(1, headers(**changes), end_stream=True)
    assert server.receive(raw.data_to_send()) == []
    assert dict(raw.receive_data(server.data_to_send())[0].headers)[b":status"] == b"415"


@given(st.binary(max_size=200), st.booleans())
def test_garbage_breaks_the_stream_and_nothing_else(garbage, after_preface):
    server = raw_client()[1] if after_preface else GrpcServer()
    try:
        server.receive(garbage)
    except BrokenStreamError:
        assert server.closed
        with pytest.raises(BrokenStreamError):
            server.receive(b"")
    server.data_to_send()


def test_headers_without_end():
    raw, server = raw_client()
    raw.send_headers(1, [*headers(), ("x", "y" * 15_000)])
    server.receive(raw.data_to_send())
    raw.send_headers(3, [*headers(), ("x", "y" * 17_000)])
    with pytest.raises(BrokenStreamError):
        server.receive(raw.data_to_send())


def test_the_farewell_of_a_server_fails_what_is_under_way():
    client, server = pair()
    calls = [client.call(METHOD, b"", 10) for _ in range(3)]
    run(client, server)
    server.close()
    with pytest.raises(BrokenStreamError):
        client.receive(server.data_to_send())
    assert [event.call for event in client.end("gone")] == calls
    assert client.end("gone") == []
    with pytest.raises(BrokenStreamError):
        client.call(METHOD, b"", 10)


def test_the_farewell_of_a_client():
    client, server = pair()
    client.close()
    with pytest.raises(BrokenStreamError):
        server.receive(client.data_to_send())


def raw_server(answer):
    """What our client makes of the answer that a function writes to call 1."""
    raw = connection.H2Connection(config.H2Configuration(client_side=False, header_encoding=None))
    raw.initiate_connection()
    client = GrpcClient("peer")
    call = client.call(METHOD, b"", 10)
    raw.receive_data(client.data_to_send())
    answer(raw)
    return call, client.receive(raw.data_to_send())


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (errors.ErrorCodes.REFUSED_STREAM, StatusCode.UNAVAILABLE),
        (errors.ErrorCodes.CANCEL, StatusCode.CANCELLED),
        (errors.ErrorCodes.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (errors.ErrorCodes.PROTOCOL_ERROR, StatusCode.INTERNAL),
    ],
)
def test_calls_that_a_server_resets(code, status):
    call, (failed,) = raw_server(lambda raw: raw.reset_stream(1, code))
    assert (failed.call, failed.status) == (call, status)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ([(":status", "503")], StatusCode.UNAVAILABLE),
        ([(":status", "200")], StatusCode.UNKNOWN),
        ([(":status", "200"), ("grpc-status", "99")], StatusCode.UNKNOWN),
        ([(":status", "200"), ("grpc-status", "0")], StatusCode.INTERNAL),
        ([(":status", "200"), ("grpc-status", "5"), ("grpc-message", "%zz%ff")], StatusCode.NOT_FOUND),
    ],
)
def test_answers_of_other_servers(answer, status):
    call, (failed,) = raw_server(lambda raw: raw.send_headers(1, answer, end_stream=True))
    assert (failed.call, failed.status) == (call, status)


def test_an_error_that_comes_before_the_request_was_sent():
    client, server = pair()
    call = client.call(METHOD, bytes(3 * 2**20), 10)
    raw = server._h2
    server.receive(client.data_to_send())
    raw.send_headers(call, [(":status", "200"), ("grpc-status", "7")], end_stream=True)
    (failed,) = client.receive(server.data_to_send())
    assert failed.status == StatusCode.PERMISSION_DENIED
    assert call not in client._outgoing
