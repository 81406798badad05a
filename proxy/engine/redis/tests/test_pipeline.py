"""Commands over one connection: whose reply is whose, whatever becomes of callers and of the Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from config.testing.servers import ValkeyServer
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.connection import Connection, LoginRefused
from proxy.engine.redis.pipeline import CommandRefused, Pipeline

SECONDS = 20.0


class Transport(asyncio.Transport):
    """Notes that it is ended."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
async def commands(own_valkey: ValkeyServer) -> AsyncIterator[Pipeline]:
    made = Pipeline(RedisAddress.parse(own_valkey.url.removesuffix("0") + "3"))
    async with asyncio.timeout(SECONDS):
        yield made
    await made.close()


async def test_calls_that_come_before_there_is_a_connection_leave_in_order(commands: Pipeline) -> None:
    async def push(number: int) -> int:
        return int(await commands.call("RPUSH", "list", str(number)))

    assert await asyncio.gather(*map(push, range(100))) == list(range(1, 101))
    assert await commands.call("LRANGE", "list", "0", "-1") == [b"%d" % number for number in range(100)]


async def test_an_error_is_its_callers_alone(commands: Pipeline) -> None:
    calls = [commands.call(*words) for words in (("SET", "k", "v"), ("LPUSH", "k", "x"), ("GET", "k"))]
    done, wrong, found = await asyncio.gather(*calls, return_exceptions=True)
    assert (done, found) == (b"OK", b"v")
    assert isinstance(wrong, CommandRefused)
    assert str(wrong).startswith("WRONGTYPE")


async def test_a_word_that_cannot_be_sent_is_its_callers_mistake_and_shifts_no_reply(
    commands: Pipeline,
) -> None:
    words: list[tuple[Any, ...]] = [("ECHO", "a"), ("ECHO", None), ("ECHO", "\ud800"), ("ECHO", "b")]
    await commands.call("PING")
    replies = await asyncio.gather(*(commands.call(*each) for each in words), return_exceptions=True)
    assert [replies[0], replies[3]] == [b"a", b"b"]
    assert [type(replies[1]), type(replies[2])] == [TypeError, UnicodeEncodeError]


async def test_the_database_is_the_one_that_was_asked_for(
    commands: Pipeline, own_valkey: ValkeyServer
) -> None:
    await commands.call("SET", "k", "v")
    other = Pipeline(RedisAddress.parse(own_valkey.url))
    assert await other.call("EXISTS", "k") == 0
    await other.close()
    none = Pipeline(RedisAddress.parse(f"{own_valkey.url}?db=99"))
    for _ in range(2):
        with pytest.raises(LoginRefused, match="out of range"):
            await none.call("EXISTS", "k")


async def test_who_leaves_before_the_reply_takes_nobody_elses(commands: Pipeline) -> None:
    await commands.call("SET", "k", "v")
    leaving = asyncio.ensure_future(commands.call("ECHO", "a"))
    staying = asyncio.ensure_future(commands.call("ECHO", "b"))
    await asyncio.sleep(0)  # both have gone out
    leaving.cancel()
    assert await staying == b"b"
    assert await commands.call("GET", "k") == b"v"


async def test_a_lost_connection_is_told_and_opened_anew(
    commands: Pipeline, own_valkey: ValkeyServer
) -> None:
    await commands.call("PING")
    waiting = asyncio.ensure_future(commands.call("BLPOP", "nothing", "0"))
    await asyncio.sleep(0)
    own_valkey.kill()
    with pytest.raises(OSError, match="the connection ended"):
        await waiting
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await commands.call("PING")
    own_valkey.start()
    assert await commands.call("PING") == b"PONG"


async def test_what_is_dropped_gets_no_late_reply(commands: Pipeline) -> None:
    await commands.call("PING")
    late = asyncio.ensure_future(commands.call("BLPOP", "nothing", "0"))
    behind = asyncio.ensure_future(commands.call("PING"))
    await asyncio.sleep(0)
    commands.drop()
    for each in (late, behind):
        with pytest.raises(OSError, match="the connection ended"):
            await each
    assert await commands.call("ECHO", "new") == b"new"


@pytest.mark.parametrize("elements", ["$100\r\n" + "x" * 100 + "\r\n", ":1\r\n"], ids=["texts", "numbers"])
async def test_a_list_that_does_not_end_costs_the_connection_and_not_the_memory(
    elements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hiredis takes what it has read of one out of what it counts."""
    monkeypatch.setattr("proxy.engine.redis.connection.MOST_REPLY_BYTES", 1 << 20)
    connection = Connection(take=lambda reply: None, on_room=lambda: None)
    ended = Transport()
    connection.connection_made(ended)
    part = (elements * 1000).encode()
    for _ in range(3):  # whole ones are not counted together
        connection.data_received(b"*1000\r\n" + part)
    connection.data_received(b"+OK\r\n*9999999\r\n")
    fed = 0
    while not ended.is_aborted:
        connection.data_received(part)
        fed += len(part)
    assert 1 << 20 <= fed <= (1 << 20) + 2 * len(part)


async def test_a_reply_that_nobody_asked_for_costs_its_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        odd = b"+ODD\r\n" * (opened == 1)
        with suppress(asyncio.IncompleteReadError):
            for replies in (b"+PONG\r\n", b"+PONG\r\n" + odd):
                await reader.readuntil(b"PING\r\n")
                writer.write(replies)
            await reader.readexactly(1)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(SECONDS):
        port = server.sockets[0].getsockname()[1]
        commands = Pipeline(RedisAddress.parse(f"redis://127.0.0.1:{port}"))
        assert await commands.call("PING") == b"PONG"
        while commands._connection is not None:
            await asyncio.sleep(0)
        assert await commands.call("PING") == b"PONG"
        await commands.close()
    assert opened == 2
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [line.getMessage() for line in lines] == ["what a Redis says is no reply to what it was asked"]
