import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import (
    MAX_HOPS,
    Network,
    address_key,
    client_address,
    is_trusted,
    parse_address,
)

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "192.168.1.1/32", "fd00::/8")))


def seen(
    peer: str | None, *forwarded_for: str, real_ip: str | None = None, proxies: Sequence[Network] = PROXIES
) -> str:
    return client_address(peer, forwarded_for=forwarded_for, real_ip=real_ip, proxies=proxies)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%<script>", "fe80::1"),
    ],
)
def test_one_address_has_one_form_however_it_was_written(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "300.1.1.1", "[", "a:b", "\x00"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert parse_address(text) is None or str(parse_address(str(parse_address(text)))) == str(
        parse_address(text)
    )


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.7",), "203.0.113.9"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("::ffff:10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.7, 10.9.9.9",), "198.51.100.7"),
        ("10.0.0.1", ("1.1.1.1", "198.51.100.7", "192.168.1.1"), "198.51.100.7"),
        ("10.0.0.1", ("10.0.0.2, 10.0.0.3",), "10.0.0.2"),
        ("10.0.0.1", ("198.51.100.7, unknown, 10.9.9.9",), "10.9.9.9"),
        ("10.0.0.1", ("198.51.100.7, ",), "10.0.0.1"),
        ("fd00::1", ("[2001:db8::7]:5000",), "2001:db8::7"),
        (None, ("198.51.100.7",), ""),
        ("", ("198.51.100.7",), ""),
        ("/run/gateway.sock", (), ""),
    ],
)
def test_the_chain_is_read_from_the_right_past_our_own_proxies_only(
    peer: str | None, forwarded_for: tuple[str, ...], client: str
) -> None:
    assert seen(peer, *forwarded_for) == client


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", (), "198.51.100.8"),
        ("10.0.0.1", ("",), "198.51.100.8"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("203.0.113.9", (), "203.0.113.9"),
    ],
)
def test_x_real_ip_counts_only_from_a_trusted_peer_without_x_forwarded_for(
    peer: str | None, forwarded_for: tuple[str, ...], client: str
) -> None:
    assert seen(peer, *forwarded_for, real_ip="198.51.100.8") == client


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [((), ""), (("198.51.100.7",), "198.51.100.7"), (("1.1.1.1, 198.51.100.7, 10.9.9.9",), "198.51.100.7")],
)
def test_a_peer_of_a_trusted_unix_socket_is_a_proxy(forwarded_for: tuple[str, ...], client: str) -> None:
    for peer in (None, "", "/run/gateway.sock"):
        told = client_address(
            peer, forwarded_for=forwarded_for, real_ip=None, proxies=PROXIES, trusts_unix=True
        )
        assert told == client
    told = client_address(
        "203.0.113.9", forwarded_for=forwarded_for, real_ip=None, proxies=(), trusts_unix=True
    )
    assert told == "203.0.113.9"


def test_with_no_trusted_proxies_nobodys_header_counts() -> None:
    assert seen("10.0.0.1", "198.51.100.7", real_ip="198.51.100.8", proxies=()) == "10.0.0.1"


def test_only_the_last_hops_of_an_endless_chain_are_read() -> None:
    assert seen("10.0.0.1", ",".join(["6.6.6.6", *["10.0.0.2"] * MAX_HOPS])) == "10.0.0.2"


@given(st.lists(st.text(alphabet="0123456789abcdef.:[]%, ", max_size=30), max_size=5))
def test_what_a_client_claims_never_hides_the_hop_that_our_proxy_saw(claims: list[str]) -> None:
    assert seen("10.0.0.1", *claims, "203.0.113.9") == "203.0.113.9"


def test_an_ipv4_peer_is_not_looked_up_in_ipv6_networks() -> None:
    assert not is_trusted(parse_address("203.0.113.9"), (ipaddress.ip_network("::/0"),))


def test_a_client_with_a_whole_ipv6_network_counts_as_one() -> None:
    assert address_key("2001:db8:0:1::1") == address_key("2001:db8:0:1:ffff::2")
    assert address_key("2001:db8:0:1::1") != address_key("2001:db8:0:2::1")
    assert address_key("192.0.2.1") == "192.0.2.1"
    assert address_key("") == ""
