"""The book of HTTP requests under way, without sockets."""

from __future__ import annotations

import ipaddress

from proxy.core.addresses import Network
from proxy.server.http_bounds import LEAST_PROBE_WAIT_SECONDS, HttpRequests
from proxy.server.options import ServerOptions


def book(*, proxies: tuple[Network, ...] = ()) -> HttpRequests:
    return HttpRequests(
        ServerOptions(
            max_http_requests=3,
            max_http_requests_per_address=2,
            max_http_streams=2,
            trusted_proxies=proxies,
        )
    )


def refused(requests: HttpRequests, address: str) -> str | None:
    """By which bound one more of `address` would be."""
    refusal = requests.refusal(address)
    return None if refusal is None else refusal.outcome


def test_an_address_has_its_share_and_the_node_its_bound() -> None:
    requests = book()
    for _ in range(2):
        assert refused(requests, "192.0.2.1") is None
        requests.began("192.0.2.1")
    assert refused(requests, "192.0.2.1") == "too_many_http_per_ip"
    assert refused(requests, "192.0.2.2") is None
    requests.began("192.0.2.2")
    assert refused(requests, "192.0.2.2") == "overloaded"
    requests.ended("192.0.2.1")
    assert refused(requests, "192.0.2.2") is None
    assert refused(requests, "192.0.2.1") is None


def test_a_64_of_ipv6_is_one_client() -> None:
    requests = book()
    requests.began("2001:db8::1")
    requests.began("2001:db8::2")
    assert refused(requests, "2001:db8::3") == "too_many_http_per_ip"
    assert refused(requests, "2001:db8:0:1::1") is None


def test_a_proxy_that_names_nobody_and_a_unix_socket_have_no_share_of_their_own() -> None:
    requests = book(proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    for address in ("10.0.0.1", "10.0.0.1", ""):
        assert refused(requests, address) is None
        requests.began(address)
    assert refused(requests, "10.0.0.1") == refused(requests, "") == "overloaded"


def test_a_stream_is_no_request_from_its_beginning_on_as_long_as_there_are_few() -> None:
    requests, address = book(), "192.0.2.1"
    for began in (True, True, False):
        requests.began(address)
        assert requests.began_stream(address) is began
    assert refused(requests, address) is None
    requests.began(address)
    assert refused(requests, address) == "too_many_http_per_ip"  # the one that is still a request, and this
    requests.ended_stream()
    assert requests.began_stream(address)
    assert refused(requests, address) is None


def test_probes_beyond_the_rate_wait_until_there_is_room_for_more_than_one() -> None:
    requests, address = book(), "192.0.2.1"
    assert [requests.probe_wait_seconds(address, 0.0) for _ in range(50)] == [0.0] * 50
    assert requests.probe_wait_seconds(address, 0.0) == LEAST_PROBE_WAIT_SECONDS
    later = [requests.probe_wait_seconds(address, LEAST_PROBE_WAIT_SECONDS) for _ in range(20)]
    assert later.count(0.0) == 12
