"""Several workers on one socket: they share the clients, come back when they die, and drain as one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from proxy.server.tests.conftest import RunningServer, read_head, serving
from proxy.server.workers import CANNOT_START, Master

pytestmark = pytest.mark.long


@pytest.fixture
def workers() -> Iterator[RunningServer]:
    with serving(workers=2, drain_seconds=0.5, sweep_seconds=0.05) as running:
        yield running


async def pids(server: RunningServer, *, besides: frozenset[int] = frozenset()) -> frozenset[int]:
    """The process ids of two workers that are not `besides`, asking until both have answered."""
    seen: set[int] = set()
    async with asyncio.timeout(15):
        while len(seen) < 2:
            try:
                answers = await asyncio.gather(*(server.ask("pid") for _ in range(4)))
            except OSError:  # one of them was killed while it answered
                continue
            seen |= {answer["pid"] for answer in answers} - besides
    return frozenset(seen)


async def test_workers_share_the_socket_and_one_signal_drains_all(workers: RunningServer) -> None:
    await pids(workers)
    metrics = Path((await workers.ask("pid"))["metrics"])
    assert os.stat(metrics).st_mode & 0o777 == 0o700
    async with asyncio.timeout(20):
        clients = [await connect(workers.url("echo"), proxy=None) for _ in range(20)]
        workers.terminate()
        await asyncio.gather(*(client.wait_closed() for client in clients))
    assert {client.close_code for client in clients} == {1001}
    assert workers.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        workers.connect()
    assert not os.access(metrics, os.F_OK)


async def test_a_killed_worker_comes_back_and_its_siblings_links_stay(workers: RunningServer) -> None:
    both = await pids(workers)
    metrics = Path((await workers.ask("pid"))["metrics"])
    async with asyncio.timeout(20):
        clients = await clients_of(workers, both)
        doomed = min(both)
        assert ends(metrics) == 0
        stale = metrics / f"gauge_livesum_{doomed}.db"
        stale.touch()
        os.kill(doomed, signal.SIGKILL)
        successors = await pids(workers, besides=frozenset({doomed}))
        alive = {pid for pid, client in clients.items() if await is_alive(client)}
        await asyncio.gather(*(client.close() for client in clients.values()))
    assert len(successors - both) == 1
    assert alive == both - {doomed}
    assert not os.access(stale, os.F_OK)
    assert ends(metrics) == 1


def ends(metrics: Path) -> float:
    """How many ends of workers a scrape tells."""
    families = MultiProcessCollector.merge([str(each) for each in metrics.glob("*.db")])
    return {each.name: each.samples for each in families}["gateway_websocket_worker_ends"][0].value


async def clients_of(server: RunningServer, pids: frozenset[int]) -> dict[int, ClientConnection]:
    """One client of each worker."""
    clients: dict[int, ClientConnection] = {}
    while set(clients) != pids:
        client = await connect(server.url("pid"), proxy=None)
        pid = int(await client.recv())
        if pid in clients:
            await client.close()
        clients.setdefault(pid, client)
    return clients


async def is_alive(client: ClientConnection) -> bool:
    try:
        await client.send("?")
        return await client.recv() == "?"
    except ConnectionClosed:
        return False


async def test_a_client_that_comes_while_no_worker_lives_is_served_by_the_next(
    workers: RunningServer,
) -> None:
    for pid in await pids(workers):
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(15), connect(workers.url("echo"), proxy=None) as client:
        await client.send("anybody")
        assert await client.recv() == "anybody"


async def test_workers_whose_master_is_killed_drain_over_their_whole_time() -> None:
    """To lose it is no signal, nor a second one."""
    with serving(workers=2, drain_seconds=4.0) as server:
        await pids(server)
        async with asyncio.timeout(30):
            clients = [await connect(server.url("echo"), proxy=None) for _ in range(12)]
            server.process.kill()
            ended_at = await asyncio.gather(*map(_ended_at, clients))
        assert {client.close_code for client in clients} == {1001}
        assert max(ended_at) - min(ended_at) > 2


async def _ended_at(client: ClientConnection) -> float:
    await client.wait_closed()
    return asyncio.get_running_loop().time()


async def test_a_worker_that_somebody_told_to_end_is_replaced(workers: RunningServer) -> None:
    both = await pids(workers)
    os.kill(min(both), signal.SIGTERM)
    assert max(both) in await pids(workers, besides=frozenset({min(both)}))
    workers.terminate()
    assert workers.wait() == 0


async def test_a_fork_that_fails_ends_no_other_worker_and_is_tried_again(workers: RunningServer) -> None:
    both = await pids(workers)
    async with asyncio.timeout(30):
        clients = await clients_of(workers, both)
        doomed, other = sorted(both)
        files = len(os.listdir(f"/proc/{workers.process.pid}/fd"))
        _, hard = resource.prlimit(workers.process.pid, resource.RLIMIT_NOFILE, (files, 20_000))
        os.kill(doomed, signal.SIGKILL)
        while "worker cannot be started" not in workers.log():
            await asyncio.sleep(0.05)
        assert await is_alive(clients[other])
        resource.prlimit(workers.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert other in await pids(workers, besides=frozenset({doomed}))
        assert await is_alive(clients[other])
        await asyncio.gather(*(client.close() for client in clients.values()))


async def test_a_stop_in_the_turn_of_a_start_ends_no_other_worker_and_starts_none() -> None:
    """The socket is closed by then; a fork that fails with it used to kill the others."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        master = Master([sys.executable, "-c", ""], workers=2, listening=listening, stop_seconds=5)
        async with asyncio.timeout(10):
            running = asyncio.create_task(master.run())
            asyncio.get_running_loop().call_soon(master._stop)  # after run() began, before its workers do
            assert await running == 0


