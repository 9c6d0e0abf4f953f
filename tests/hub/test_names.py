"""What developers and organisations may be called, and what is an address of mail."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import StatusCode, ThreaddError
from threadd.hub import names
from threadd.hub.errors import EmailError, OrganisationNameError, UsernameError


# What the library that the hosted Hub uses makes of them.
@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("My awesome org!", "My-awesome-org"),
        ("Ünïcode Ætt", "Unicode-AEtt"),
        ("a & b", "a-and-b"),
        ("A&B@C", "AandBatC"),
        ("it's", "its"),
        ('Tom "T" Foo', "Tom-T-Foo"),
        ("x_y", "x_y"),
        ("  -_a b_-  ", "a-b"),
        ("日本語", "Ri-Ben-Yu"),
        ("a&#39;b", "aand-39-b"),
        ("hello—world", "hello-world"),
        ("é", "e"),
        ("a" * 40, "a" * 32),
        ("a" * 32 + " b", "a" * 32),
        ("aaaa bbbb cccc dddd eeee ffff gggg hhhh", "aaaa-bbbb-cccc-dddd-eeee-ffff"),
        ("a" * 15 + " " + "b" * 16 + " cc", "a" * 15 + "-" + "b" * 16),
    ],
)
def test_slugs(title: str, slug: str) -> None:
    assert names.slug(title) == slug


@pytest.mark.parametrize("title", ["", " ", "!!!", "-_-", "'", "\0"])
def test_titles_of_which_nothing_is_left(title: str) -> None:
    with pytest.raises(OrganisationNameError) as raised:
        names.slug(title)
    assert raised.value.text == f"name '{title}' is not available"


@given(st.text())
def test_a_slug_is_a_name_of_its_own(title: str) -> None:
    try:
        slug = names.slug(title)
    except OrganisationNameError:
        return
    assert re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?", slug)
    assert len(slug) <= names.MAX_SLUG
    assert names.slug(slug) == slug


@pytest.mark.parametrize("name", ["a", "A1", "jane-doe", "1-2", "x" * 255])
def test_usernames(name: str) -> None:
    names.check_username(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "a-b-c", "a_b", "a b", "é", "a\n", "x" * 256])
def test_what_is_no_username(name: str) -> None:
    with pytest.raises(UsernameError) as raised:
        names.check_username(name)
    assert raised.value.code is StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "email", ["jane@example.org", "j.d+x@a-b.example", "Jane Doe <jane@example.org>", "jane@localhost", "é@example.org"]
)
def test_addresses(email: str) -> None:
    names.check_email(email)


@pytest.mark.parametrize(
    "email",
    [
        *("", " ", "jane", "@", "jane@", "@example.org", "a@b@c", "a@b, c@d", "a b@c.de", "a@b."),
        *("a@b\r\nBcc: c@d", "a@b\0", "x" * 300 + "@example.org", "<>", "Jane <jane>"),
    ],
)
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(EmailError):
        names.check_email(email)


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet="a@.<>,;:\"'() \\\t\n-_%[]", max_size=12))
def test_any_text_is_an_address_or_none(text: str) -> None:
    try:
        names.check_email(text)
    except EmailError:
        return
    assert "@" in text


@pytest.mark.parametrize("unseen", ["\x9b2K", "\x85", "\u202e", "\u200d", "\u2028", "\ue000"])
def test_an_address_hides_nothing_in_a_terminal(unseen: str) -> None:
    for email in (f"{unseen}jane@example.org", f"Jane{unseen} <jane@example.org>"):
        with pytest.raises(EmailError):
            names.check_email(email)


@given(st.text(), st.text())
def test_an_address_is_the_same_in_ascii_case_only(one: str, other: str) -> None:
    assert names.is_same_email(one, one)
    assert names.is_same_email(one, other) == names.is_same_email(other, one)
    if names.is_same_email(one, other):
        assert [ord(x) for x in one if not x.isascii()] == [ord(x) for x in other if not x.isascii()]


@pytest.mark.parametrize("letter", ["a", "é", "日"])
def test_what_is_much_too_long_costs_nothing(letter: str) -> None:
    text = letter * 2**22
    began = time.process_time()
    for check in (names.check_username, names.check_email, names.slug):
        with pytest.raises(ThreaddError):
            check(text)
    assert not names.fits(text)
    assert time.process_time() - began < 0.01


def test_a_title_may_be_long() -> None:
    assert names.slug("word " * 200) == "word-word-word-word-word-word"
    with pytest.raises(OrganisationNameError, match="at most 1000 characters"):
        names.slug("x" * 1001)
