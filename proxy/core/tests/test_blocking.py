from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import Address, Network
from proxy.core.blocking import Blocklist, BlockRule, parse_network


def blocked(*rules: BlockRule, user_id: str = "7", address: str = "192.0.2.9", now: float = 0.0) -> bool:
    return Blocklist(rules).blocks(user_id=user_id, address=address, now=now)


def rule(network: str = "", *, user_id: str = "", until: float | None = None) -> BlockRule:
    return BlockRule(user_id=user_id, network=parse_network(network) if network else None, until=until)


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        ("192.0.2.9", "192.0.2.9", True),
        ("192.0.2.9", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.77/24", "192.0.2.200", True),
        ("192.0.2.0/24", "::ffff:192.0.2.200", True),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("0.0.0.0/0", "", False),
        ("0.0.0.0/0", "no address", False),
    ],
)
def test_an_address_is_blocked_by_the_networks_it_is_in(network: str, address: str, expected: bool) -> None:
    assert blocked(rule(network), address=address) is expected


def test_a_user_is_blocked_wherever_it_comes_from() -> None:
    assert blocked(rule(user_id="7"), address="")
    assert not blocked(rule(user_id="8"))


def test_a_rule_of_user_and_network_needs_both() -> None:
    both = rule("192.0.2.0/24", user_id="7")
    assert blocked(both)
    assert not blocked(both, address="198.51.100.1")
    assert not blocked(both, user_id="8")


def test_a_block_ends_at_its_time_and_the_longest_of_several_counts() -> None:
    rules = (rule("192.0.2.9", until=10), rule("192.0.2.9", until=20), rule(user_id="7", until=5))
    assert blocked(*rules, now=19.9)
    assert not blocked(*rules, now=20)


def test_a_rule_of_nobody_blocks_nobody() -> None:
    assert not blocked(BlockRule())


networks = st.one_of(
    st.builds(
        lambda bits, length: ipaddress.ip_network((bits, length), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda bits, length: ipaddress.ip_network((bits, length), strict=False),
        st.integers(2**32, 2**128 - 1),
        st.integers(0, 128),
    ),
)
addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(2**127, 2**128 - 1).map(ipaddress.IPv6Address),
)


@given(st.lists(networks, max_size=20), addresses)
def test_the_list_agrees_with_looking_into_every_network(networks: list[Network], address: Address) -> None:
    rules = [BlockRule(network=network) for network in networks]
    expected = any(address in network for network in networks)
    assert blocked(*rules, user_id="", address=str(address)) is expected


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.77"),
        ("::ffff:0:0/96", "203.0.113.9"),
    ],
)
def test_a_block_of_an_ipv4_mapped_address_matches_the_ipv4_client(text: str, address: str) -> None:
    blocked = Blocklist([BlockRule(network=parse_network(text))])
    assert blocked.blocks(user_id="", address=address, now=0)
    assert blocked.blocks(user_id="", address=f"::ffff:{address}", now=0)
    assert not blocked.blocks(user_id="", address="2001:db8::1", now=0)
