"""Connects and closes of every kind leave nothing behind. `make leak` does many more of them."""

from __future__ import annotations

import argparse
import contextlib
import socket
from typing import Any

from proxy.server.tests.conftest import RunningServer, frame, read_head, serving

MIB = 1 << 20


def accept_and_close(server: RunningServer) -> None:
    with server.upgrade("echo") as raw:
        read_head(raw)
        raw.sendall(frame(1, b"x" * 100))
        raw.recv(200)
        raw.sendall(frame(8, b"\x03\xe8"))
        raw.recv(200)


def accept_and_vanish(server: RunningServer) -> None:
    with server.upgrade("echo") as raw:
        read_head(raw)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets


def be_refused(server: RunningServer) -> None:
    with server.upgrade("deny?status=403") as raw:
        read_head(raw)


def vanish_before_the_answer(server: RunningServer) -> None:
    server.upgrade("vanish").close()


def be_spliced(server: RunningServer) -> None:
    with server.upgrade(f"splice?to=ws://127.0.0.1:{server.port}/echo") as raw:
        read_head(raw)
        raw.sendall(frame(1, b"x" * 100))
        raw.recv(200)
        raw.sendall(frame(8, b"\x03\xe8"))
        raw.recv(200)


KINDS = (accept_and_close, accept_and_vanish, be_refused, vanish_before_the_answer, be_spliced)


def settled(server: RunningServer) -> dict[str, Any]:
    """What is in use once the last connection's remains are gone."""
    memory: dict[str, Any] = server.get("memory")
    for _ in range(100):
        if memory["links"] == 0:
            break
        memory = server.get("memory")
    return memory


def uncollected(server: RunningServer, *, expected: int) -> int:
    """How many of the library's protocols there are; `expected`, as soon as there are so many."""
    found: int = server.get("uncollected")
    for _ in range(100):
        if found == expected:
            break
        found = server.get("uncollected")
    return found


def connect_many(server: RunningServer, count: int) -> None:
    for number in range(count):
        with contextlib.suppress(ConnectionResetError):
            KINDS[number % len(KINDS)](server)


def grown(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is in use before and after `count` connections, the first hundreds not counted."""
    with serving(drain_seconds=0.1) as server:
        connect_many(server, 500)
        before = settled(server)
        connect_many(server, count)
        return before, settled(server)


def test_connects_and_closes_leave_memory_where_it_was() -> None:
    before, after = grown(1_500)
    assert after["links"] == 0
    assert after["files"] <= before["files"]
    assert after["rss_bytes"] - before["rss_bytes"] < MIB


def test_nothing_of_a_client_that_is_gone_waits_for_the_garbage_collector() -> None:
    with serving(drain_seconds=0.1) as server:
        before = server.get("uncollected")
        connect_many(server, 4 * len(KINDS))
        assert uncollected(server, expected=before) == before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=20_000)
    before, after = grown(parser.parse_args().connections)
    print(f"before {before}, after {after}")  # noqa: T201
    if after["links"] or after["rss_bytes"] - before["rss_bytes"] > 5 * MIB:
        raise SystemExit("memory leaks")


if __name__ == "__main__":
    main()
