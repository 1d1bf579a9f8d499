"""The door: whom a connection counts for, and those who stand in it and say nothing."""

from __future__ import annotations

import pytest

from demo.live.gate import counted_address


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::3]:443", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:5123", "192.0.2.7"),
        ("testclient", "testclient"),
        ("unknown", "unknown"),
        ("", ""),
        (":", ":"),
    ],
)
def test_all_addresses_of_one_home_count_as_one(text: str, counted: str) -> None:
    assert counted_address(text) == counted
