"""Messages of bitswap: what is asked and given, bytes that are none, and the stream that they go out on."""

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from net import bitswap, cid, varints
from net.bitswap import MAX_MESSAGE_BYTES, MAX_WANTED, InvalidMessageError, Want
from net.host.bitswap_streams import _Line
from net.host.library import IOException
from net.peer_errors import PeerUnreachableError
from proto import bitswap_pb2 as pb


def undelimited(data):
    size, start = varints.decode(data)
    assert len(data) == start + size
    return data[start:]


def want(name, *, only=False, tell=False):
    return Want(cid=name, only_presence=only, tell_absence=tell)


def test_what_is_asked_is_answered():
    blocks = {cid.of_block(block): block for block in (b"one", b"two")}
    missing = cid.of_block(b"three")
    heard = bitswap.read(undelimited(bitswap.ask([*blocks, missing])))
    assert heard.wants == tuple(want(each, tell=True) for each in (*blocks, missing))
    (message,) = bitswap.answer(heard.wants, blocks)
    answer = bitswap.read(undelimited(message))
    assert (answer.blocks, answer.absent, answer.wants) == (blocks, {missing}, ())


def test_presence_alone_and_silence():
    block = b"block"
    name = cid.of_block(block)
    (message,) = bitswap.answer([want(name, only=True), want(b"absent")], {name: block})
    said = pb.Message.FromString(undelimited(message))
    assert [(each.cid, each.type) for each in said.presences] == [(name, pb.Message.Presence.HAVE)]
    assert not said.payload
    assert list(bitswap.answer([want(b"absent")], {})) == []


def test_many_blocks_come_in_messages_that_every_host_takes():
    blocks = {cid.of_block(block): block for block in (os.urandom(1_000_000) for _ in range(9))}
    messages = list(bitswap.answer([want(each, tell=True) for each in blocks], blocks))
    assert all(len(message) <= MAX_MESSAGE_BYTES for message in messages)
    found = {}
    for message in messages:
        found |= bitswap.read(undelimited(message)).blocks
    assert found == blocks


def test_a_block_has_the_name_that_its_bytes_have_and_others_are_dropped():
    payload = [pb.Message.Block(prefix=bytes.fromhex("01551220"), data=b"raw")]
    payload.append(pb.Message.Block(prefix=cid.BLOCK_PREFIX, data=b"ours"))
    assert bitswap.read(pb.Message(payload=payload).SerializeToString()).blocks == {cid.of_block(b"ours"): b"ours"}


def test_what_is_asked_for_in_vain_is_not_looked_at():
    entry = pb.Message.Wantlist.Entry
    entries = [entry(block=b"x", cancel=True), *(entry(block=b"%d" % n) for n in range(2 * MAX_WANTED))]
    message = pb.Message(wantlist=pb.Message.Wantlist(entries=entries))
    assert len(bitswap.read(message.SerializeToString()).wants) == MAX_WANTED - 1


@given(st.binary(max_size=100))
def test_any_bytes(data):
    try:
        bitswap.read(data)
    except InvalidMessageError:
        return


def test_no_message():
    with pytest.raises(InvalidMessageError):
        bitswap.read(b"\xff")


class Stream:
    """Takes messages until it is ended by the peer, or for good while it is held up."""

    def __init__(self):
        self.taken, self.ended, self.held_up = [], False, False

    async def write(self, data):
        if self.ended:
            raise IOException("the peer has ended it")
        if self.held_up:
            await trio.sleep_forever()
        self.taken.append(data)


def test_messages_share_a_stream_until_the_peer_ends_it_or_one_was_cut_off():
    opened = []

    async def open_stream():
        opened.append(Stream())
        return opened[-1]

    async def talk():
        line = _Line(open_stream)
        await line.say(b"1")
        await line.say(b"2")
        opened[-1].ended = True
        await line.say(b"3")
        opened[-1].held_up = True
        with trio.move_on_after(0.01):
            await line.say(b"cut off")
        await line.say(b"4")
        assert [stream.taken for stream in opened] == [[b"1", b"2"], [b"3"], [b"4"]]

    trio.run(talk)


def test_a_connection_that_has_ended_takes_no_message():
    async def open_stream():
        stream = Stream()
        stream.ended = True
        return stream

    with pytest.raises(PeerUnreachableError):
        trio.run(_Line(open_stream).say, b"1")
