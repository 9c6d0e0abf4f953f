import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.crypto import Cipher
from net.errors import DecryptionError, InvalidKeyError, InvalidLogKeyError, InvalidThreadKeyError
from net.keys import PrivateKey, PublicKey, parse_log_key
from net.thread_key import ThreadKey

VECTORS = Path(__file__).parent.parent / "vectors"
TOKENS = json.loads((VECTORS / "tokens.json").read_text())
THREAD = json.loads((VECTORS / "thread.json").read_text())
OFFLINE = json.loads((VECTORS / "go_offline.json").read_text())

seeds = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_identities_of_the_vectors(name):
    expected = TOKENS["identities"][name]
    key = PrivateKey(hashlib.sha256(f"vector identity {name}".encode()).digest())
    assert key.seed.hex() == expected["seed"]
    assert key.bytes.hex() == expected["priv_pb"]
    assert key.public.bytes.hex() == expected["pub_pb"]
    assert key.public.text == expected["text"]
    assert key.public.peer_id_text == expected["peer_id"]
    assert PrivateKey.from_bytes(bytes.fromhex(expected["priv_pb"])) == key
    assert PublicKey.from_text(expected["text"]) == key.public


def test_host_key_file():
    key = PrivateKey.from_bytes(bytes.fromhex(TOKENS["host_key_file"]))
    assert key.seed.hex() == TOKENS["host_seed"]
    assert key.public.raw.hex() == TOKENS["host_pub"]
    assert key.public.text == TOKENS["host_pub_text"]
    assert key.public.peer_id_text == TOKENS["host_peer_id"] == THREAD["host_peer_id"]["text"]
    assert key.public.peer_id.hex() == THREAD["host_peer_id"]["bytes"]
    assert key.bytes.hex() == TOKENS["host_key_file"]


@pytest.mark.parametrize("log", THREAD["logs"], ids=lambda log: log["id_text"][-6:])
def test_log_keys(log):
    key = parse_log_key(bytes.fromhex(log["privKey_pb"]))
    assert isinstance(key, PrivateKey)
    assert key.public.bytes.hex() == log["pubKey_pb"]
    assert key.public.peer_id.hex() == log["id"]
    assert key.public.peer_id_text == log["id_text"]
    assert parse_log_key(bytes.fromhex(log["pubKey_pb"])) == key.public
    assert PublicKey.from_peer_id(bytes.fromhex(log["id"])) == key.public


def test_a_log_key_that_the_vectors_name_by_its_seed():
    key = PrivateKey(hashlib.sha256(b"vector log key alice 3").digest())
    assert key.seed.hex() == THREAD["alice_log_seed"]
    assert key.public.peer_id.hex() in [log["id"] for log in THREAD["logs"]]


@pytest.mark.parametrize("box", OFFLINE["asymmetric"], ids=lambda box: box["plaintext"][:8] or "empty")
def test_boxes_that_go_sealed_are_opened(box):
    key = PrivateKey.from_bytes(bytes.fromhex(box["recipient_priv_pb"]))
    assert key.decrypt(bytes.fromhex(box["ciphertext"])).hex() == box["plaintext"]


def test_a_box_has_the_layout_of_the_vectors():
    box = OFFLINE["asymmetric"][2]
    key = PrivateKey.from_bytes(bytes.fromhex(box["recipient_priv_pb"]))
    plain = bytes.fromhex(box["plaintext"])
    sealed = key.public.encrypt(plain, os.urandom)
    assert len(sealed) == len(bytes.fromhex(box["ciphertext"]))
    assert key.public.encrypt(plain, bytes) == key.public.encrypt(plain, bytes)


@given(seeds, st.binary(max_size=200))
def test_keys_round_trip(seed, message):
    key = PrivateKey(seed)
    assert PrivateKey.from_bytes(key.bytes) == key
    assert PrivateKey.from_text(key.text) == key
    assert PublicKey.from_bytes(key.public.bytes) == key.public
    assert PublicKey.from_text(key.public.text) == key.public
    assert PublicKey.from_peer_id(key.public.peer_id) == key.public
    assert key.public.verify(message, key.sign(message))
    assert key.decrypt(key.public.encrypt(message, os.urandom)) == message


