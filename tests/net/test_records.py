import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net import cbor, cid
from net.crypto import Cipher
from net.errors import BadSignatureError, DecryptionError, InvalidBlockError, InvalidRecordError, NetError
from net.keys import PrivateKey, PublicKey
from net.records import RecordBlocks, build, event_links, open_body, open_envelope, open_record, verify_envelope

VECTORS = Path(__file__).parent.parent / "vectors"
THREAD = json.loads((VECTORS / "thread.json").read_text())
DB = json.loads((VECTORS / "records_db.json").read_text())
RAW = json.loads((VECTORS / "records_raw.json").read_text())

SERVICE = Cipher(bytes.fromhex(DB["service_key"]))
READ = Cipher(bytes.fromhex(DB["read_key"]))
LOG_KEYS = {log["id"]: PrivateKey.from_bytes(bytes.fromhex(log["privKey_pb"])) for log in THREAD["logs"]}
RAW_KEY = PrivateKey(hashlib.sha256(b"vector raw log key").digest())

DB_CASES = [(LOG_KEYS[log["log_id"]], case) for log in DB["logs"] for case in log["records"]]
RAW_CASES = [(RAW_KEY, case) for case in RAW["cases"] if "recordNode" in case]
CASES = [pytest.param(key, case, id=case.get("name", case["record_cid"][-6:])) for key, case in DB_CASES + RAW_CASES]


def blocks_of(case):
    return RecordBlocks(*(bytes.fromhex(case[name]) for name in ("recordNode", "eventNode", "headerNode", "bodyNode")))


def plain_body(case):
    """The body; the one of 70,000 bytes is spelled out as it was sent only."""
    if case["body_plain"].startswith("("):
        return bytes.fromhex(case["request_body"])
    return bytes.fromhex(case["body_plain"])


def randomness_of(case):
    nonces = case["nonces"]
    random = bytes.fromhex(case["body_key"] + nonces["body"] + nonces["header"] + nonces["record"])

    def give(count):
        assert count == len(random)
        return random

    return give


def previous_of(case):
    return None if case["prev"] is None else bytes.fromhex(case["prev"])


def test_the_vectors_are_all_here():
    assert len(DB_CASES) == sum(log["counter"] for log in DB["logs"]) == 5
    assert len(RAW_CASES) == 12
    assert RAW_KEY.seed.hex() == RAW["log_seed"]
    assert RAW["service_key"] == DB["service_key"]
    assert RAW["read_key"] == DB["read_key"]


@pytest.mark.parametrize(("key", "case"), CASES)
def test_records_are_built_as_go_built_them(key, case):
    record = build(
        plain_body(case),
        service=SERVICE,
        read=READ,
        log_key=key,
        author=PublicKey.from_bytes(bytes.fromhex(case["pubKey"])),
        previous=previous_of(case),
        randomness=randomness_of(case),
    )
    assert record.blocks == blocks_of(case)
    assert record.cid.hex() == case["record_cid"]
    assert cid.text(record.cid) == case["record_cid_text"]
    assert record.event_cid.hex() == case["event_cid"]
    assert record.header_cid.hex() == case["header_cid"]
    assert record.body_cid.hex() == case["body_cid"]
    assert record.blocks.event.hex() == case["event_plain"]
    assert event_links(record.blocks.event) == (record.header_cid, record.body_cid)


@pytest.mark.parametrize(("key", "case"), CASES)
def test_records_that_go_built_are_opened(key, case):
    blocks = blocks_of(case)
    opened = open_record(blocks, service=SERVICE, read=READ, log_key=key.public)
    assert opened.record.blocks == blocks
    assert opened.record.cid.hex() == case["record_cid"]
    assert opened.record.event_cid.hex() == case["event_cid"]
    assert opened.record.header_cid.hex() == case["header_cid"]
    assert opened.record.body_cid.hex() == case["body_cid"]
    assert opened.previous == previous_of(case)
    assert opened.author.bytes.hex() == case["pubKey"]
    assert opened.body == plain_body(case)
    assert open_record(blocks, service=SERVICE, read=None, log_key=key.public) == dataclasses.replace(opened, body=None)

    envelope = open_envelope(blocks.record, SERVICE)
    assert envelope.signature.hex() == case["sig"]
    signed = envelope.author if envelope.previous is None else envelope.event_cid + envelope.previous
    assert signed.hex() == case["sig_payload"]
    assert case["sig_verifies_with_log_pubkey"]
    assert key.sign(signed) == envelope.signature


@pytest.mark.parametrize(("key", "case"), CASES)
def test_plain_blocks_of_the_vectors(key, case):
    blocks = blocks_of(case)
    assert SERVICE.open(cbor.read_byte_string(blocks.record)).hex() == case["record_plain"]
    assert READ.open(cbor.read_byte_string(blocks.header)).hex() == case["header_plain"]
    assert (
        cbor.byte_string(SERVICE.seal(bytes.fromhex(case["record_plain"]), bytes.fromhex(case["nonces"]["record"])))
        == blocks.record
    )
    assert (
        cbor.byte_string(READ.seal(bytes.fromhex(case["header_plain"]), bytes.fromhex(case["nonces"]["header"])))
        == blocks.header
    )


def test_logs_of_the_vectors_are_chains():
    for log in DB["logs"]:
        previous = None
        for case in log["records"]:
            assert previous_of(case) == previous
            previous = bytes.fromhex(case["record_cid"])
        assert previous.hex() == log["head"]


