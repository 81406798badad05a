"""The book of HTTP connections, without sockets."""

from __future__ import annotations

import ipaddress

from proxy.core.addresses import Network
from proxy.server.http_bounds import HttpConnections
from proxy.server.options import ServerOptions


class Socket:
    def __init__(self) -> None:
        self.has_given_way = False

    def give_way(self) -> None:
        self.has_given_way = True


def book(*, waiting: int = 3, busy: int = 96, proxies: tuple[Network, ...] = ()) -> HttpConnections:
    return HttpConnections(
        ServerOptions(
            max_http_connections=waiting,
            max_http_connections_per_address=2,
            max_http_requests=busy,
            trusted_proxies=proxies,
        )
    )


def arrive(connections: HttpConnections, *hosts: str | None) -> list[Socket]:
    sockets = [Socket() for _ in hosts]
    for socket, host in zip(sockets, hosts, strict=True):
        assert connections.arrive(socket, host)
    return sockets


def given_way(sockets: list[Socket]) -> list[int]:
    return [position for position, socket in enumerate(sockets) if socket.has_given_way]


def test_the_oldest_that_waits_gives_way_when_the_book_is_full() -> None:
    connections = book()
    sockets = arrive(connections, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
    assert given_way(sockets) == [0, 1]
    assert connections.given_way == 2


def test_an_address_pushes_out_its_own_oldest_only() -> None:
    sockets = arrive(book(), "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2")
    assert given_way(sockets) == [1]


def test_a_request_under_way_never_gives_way_and_is_the_youngest_when_it_ends() -> None:
    connections = book()
    sockets = arrive(connections, "192.0.2.1", "192.0.2.2")
    connections.began_request(sockets[0])
    sockets += arrive(connections, "192.0.2.3", "192.0.2.4", "192.0.2.5")
    assert given_way(sockets) == [1]
    connections.ended_request(sockets[0])
    arrive(connections, "192.0.2.6")
    assert given_way(sockets) == [1, 2]


def test_the_oldest_request_gives_way_when_all_places_are_taken_by_requests() -> None:
    connections = book(busy=0)
    sockets = arrive(connections, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    for socket in (sockets[1], sockets[0], sockets[2]):
        connections.began_request(socket)
    sockets += arrive(connections, "192.0.2.4")
    assert given_way(sockets) == [1]
    sockets += arrive(connections, "192.0.2.5")
    assert given_way(sockets) == [1, 3]  # one that waits goes before any that works


def test_an_address_whose_places_are_all_at_work_is_sent_away() -> None:
    connections = book()
    for socket in arrive(connections, "192.0.2.1", "192.0.2.1"):
        connections.began_request(socket)
    assert not connections.arrive(Socket(), "192.0.2.1")
    arrive(connections, "192.0.2.2")


def test_a_64_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() -> None:
    sockets = arrive(book(), "2001:db8::1", "2001:db8::2", "2001:db8::3")
    assert given_way(sockets) == [0]
    sockets = arrive(book(), "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1")
    assert given_way(sockets) == [0]


def test_proxies_and_unix_sockets_have_no_bound_per_address() -> None:
    proxies = (ipaddress.ip_network("10.0.0.0/8"),)
    for host in ("10.0.0.1", None):
        sockets = arrive(book(proxies=proxies, waiting=10), *[host] * 10)
        assert given_way(sockets) == []


def test_who_leaves_makes_room_however_often_it_says_so() -> None:
    connections = book()
    first, second = arrive(connections, "192.0.2.1", "192.0.2.1")
    connections.began_request(second)
    for socket in (first, first, second, second):
        connections.leave(socket)
    assert given_way(arrive(connections, "192.0.2.1", "192.0.2.1")) == []