@given(seeds, st.binary(max_size=50), st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_is_none(seed, message, place, change):
    key = PrivateKey(seed)
    signature = bytearray(key.sign(message))
    signature[place] ^= change
    assert not key.public.verify(message, bytes(signature))


def test_a_signature_of_another_length_key_or_message_is_none():
    key, other = PrivateKey(bytes(32)), PrivateKey(bytes(31) + b"\x01")
    signature = key.sign(b"message")
    assert not other.public.verify(b"message", signature)
    assert not key.public.verify(b"massage", signature)
    for length in (0, 63, 65):
        assert not key.public.verify(b"message", (signature + b"\x00")[:length])


@given(st.binary(max_size=110))
def test_garbage_is_no_key(data):
    for read in (PublicKey.from_bytes, PrivateKey.from_bytes, PublicKey.from_peer_id, PrivateKey, PublicKey.from_raw):
        try:
            read(data)
        except InvalidKeyError:
            continue
        assert len(data) in (32, 36, 38, 68, 100)


@given(st.text(max_size=80))
def test_garbage_is_no_text_of_a_key(text):
    for read in (PublicKey.from_text, PrivateKey.from_text, ThreadKey.from_text):
        with pytest.raises((InvalidKeyError, InvalidThreadKeyError)):
            read(text)


def test_lone_surrogates_are_no_text_of_a_key():
    with pytest.raises(InvalidKeyError):
        PublicKey.from_text("b\ud800")


def test_halves_that_do_not_belong_together():
    one, two = PrivateKey(bytes(32)), PrivateKey(bytes(31) + b"\x01")
    with pytest.raises(InvalidKeyError):
        PrivateKey.from_bytes(one.bytes[:36] + two.bytes[36:])


def test_the_old_form_repeats_the_public_key():
    key = PrivateKey(bytes(32))
    old = bytes.fromhex("08011260") + key.bytes[4:] + key.public.raw
    assert PrivateKey.from_bytes(old) == key
    with pytest.raises(InvalidKeyError):
        PrivateKey.from_bytes(old[:-1] + bytes([old[-1] ^ 1]))


@pytest.mark.parametrize("data", [b"", b"\x08\x01", bytes(36), bytes(68), bytes.fromhex("08001220") + bytes(32)])
def test_a_log_key_that_is_neither(data):
    with pytest.raises(InvalidLogKeyError) as caught:
        parse_log_key(data)
    assert caught.value.text == "invalid log-key"


@given(st.binary(max_size=120))
def test_garbage_is_no_box(data):
    with pytest.raises(DecryptionError):
        PrivateKey(bytes(32)).decrypt(data)


def test_a_box_for_another_key():
    sealed = PrivateKey(bytes(32)).public.encrypt(b"hello", os.urandom)
    with pytest.raises(DecryptionError):
        PrivateKey(bytes(31) + b"\x01").decrypt(sealed)
    with pytest.raises(DecryptionError):
        PrivateKey(bytes(32)).decrypt(sealed[:-1])


@pytest.mark.parametrize("raw", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_points_of_small_order_are_refused(raw):
    key = PublicKey.from_raw(raw)
    with pytest.raises(InvalidKeyError):
        key.encrypt(b"hello", os.urandom)
    assert not key.verify(b"message", bytes(64))


def test_a_private_key_is_not_shown():
    key = PrivateKey(b"\x07" * 32)
    assert key.seed.hex() not in repr(key)
    assert repr(b"\x07" * 4) not in repr(key)
    assert "07" not in repr(ThreadKey(b"\x07" * 32))


def test_thread_key_of_the_vectors():
    key = ThreadKey.from_bytes(bytes.fromhex(THREAD["thread_key"]))
    assert key.text == THREAD["thread_key_text"]
    assert ThreadKey.from_text(THREAD["thread_key_text"]) == key
    service = ThreadKey(key.service)
    assert service.text == THREAD["service_key_text"]
    assert ThreadKey.from_text(THREAD["service_key_text"]) == service
    assert key.service == hashlib.sha256(b"vector service key").digest()
    assert key.read == hashlib.sha256(b"vector read key").digest()
    assert key.bytes.hex() == THREAD["thread_key"]


@given(st.binary(max_size=70))
def test_thread_keys_have_32_or_64_bytes(data):
    if len(data) in (32, 64):
        assert ThreadKey.from_bytes(data).bytes == data
        return
    with pytest.raises(InvalidThreadKeyError) as caught:
        ThreadKey.from_bytes(data)
    assert caught.value.text == "invalid key"


def test_a_random_thread_key_has_both():
    key = ThreadKey.random(os.urandom)
    assert len(key.service) == 32
    assert key.read is not None
    assert key.service != key.read


@given(st.binary(max_size=300), st.binary(min_size=12, max_size=12))
def test_sealing(plain, nonce):
    cipher = Cipher(b"k" * 32)
    sealed = cipher.seal(plain, nonce)
    assert sealed[:12] == nonce
    assert len(sealed) == 12 + len(plain) + 16
    assert cipher.open(sealed) == plain
    with pytest.raises(DecryptionError):
        Cipher(b"l" * 32).open(sealed)
    with pytest.raises(DecryptionError):
        cipher.open(sealed[:-1])


@given(st.binary(max_size=100))
def test_garbage_is_not_sealed(data):
    with pytest.raises(DecryptionError):
        Cipher(b"k" * 32).open(data)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_cipher_key_has_32_bytes(length):
    with pytest.raises(InvalidThreadKeyError):
        Cipher(bytes(length))
