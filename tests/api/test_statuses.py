import pytest
from structlog.testing import capture_logs

from store.errors import ConflictError, StatusCode, ThreaddError
from threadd.api.statuses import MAX_TEXT_BYTES, CallError, InvalidRequestError, call_error, fit


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConflictError(), StatusCode.ABORTED, ConflictError.default_text),
        (InvalidRequestError("say more"), StatusCode.INVALID_ARGUMENT, "say more"),
        (ThreaddError("bad signature"), StatusCode.UNKNOWN, "bad signature"),
        (CallError(StatusCode.NOT_FOUND, "gone"), StatusCode.NOT_FOUND, "gone"),
    ],
)
def test_known_errors_keep_their_code_and_text(error, code, text):
    with capture_logs() as logs:
        failure = call_error(error, "/a.B/C", "r1")
    assert (failure.code, failure.text) == (code, text)
    assert logs == []


def test_an_unforeseen_error_shows_only_an_id_that_is_also_in_the_log():
    with capture_logs() as logs:
        failure = call_error(KeyError("secret thing"), "/a.B/C", "r1")
    assert failure.code is StatusCode.INTERNAL
    assert "secret" not in failure.text
    (entry,) = logs
    assert entry["method"] == "/a.B/C"
    assert entry["request_id"] == failure.request_id == "r1"
    assert "r1" in failure.text
    assert isinstance(entry["exc_info"], KeyError)


@pytest.mark.parametrize("character", ["a", "%", "\n", "é", "\U0001f600", "\ud800"])
def test_a_long_text_is_cut_to_what_a_trailer_takes(character):
    text = fit(character * 20_000)
    encoded = text.encode()
    assert sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in encoded) <= MAX_TEXT_BYTES
    assert text.endswith("...")
    assert len(text) > MAX_TEXT_BYTES / 20


def test_a_text_that_fits_is_untouched():
    text = "é" * (MAX_TEXT_BYTES // 6)
    assert fit(text) == text
    assert fit("a" * MAX_TEXT_BYTES) == "a" * MAX_TEXT_BYTES
