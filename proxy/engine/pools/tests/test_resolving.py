"""Members by name: who looks the name up, and which of its addresses are dialled."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from proxy import metrics
from proxy.core.errors import Overloaded
from proxy.core.limits import LinkLimits
from proxy.engine.pools import dial, rawdial
from proxy.engine.pools.dial import DialFailed, DialRequest, Target, connect_first
from proxy.engine.pools.resolving import (
    AGAIN_SECONDS,
    FAILED_SECONDS,
    FRESH_SECONDS,
    Addresses,
    HostUnknown,
)
from proxy.tests.counting import counted

WAYS = [partial(dial.dial_leg, limits=LinkLimits()), rawdial.dial_raw]


class Names:
    """A resolver: what it says now, and how often it was asked. `held` keeps it from answering."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.asked = 0
        self.now = 0.0
        self.held = threading.Event()
        self.held.set()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        self.held.wait(5)
        if not self.addresses:
            raise OSError("no such name")
        return self.addresses

    def of(self, host: str) -> Addresses:
        return Addresses(host, look_up=self, clock=lambda: self.now)


async def listening(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_dials_at_once_cost_one_lookup_and_later_ones_none() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    addresses = names.of("studio")
    for turns in await asyncio.gather(*(addresses.in_turn() for _ in range(100))):
        assert sorted(turns) == ["10.0.0.1", "10.0.0.2"]
    await addresses.in_turn()
    assert names.asked == 1


async def test_a_resolver_that_hangs_holds_nobody_up_who_knows_an_address() -> None:
    names = Names("10.0.0.1")
    addresses = names.of("studio")
    await addresses.in_turn()
    names.now += FRESH_SECONDS + 1
    names.held.clear()
    for _ in range(100):
        assert await addresses.in_turn() == ["10.0.0.1"]
    names.addresses = ["10.0.0.9"]
    names.held.set()
    async with asyncio.timeout(5):
        while await addresses.in_turn() != ["10.0.0.9"]:
            await asyncio.sleep(0)
    assert names.asked == 2


async def test_a_name_that_is_gone_leaves_what_was_known() -> None:
    names = Names("10.0.0.1")
    addresses = names.of("studio")
    await addresses.in_turn()
    names.addresses = []
    names.now += FRESH_SECONDS + 1
    assert await addresses.in_turn(anew=True) == ["10.0.0.1"]


async def test_a_name_that_does_not_resolve_is_asked_again_but_not_at_every_dial() -> None:
    names = Names()
    addresses = names.of("studio")
    for _ in range(10):
        with pytest.raises(HostUnknown, match="studio does not resolve: no such name"):
            await addresses.in_turn()
    assert names.asked == 1
    names.addresses = ["10.0.0.1"]
    names.now += AGAIN_SECONDS + 0.1
    assert await addresses.in_turn() == ["10.0.0.1"]


async def test_a_dial_in_the_very_turn_in_which_a_lookup_ends_knows_what_was_found() -> None:
    names = Names("10.0.0.1")
    addresses = names.of("studio")
    names.held.clear()
    first = asyncio.create_task(addresses.in_turn())
    await asyncio.sleep(0)
    (thread,) = (each for each in threading.enumerate() if each.name == "resolve:studio")
    names.held.set()
    thread.join(5)  # its answer is the next thing that the loop does, and the dial the one behind
    second = asyncio.create_task(addresses.in_turn())
    assert [await first, await second] == [["10.0.0.1"]] * 2


async def test_an_address_needs_no_resolver() -> None:
    names = Names()
    for address in ("127.0.0.1", "::1"):
        assert await names.of(address).in_turn() == [address]
    assert names.asked == 0


async def test_what_failed_lately_is_tried_last() -> None:
    addresses = Names("10.0.0.1", "10.0.0.2", "10.0.0.3").of("studio")
    await addresses.in_turn()
    addresses.failed("10.0.0.2")
    assert {(await addresses.in_turn())[-1] for _ in range(20)} == {"10.0.0.2"}
    assert {(await addresses.in_turn())[0] for _ in range(100)} == {"10.0.0.1", "10.0.0.3"}
    addresses.reached("10.0.0.2")
    assert {(await addresses.in_turn())[0] for _ in range(100)} == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


async def test_a_silent_address_comes_last_as_long_as_its_name_lists_it() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    addresses = names.of("studio")
    await addresses.in_turn()
    addresses.failed("10.0.0.2")
    for _ in range(4):
        names.now += FRESH_SECONDS + 1
        assert await addresses.in_turn(anew=True) == ["10.0.0.1", "10.0.0.2"]
    names.addresses = []
    names.now += FRESH_SECONDS + 1
    assert await addresses.in_turn(anew=True) == ["10.0.0.1", "10.0.0.2"]
    names.addresses = ["10.0.0.1"]
    names.now += AGAIN_SECONDS + 0.1
    await addresses.in_turn(anew=True)
    names.addresses = ["10.0.0.1", "10.0.0.2"]  # it came back, so somebody thinks that it is well
    names.now += AGAIN_SECONDS + 0.1
    await addresses.in_turn(anew=True)
    assert {(await addresses.in_turn())[0] for _ in range(100)} == {"10.0.0.1", "10.0.0.2"}
    assert names.asked == 8


async def test_one_dial_in_a_while_tries_what_failed_and_the_others_go_on_without() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    addresses = names.of("studio")
    await addresses.in_turn()
    addresses.failed("10.0.0.2")
    for _ in range(3):
        names.now += FAILED_SECONDS
        firsts = [(await addresses.in_turn())[0] for _ in range(20)]
        assert firsts == ["10.0.0.2", *["10.0.0.1"] * 19]


async def test_once_all_addresses_have_failed_the_first_that_answers_does_not_get_every_dial() -> None:
    known = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    addresses = Names(*known).of("studio")
    await addresses.in_turn()
    for address in known:
        addresses.failed(address)
    addresses.reached("10.0.0.2")
    assert {(await addresses.in_turn())[0] for _ in range(100)} == set(known)
    addresses.failed("10.0.0.3")  # it alone is down still
    assert {(await addresses.in_turn())[-1] for _ in range(20)} == {"10.0.0.3"}


def crashes() -> float:
    return counted(metrics.BACKGROUND_CRASHES_TOTAL, "resolving")


async def test_a_node_without_a_thread_left_says_so_and_looks_up_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names, before = Names("10.0.0.1"), crashes()
    addresses = Addresses("studio", look_up=names, clock=lambda: names.now)

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", no_thread)
        for _ in range(5):
            with pytest.raises(HostUnknown, match="can't start new thread"):
                await addresses.in_turn()
    assert (crashes() - before, [record.message for record in caplog.records]) == (1, ["a lookup failed"])
    names.now += AGAIN_SECONDS + 0.1
    assert await addresses.in_turn() == ["10.0.0.1"]


async def test_a_resolver_that_breaks_ends_no_lookups_for_good() -> None:
    names, before = Names("10.0.0.1"), crashes()

    def broken(host: str) -> Sequence[str]:
        if crashes() == before:
            raise MemoryError("no room")
        return names(host)

    addresses = Addresses("studio", look_up=broken, clock=lambda: names.now)
    async with asyncio.timeout(5):
        with pytest.raises(HostUnknown, match="MemoryError"):
            await addresses.in_turn()
        names.now += AGAIN_SECONDS + 0.1
        assert await addresses.in_turn() == ["10.0.0.1"]
    assert crashes() - before == 1


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def failing_with(error: Exception) -> Addresses:
    def look_up(_: str) -> Sequence[str]:
        raise error

    return Addresses("studio.test", look_up=look_up)


OUR_OWN = [
    OSError(errno.EMFILE, "Too many open files"),
    socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
    MemoryError("no room"),
]


@pytest.mark.parametrize("error", OUR_OWN)
@pytest.mark.parametrize("way", WAYS)
async def test_a_lookup_that_this_node_cannot_make_is_no_members_fault(way: Any, error: Exception) -> None:
    target = Target("ws://studio.test/ws", failing_with(error))
    async with asyncio.timeout(5):
        for _ in range(2):  # also when it is not looked up anew
            with pytest.raises(Overloaded, match=r"studio\.test"):
                await way(target, DialRequest())


@pytest.mark.parametrize("way", WAYS)
async def test_a_lookup_for_which_this_node_has_no_thread_is_no_members_fault(
    way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(Overloaded, match="can't start new thread"):
        await way(Target("ws://studio.test/ws", Names().of("studio.test")), DialRequest())


async def test_a_lookup_that_works_again_and_finds_nothing_is_the_members_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = Names()
    target = Target("ws://studio.test/ws", names.of("studio.test"))
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Overloaded):
            await rawdial.dial_raw(target, DialRequest())
    names.now += AGAIN_SECONDS + 0.1
    with pytest.raises(DialFailed):
        await rawdial.dial_raw(target, DialRequest())


@pytest.mark.parametrize("way", WAYS)
async def test_all_addresses_are_tried_and_the_host_header_keeps_the_name(way: object) -> None:
    hosts: list[str] = []

    def note(_: ServerConnection, request: object) -> None:
        hosts.append(request.headers["Host"])  # type: ignore[attr-defined]

    async with serve(listening, "127.0.0.1", 0, process_request=note) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        names = Names("127.0.0.3", "127.0.0.2", "127.0.0.1")
        target = Target(f"ws://studio.test:{port}/ws", names.of("studio.test"))
        leg = await way(target, DialRequest())  # type: ignore[operator]
        assert target.is_connected
        leg.abort()
    assert hosts == [f"studio.test:{port}"]


async def test_an_address_that_is_silent_leaves_the_others_their_share_of_the_time() -> None:
    asked: list[str] = []

    async def connect_to(address: str) -> str:
        asked.append(address)
        if len(asked) == 1:
            await asyncio.get_running_loop().create_future()
        return address

    addresses = Names("127.0.0.3", "127.0.0.2", "127.0.0.1").of("studio.test")
    async with asyncio.timeout(5):
        reached = await connect_first(Target("ws://studio.test/", addresses, seconds=0.3), connect_to)
    assert len(asked) == 2
    assert reached == asked[1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_member_that_has_moved_is_found_at_its_new_address_by_the_same_dial(way: object) -> None:
    async with serve(listening, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        names = Names("127.0.0.2")
        addresses = names.of("studio.test")
        await addresses.in_turn()
        names.addresses, names.now = ["127.0.0.1"], AGAIN_SECONDS + 1
        target = Target(f"ws://studio.test:{port}/ws", addresses)
        (await way(target, DialRequest())).abort()  # type: ignore[operator]


@pytest.mark.parametrize("way", WAYS)
async def test_a_dial_of_a_name_that_does_not_resolve_fails_and_is_not_connected(way: object) -> None:
    target = Target("ws://nowhere.test/", Names().of("nowhere.test"))
    with pytest.raises(DialFailed, match=r"nowhere\.test does not resolve"):
        await way(target, DialRequest())  # type: ignore[operator]
    assert not target.is_connected