KEY, CASE = DB_CASES[1]
BLOCKS = blocks_of(CASE)


def open_it(blocks=BLOCKS, service=SERVICE, read=READ, log_key=KEY.public):
    return open_record(blocks, service=service, read=read, log_key=log_key)


def test_another_log_key():
    with pytest.raises(BadSignatureError) as caught:
        open_it(log_key=RAW_KEY.public)
    assert caught.value.text == "bad signature"


def test_other_thread_keys():
    with pytest.raises(DecryptionError):
        open_it(service=READ)
    with pytest.raises(DecryptionError):
        open_it(read=SERVICE)
    with pytest.raises(DecryptionError):
        open_body(BLOCKS, SERVICE)


@pytest.mark.parametrize("name", ["event", "header", "body"])
def test_a_block_of_another_record(name):
    other = getattr(blocks_of(DB_CASES[0][1]), name)
    with pytest.raises(InvalidRecordError):
        open_it(dataclasses.replace(BLOCKS, **{name: other}))


def test_the_first_record_of_a_log_signs_its_author_alone():
    """A known weakness of the format: whoever has the service key can put another event under a first record."""
    key, case = DB_CASES[0]
    envelope = open_envelope(bytes.fromhex(case["recordNode"]), SERVICE)
    verify_envelope(dataclasses.replace(envelope, event_cid=cid.of_block(b"")), key.public)
    with pytest.raises(BadSignatureError):
        verify_envelope(dataclasses.replace(envelope, author=key.public.bytes), key.public)


@pytest.mark.parametrize("name", ["record", "event", "header", "body"])
@given(place=st.integers(0), change=st.integers(1, 255))
def test_a_changed_byte(name, place, change):
    block = bytearray(getattr(BLOCKS, name))
    block[place % len(block)] ^= change
    with pytest.raises(NetError):
        open_it(dataclasses.replace(BLOCKS, **{name: bytes(block)}))


@pytest.mark.parametrize("name", ["record", "event", "header", "body"])
@given(garbage=st.binary(max_size=80), cut=st.integers(1, 100))
def test_garbage_and_cut_blocks(name, garbage, cut):
    for block in (garbage, getattr(BLOCKS, name)[:-cut], getattr(BLOCKS, name) + garbage):
        if block != getattr(BLOCKS, name):
            with pytest.raises(NetError):
                open_it(dataclasses.replace(BLOCKS, **{name: block}))


@pytest.mark.parametrize(
    "plain",
    [
        b"\xa0",
        b"\x80",
        b"\x07",
        b"\xff",
        b"",
        bytes.fromhex(CASE["record_plain"])[:-1],
        bytes.fromhex(CASE["record_plain"]).replace(b"block", b"blocc"),
        bytes.fromhex(CASE["record_plain"]).replace(
            b"prev\xd8\x2a\x58\x25\x00\x01\x71", b"prev\xd8\x2a\x58\x25\x00\x01\x55"
        ),
    ],
    ids=range(8),
)
def test_a_sealed_block_that_is_no_record(plain):
    sealed = cbor.byte_string(SERVICE.seal(plain, bytes(12)))
    with pytest.raises((InvalidRecordError, InvalidBlockError)):
        open_it(dataclasses.replace(BLOCKS, record=sealed))


@pytest.mark.parametrize("header", [b"\xa0", b"\x80", b"\xa1\x63key\x07", b"\xa1\x63key\x41x", b"\xff"])
def test_a_header_without_a_key(header):
    blocks = dataclasses.replace(BLOCKS, header=cbor.byte_string(READ.seal(header, bytes(12))))
    with pytest.raises((InvalidRecordError, InvalidBlockError)):
        open_body(blocks, READ)


def test_an_author_that_is_no_ed25519_key():
    author = bytes.fromhex("08001220") + bytes(32)
    plain = bytes.fromhex(DB_CASES[0][1]["record_plain"]).replace(bytes.fromhex(DB_CASES[0][1]["pubKey"]), author)
    plain = plain.replace(bytes.fromhex(DB_CASES[0][1]["sig"]), KEY.sign(author))
    blocks = dataclasses.replace(blocks_of(DB_CASES[0][1]), record=cbor.byte_string(SERVICE.seal(plain, bytes(12))))
    with pytest.raises(InvalidRecordError):
        open_it(blocks)


def test_blocks_that_are_not_canonical_are_kept_as_go_keeps_them():
    loose = dataclasses.replace(BLOCKS, record=b"\x5a" + len(BLOCKS.record[2:]).to_bytes(4, "big") + BLOCKS.record[2:])
    assert open_it(loose) == open_it()


bodies = st.binary(max_size=2000).map(cbor.byte_string)
seeds = st.binary(min_size=32, max_size=32)


@settings(max_examples=50)
@given(st.lists(bodies, min_size=1, max_size=5), seeds, seeds, seeds, seeds)
def test_round_trip(items, service, read, log_seed, author_seed):
    key, author = PrivateKey(log_seed), PrivateKey(author_seed).public
    ciphers = {"service": Cipher(service), "read": Cipher(read)}
    previous = None
    for body in items:
        record = build(body, **ciphers, log_key=key, author=author, previous=previous, randomness=os.urandom)
        opened = open_record(record.blocks, **ciphers, log_key=key.public)
        assert opened.record == record
        assert (opened.previous, opened.author, opened.body) == (previous, author, body)
        previous = record.cid
