"""Whatever comes from outside, each decoder takes it or refuses it in words of its own; nothing else ever comes out.

Inputs are mutations of valid ones and of what is in `corpus/<decoder>`, where whatever was found once stays.
`FUZZ_SECONDS` gives the time for all decoders together (`make fuzz`); without it each gets a few hundred inputs.
"""

import hashlib
import os
import time
from pathlib import Path

import pytest
from decoders import DECODERS
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0")) / len(DECODERS)
EXAMPLES = 150
SLOWEST = 5.0
"""How long one small input may take, in seconds: more is a way to hold others up."""

pytestmark = pytest.mark.timeout(300 + 2 * SECONDS)

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x80" * 9 + b"\x01",
    b"{",
    b"[" * 300,
    b'"',
    b"9" * 400,
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "delete", "insert", "repeat", "overwrite", "cut", "splice"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(INTERESTING)),
        st.integers(0, 40),
    ),
    max_size=6,
)


def inputs(decoder):
    kept = sorted((CORPUS / decoder.name).glob("*"))
    return [*decoder.seeds, *(path.read_bytes() for path in kept), b""]


def edited(data, edits, others):
    """Apply edits: what, where (as a part of the length), with what, how much."""
    for kind, place, piece, count in edits:
        at = int(place * len(data))
        match kind:
            case "flip":
                data = data[:at] + bytes(byte ^ 1 << count % 8 for byte in data[at : at + 1]) + data[at + 1 :]
            case "delete":
                data = data[:at] + data[at + count :]
            case "insert":
                data = data[:at] + piece + data[at:]
            case "repeat":
                data = data[:at] + data[at : at + count] * 3 + data[at + count :]
            case "overwrite":
                data = data[:at] + piece + data[at + len(piece) :]
            case "cut":
                data = data[:at]
            case "splice":
                other = others[count % len(others)]
                data = data[:at] + other[int(place * len(other)) :]
    return data


def feed(decoder, data):
    began = time.monotonic()
    try:
        decoder.run(data)
    except decoder.raises:
        pass
    except Exception as error:
        name = hashlib.sha256(data).hexdigest()[:16]
        error.add_note(f"{decoder.name} was fed {data!r}: keep it as corpus/{decoder.name}/{name}")
        raise
    assert time.monotonic() - began < SLOWEST, f"{decoder.name} took too long for {data!r}"


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_a_decoder_takes_or_refuses(decoder):
    known = inputs(decoder)
    fed = 0

    def run(data, edits):
        nonlocal fed
        fed += 1
        feed(decoder, edited(data, edits, known))

    for data in known:
        feed(decoder, data)
    ends = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < ends:
        examples = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        seed(rounds + int(SECONDS) * 1_000_003)(examples(given(st.sampled_from(known), EDITS)(run)))()
        rounds += 1
    print(f"{decoder.name}: {fed} inputs")  # noqa: T201 - the figure of make fuzz


def test_valid_inputs_are_taken():
    refused = {decoder.name for decoder in DECODERS for data in decoder.seeds if _is_refused(decoder, data)}
    # These begin from inputs that are refused late, past most of the checks.
    assert refused == {"record-blocks", "varint", "file", "path", "api-signature", "bitswap"}


def _is_refused(decoder, data):
    try:
        decoder.run(data)
    except decoder.raises:
        return True
    return False
