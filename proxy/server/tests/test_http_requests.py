"""The book of HTTP requests under way, without sockets."""

from __future__ import annotations

import ipaddress

from proxy.server.http_requests import LEAST_PROBE_WAIT_SECONDS, HttpRequests


def book(**bounds: object) -> HttpRequests:
    return HttpRequests(**{"most": 3, "most_per_address": 2, "probes_per_second": 9.0, **bounds})  # type: ignore[arg-type]


def test_an_address_has_its_share_and_the_node_its_bound() -> None:
    requests = book()
    for _ in range(2):
        assert not requests.is_full_for("192.0.2.1")
        requests.began("192.0.2.1")
    assert requests.is_full_for("192.0.2.1")
    assert not requests.is_full_for("192.0.2.2")
    assert not requests.is_full
    requests.began("192.0.2.2")
    assert requests.is_full
    requests.ended("192.0.2.1")
    assert not requests.is_full
    assert not requests.is_full_for("192.0.2.1")
    assert requests.running == 2


def test_a_64_of_ipv6_is_one_client() -> None:
    requests = book()
    requests.began("2001:db8::1")
    requests.began("2001:db8::2")
    assert requests.is_full_for("2001:db8::3")
    assert not requests.is_full_for("2001:db8:0:1::1")


def test_a_proxy_that_names_nobody_and_a_unix_socket_have_no_share_of_their_own() -> None:
    requests = book(proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    for address in ("10.0.0.1", "10.0.0.1", ""):
        requests.began(address)
    assert not requests.is_full_for("10.0.0.1")
    assert not requests.is_full_for("")
    assert requests.is_full


def test_probes_beyond_the_rate_wait_until_there_is_room_for_more_than_one() -> None:
    requests, address = book(probes_per_second=50.0), "192.0.2.1"
    assert [requests.probe_wait_seconds(address, 0.0) for _ in range(50)] == [0.0] * 50
    assert requests.probe_wait_seconds(address, 0.0) == LEAST_PROBE_WAIT_SECONDS
    later = [requests.probe_wait_seconds(address, LEAST_PROBE_WAIT_SECONDS) for _ in range(20)]
    assert later.count(0.0) == 12