async def test_a_socket_that_is_closed_while_a_worker_starts_is_no_accident() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        master = Master([sys.executable, "-c", ""], workers=1, listening=listening, stop_seconds=5)
        master._stop()
        assert await master._run_once(0) == CANNOT_START


async def test_a_worker_that_staff_drains_leaves_those_who_wait_to_its_sibling() -> None:
    """Also while its master has yet to say that there is one."""
    with serving(workers=2, drain_seconds=20.0) as server:
        async with asyncio.timeout(40), contextlib.AsyncExitStack() as stack:
            drained, sibling = sorted(await pids(server))
            held = await clients_of(server, frozenset({drained, sibling}))
            for client in held.values():
                stack.push_async_callback(client.close)
            told = stack.enter_context(await asyncio.to_thread(connection_to, server, drained))
            for pid in (drained, sibling, server.process.pid):
                stack.enter_context(stopped(pid))
            crowd = [stack.enter_context(server.upgrade("pid")) for _ in range(400)]
            told.sendall(b"GET /drain HTTP/1.1\r\nHost: x\r\n\r\n")
            os.kill(drained, signal.SIGCONT)
            await asyncio.to_thread(read_head, told)
            for _ in range(20):  # each takes a turn of its loop, in which it could accept 32
                assert await is_alive(held[drained])
            os.kill(server.process.pid, signal.SIGCONT)
            while "draining" not in server.log():
                await asyncio.sleep(0.05)
            os.kill(sibling, signal.SIGCONT)
            statuses = [(await asyncio.to_thread(read_head, raw))[0] for raw in crowd]
        assert statuses.count(101) > 200  # the drained one accepts some before it knows


async def test_once_staff_has_drained_every_worker_clients_are_turned_away_at_once() -> None:
    """While the links still drain: nobody waits for an answer that is not to come."""
    with serving(workers=2, drain_seconds=20.0) as server:
        async with asyncio.timeout(40), contextlib.AsyncExitStack() as stack:
            both = await pids(server)
            for client in (await clients_of(server, both)).values():
                stack.push_async_callback(client.close)
            for pid in both:
                told = stack.enter_context(await asyncio.to_thread(connection_to, server, pid))
                told.sendall(b"GET /drain HTTP/1.1\r\nHost: x\r\n\r\n")
            while server.log().count("draining") < 2:
                await asyncio.sleep(0.05)
            with pytest.raises(ConnectionRefusedError):
                server.connect()
        assert server.wait() == 0


def connection_to(server: RunningServer, pid: int) -> socket.socket:
    """A connection that this process keeps alive."""
    while True:
        raw = server.connect()
        raw.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
        if json.loads(read_head(raw)[2])["pid"] == pid:
            return raw
        raw.close()


async def test_a_stop_leaves_nobody_to_a_worker_that_has_yet_to_start() -> None:
    with serving(workers=2, drain_seconds=0.5) as server:
        async with asyncio.timeout(40), contextlib.AsyncExitStack() as stack:
            doomed, left = sorted(await pids(server))
            os.kill(doomed, signal.SIGKILL)
            while server.log().count("worker started") < 3:
                await asyncio.sleep(0.01)
            both = children_of(server.process.pid)
            for pid in both:
                stack.enter_context(stopped(pid))
            crowd = [stack.enter_context(server.upgrade("pid")) for _ in range(400)]
            server.terminate()
            while not all(map(is_told_to_end, both)):
                await asyncio.sleep(0.01)
            os.kill(left, signal.SIGCONT)
            statuses = [(await asyncio.to_thread(read_head, raw))[0] for raw in crowd]
        assert statuses.count(503) > 200  # who came before the signal was read is served


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_told_to_end(pid: int) -> bool:
    """Whether a SIGTERM waits for `pid`, which is stopped."""
    pending = Path(f"/proc/{pid}/status").read_text().partition("ShdPnd:")[2].split()[0]
    return bool(int(pending, 16) & 1 << signal.SIGTERM - 1)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was let on, and has ended
            os.kill(pid, signal.SIGCONT)


async def test_a_second_signal_hurries_all_workers() -> None:
    with serving(workers=2, drain_seconds=60.0) as server:
        await pids(server)
        async with asyncio.timeout(15):
            clients = [await connect(server.url("echo"), proxy=None) for _ in range(10)]
            server.terminate()
            while True:  # until both listen no more
                try:
                    await asyncio.to_thread(_connect_once, server)
                except ConnectionRefusedError:
                    break
            server.terminate()
            await asyncio.gather(*(client.wait_closed() for client in clients))
        assert {client.close_code for client in clients} == {1001}
        assert server.wait(5) == 0


def _connect_once(server: RunningServer) -> None:
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
