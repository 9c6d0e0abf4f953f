"""Messages of bitswap: what is asked and given, and bytes that are none."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import bitswap, cid, varints
from net.bitswap import MAX_MESSAGE_BYTES, MAX_WANTED, InvalidMessageError, Want
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
