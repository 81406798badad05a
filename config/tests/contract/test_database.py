"""What the database does to a node: locked, frozen, and after many pages."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.forwarder import Forwarder
from config.testing.gateway import Gateway, issue
from config.testing.servers import PostgresServer
from config.tests.conftest import MakeGateway

pytestmark = pytest.mark.long


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


@pytest.fixture
def node(make_gateway: MakeGateway) -> Gateway:
    """A node of its own on SQLite."""
    return make_gateway()


async def pages(node: Gateway, *, number: int, at_once: int) -> None:
    """Ask for so many pages of the admin, each with a session that nobody has."""
    turns = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as browser:

        async def ask() -> None:
            async with turns:
                cookie = {"cookie": f"sessionid={os.urandom(16).hex()}"}
                answer = await browser.get(f"http://127.0.0.1:{node.port}/admin/", headers=cookie)
                assert answer.status_code == 302

        await asyncio.gather(*(ask() for _ in range(number)))


@pytest.mark.timing
async def test_a_locked_sqlite_stops_nobodys_messages(node: Gateway) -> None:
    path = node.env["DATABASE_URL"].removeprefix("sqlite:///")
    slowest_seconds = 0.0
    async with asyncio.timeout(50), node.serving(echo) as url:
        await node.wait_until_ready(database=True)
        async with node.connect(url) as client:
            with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
                other.execute("BEGIN EXCLUSIVE")
                until = time.monotonic() + 5
                while time.monotonic() < until:
                    began = time.monotonic()
                    await client.send("still here")
                    await client.recv()
                    slowest_seconds = max(slowest_seconds, time.monotonic() - began)
                    async with node.connect(node.url(token=issue("7"))):  # to be written down
                        pass
            await node.wait_for_records("user_id = '42'")
    # Alone, the slowest takes some 10 ms; a loop that waits for the lock is stopped for seconds.
    assert slowest_seconds < 0.5


async def test_pages_leave_no_more_sqlite_files_open_than_were_asked_for_at_once(node: Gateway) -> None:
    def files() -> int:
        links = Path(f"/proc/{node.program.pid}/fd").iterdir()
        return sum("gateway.sqlite3" in os.readlink(link) for link in links if link.exists())

    await node.wait_until_ready(database=True)
    before = files()
    await pages(node, number=300, at_once=10)
    # SQLite itself keeps a descriptor for its next opening while another connection holds a lock.
    assert files() <= before + 3 * 10


@pytest.fixture
def postgres_node(
    tmp_path: Path, postgres: PostgresServer, database_url: str, way_to_postgres: Forwarder
) -> Iterator[Gateway]:
    """A node whose way to PostgreSQL can freeze."""
    url = database_url.replace(f":{postgres.port}/", f":{way_to_postgres.port}/")
    node = Gateway("serve", tmp_path, {"DATABASE_URL": url, "DATABASE_POOL_SIZE": "5"})
    return_to = node.env["DATABASE_URL"]
    node.env["DATABASE_URL"] = database_url  # commands wait for the loop that the forwarder runs on
    node.migrate()
    node.env["DATABASE_URL"] = return_to
    node.start()
    yield node
    node.close()


async def test_pages_take_no_more_connections_of_postgresql_than_the_pool_has(
    postgres_node: Gateway, database_url: str
) -> None:
    def connected() -> int:
        name = database_url.rpartition("/")[2]
        with psycopg.connect(database_url, autocommit=True) as other:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            row = other.execute(query, [name]).fetchone()
        assert row is not None
        return int(row[0])

    await postgres_node.wait_until_ready(database=True)
    asking, most = asyncio.create_task(pages(postgres_node, number=60, at_once=40), name="pages"), 0
    while not asking.done():
        most = max(most, await asyncio.to_thread(connected))
        await asyncio.sleep(0.02)
    await asking
    assert 1 <= most <= 5


@pytest.mark.timing
@pytest.mark.timeout(120)
async def test_a_silent_failover_heals_within_twenty_seconds_and_never_holds_up_the_exit(
    postgres_node: Gateway, way_to_postgres: Forwarder, database_url: str
) -> None:
    node = postgres_node
    async with asyncio.timeout(100), node.serving(echo) as url:
        await node.wait_until_ready(database=True)
        way_to_postgres.freeze()
        frozen_at = time.monotonic()
        async with node.connect(url):
            while not await asyncio.to_thread(_written, database_url):
                assert time.monotonic() - frozen_at < 20
                await asyncio.sleep(0.05)
        way_to_postgres.freeze()
        assert await asyncio.to_thread(node.program.stop, within_seconds=30) == 0


def _written(url: str) -> bool:
    with psycopg.connect(url) as database:
        return database.execute("SELECT 1 FROM proxy_connection").fetchone() is not None


@pytest.fixture
def new_primary() -> Iterator[PostgresServer]:
    """A second PostgreSQL."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.remove()


@pytest.mark.timeout(120)
async def test_after_a_failover_that_left_the_old_primary_open_and_read_only_a_node_writes_to_the_new_one(
    tmp_path: Path, postgres: PostgresServer, new_primary: PostgresServer, database_url: str
) -> None:
    name = database_url.rpartition("/")[2]
    new_primary.execute(f'CREATE DATABASE "{name}"')
    hosts = f"host=127.0.0.1,127.0.0.1&port={postgres.port},{new_primary.port}"
    url_of_both = f"postgresql://gateway@/{name}?{hosts}&target_session_attrs=read-write"
    node = Gateway("serve", tmp_path, {"DATABASE_URL": url_of_both})
    for url in (url_of_both, new_primary.url(name)):
        node.env["DATABASE_URL"] = url
        await asyncio.to_thread(node.migrate)
    try:
        node.start()
        async with asyncio.timeout(60), node.serving(echo) as url:
            await node.wait_until_ready(database=True)
            async with node.connect(url):
                while not await asyncio.to_thread(_written, database_url):
                    await asyncio.sleep(0.05)
                postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
                postgres.execute("SELECT pg_reload_conf()")
                while not await asyncio.to_thread(_written, new_primary.url(name)):
                    await asyncio.sleep(0.05)
            assert await asyncio.to_thread(node.program.stop, within_seconds=30) == 0
    finally:
        node.close()
        postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.execute("SELECT pg_reload_conf()")
