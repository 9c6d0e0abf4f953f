"""Operator tokens, links and sessions: how long they live, how many there are, and that only hashes are kept."""

import pickle

import pytest
from starlette.requests import Request

from threadd.web.operator_access import LINK_SECONDS, SESSION_SECONDS, TOKEN_SECONDS, Access


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def request(**headers: str) -> Request:
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": fields, "client": ("127.0.0.1", 1)})


def test_a_token_lives_for_its_time(clock: Clock) -> None:
    access = Access(clock=clock)
    token = access.new_token()
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert access.has_token(request(authorization=f"{scheme} {token}"))
    clock.now = TOKEN_SECONDS
    assert access.has_token(request(authorization=f"Bearer {token}"))
    clock.now += 1
    assert not access.has_token(request(authorization=f"Bearer {token}"))


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer ", "Bearer x", "Basic token", "token", "Bearer tok\xe9n"])
def test_what_is_no_token(sent: str) -> None:
    for configured in ("", "token"):
        assert not Access(configured).has_token(request(authorization=sent))
        assert not Access(configured).has_token(request())


def test_a_link_opens_one_session(clock: Clock) -> None:
    access = Access(clock=clock)
    link = access.new_link()
    session = access.open_session(link)
    assert session is not None
    assert access.open_session(link) is None
    shown = request(cookie=f"{access.cookie}={session}")
    assert access.has_session(shown)
    # A session is for the console only: no endpoint takes it for a token, or a link for a session.
    assert not access.has_token(shown)
    assert not access.has_token(request(authorization=f"Bearer {session}"))
    assert not access.has_session(request(cookie=f"{access.cookie}={access.new_link()}"))
    access.end_session(shown)
    assert not access.has_session(shown)
    late = access.new_link()
    clock.now = LINK_SECONDS + 1
    assert access.open_session(late) is None


def test_a_session_ends(clock: Clock) -> None:
    access = Access(clock=clock)
    session = access.open_session(access.new_link())
    clock.now = SESSION_SECONDS + 1
    assert not access.has_session(request(cookie=f"{access.cookie}={session}"))


def test_the_number_of_each_is_bounded_and_the_oldest_makes_room() -> None:
    access = Access()
    first, *others = [access.new_token() for _ in range(1001)]
    assert not access.has_token(request(authorization=f"Bearer {first}"))
    assert all(access.has_token(request(authorization=f"Bearer {token}")) for token in others)


def test_cookies_of_two_repositories_differ() -> None:
    assert Access(repository=b"a").cookie != Access(repository=b"b").cookie
    assert Access(repository=b"a").cookie == Access(repository=b"a").cookie


def test_no_secret_is_kept() -> None:
    access = Access()
    made = [access.new_token(), access.new_link(), access.open_session(access.new_link())]
    kept = pickle.dumps(access)
    assert not [secret for secret in made if secret is None or secret.encode() in kept]
