"""Whose share of the budgets a call draws on."""

import pytest

from net.keys import PrivateKey
from threadd.api.principals import Principal, address_of

HOST, JANE = PrivateKey(b"h" * 32).public, PrivateKey(b"j" * 32).public


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ipv4:127.0.0.1:50000", "ipv4:127.0.0.1:50001", True),
        ("ipv4:127.0.0.1:50000", "ipv4:127.0.0.2:50000", False),
        ("ipv6:[2001:db8::1]:50000", "ipv6:[2001:db8::ffff:2]:7", True),
        ("ipv6:[2001:db8::1]:50000", "ipv6:[2001:db8:0:1::1]:50000", False),
        ("ipv6:[fe80::1%eth0]:50000", "ipv6:[fe80::2%eth0]:50000", True),
        ("ipv6:[::ffff:192.0.2.1]:50000", "ipv4:192.0.2.1:7", True),
        ("ipv6:[::ffff:192.0.2.1]:50000", "ipv4:192.0.2.2:7", False),
        ("unknown", "unix:/run/somewhere", True),
        ("ipv4:nonsense:1", "unknown", True),
        ("ipv4:127.0.0.1:50000", "unknown", False),
    ],
)
def test_an_address_has_no_port_and_of_ipv6_only_the_site_counts(one, other, same):
    assert (address_of(one) == address_of(other)) is same


def test_within_a_key_shares_are_by_identity_else_by_address():
    here, there = "ipv4:192.0.2.1:1", "ipv4:192.0.2.2:1"
    proved = Principal(JANE, has_proved=True, api_key="bkey")
    assert proved.holder(here) == proved.holder(there) != Principal(JANE, has_proved=True).holder(here)
    for unproved in (Principal(api_key="bkey"), Principal(HOST), Principal()):
        assert unproved.holder(here) == unproved.holder(here) != unproved.holder(there)
        assert unproved.holder(here) != proved.holder(here)
    assert Principal(api_key="bkey").holder(here) != Principal().holder(here) == Principal(HOST).holder(here)
