"""Commands of a whole process over one connection to a real Redis, which is killed and frozen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from config.testing.servers import ValkeyServer
from proxy.engine.redis import commands as redis_commands
from proxy.engine.redis.commands import CommandsAway, RedisCommands
from proxy.engine.tests.runs import running


@pytest.fixture
async def commands(own_valkey: ValkeyServer) -> AsyncIterator[RedisCommands]:
    async with running(RedisCommands(own_valkey.url)) as commands:
        yield commands


async def test_commands_of_many_share_a_connection_and_keep_their_order(
    commands: RedisCommands, redis: Redis
) -> None:
    asked = [asyncio.create_task(commands("RPUSH", "told", number)) for number in range(2000)]
    assert [await each for each in asked] == list(range(1, 2001))
    assert await redis.lrange("told", 0, -1) == [b"%d" % number for number in range(2000)]
    assert len(await redis.client_list()) == 2  # and that of the test


async def test_a_word_that_cannot_be_sent_is_its_callers_mistake_alone(commands: RedisCommands) -> None:
    right = asyncio.create_task(commands("ECHO", "a"))
    for wrong in (None, True, 1.5):
        with pytest.raises(TypeError, match="a word of a command"):
            await commands("ECHO", wrong)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        commands.tell("ECHO", "\ud800")
    assert [await right, await commands("ECHO", b"b")] == [b"a", b"b"]


async def test_a_mistake_is_told_to_its_own_asker_and_one_that_nobody_waits_for_to_the_log(
    commands: RedisCommands, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    commands.tell("SET", "text", "a")
    for _ in range(3):
        commands.tell("RPUSH", "text", "secret")
    right = asyncio.create_task(commands("GET", "text"))
    with pytest.raises(ResponseError):
        await commands("RPUSH", "text", "b")
    assert await right == b"a"
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.__dict__["command"] == "RPUSH"
    assert "WRONGTYPE" in line.__dict__["why"]
    assert "secret" not in str(line.__dict__)
    caplog.clear()
    for key in ("list", "text"):
        commands.tell("RPUSH", key, "secret")
    assert await commands("EXISTS", "list") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_who_gives_up_while_others_are_served_has_nothing_sent(
    commands: RedisCommands, redis: Redis
) -> None:
    assert await commands("EXISTS", "sent") == 0
    await redis.client_pause(300)
    sent = asyncio.create_task(commands("SET", "sent", "1"))
    await asyncio.sleep(0)
    while commands._waiting:  # until it is under way
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await commands("SET", "given up", "1", within_seconds=0.01)
    assert await commands("EXISTS", "given up") == 0
    await sent
    assert await commands("GET", "sent") == b"1"


async def test_a_redis_that_is_away_is_told_at_once_and_one_that_is_back_is_used(
    commands: RedisCommands, own_valkey: ValkeyServer
) -> None:
    assert await commands("INCR", "number") == 1
    own_valkey.kill()
    with pytest.raises(CommandsAway):
        await commands("INCR", "number")
    with pytest.raises(CommandsAway):
        await commands("INCR", "number")
    assert commands.is_away
    own_valkey.start()
    while commands.is_away:
        await asyncio.sleep(0.01)
    assert await commands("INCR", "number") == 1  # a new database: and none was done again


async def test_a_silent_redis_is_away_after_the_time_of_a_call(
    commands: RedisCommands, own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_commands, "CALL_SECONDS", 0.3)
    assert await commands("INCR", "number") == 1
    own_valkey.freeze()
    waiting = [asyncio.create_task(commands("INCR", "number", within_seconds=20)) for _ in range(10)]
    for each in waiting:
        with pytest.raises(CommandsAway):
            await each
    own_valkey.ensure_running()
    while commands.is_away:
        await asyncio.sleep(0.01)
    assert await commands("GET", "number") in (b"1", b"11")  # it read them, or lost the connection before


async def test_what_nobody_waits_for_still_goes_out_at_the_end(
    own_valkey: ValkeyServer, redis: Redis
) -> None:
    async with running(RedisCommands(own_valkey.url)) as commands:
        assert await commands("EXISTS", "last") == 0
        commands.tell("SET", "last", "1")
    assert await redis.get("last") == b"1"
    with pytest.raises(CommandsAway):
        await commands("GET", "last")


async def test_a_stop_while_redis_is_away_is_no_failure(own_valkey: ValkeyServer) -> None:
    commands = RedisCommands(own_valkey.url)
    task = asyncio.create_task(commands.run())
    async with asyncio.timeout(20):
        await commands("PING")
        own_valkey.kill()
        commands.tell("SET", "last", "words")
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as ended:
            await task
    assert not isinstance(ended.value.__context__, Exception)


async def test_a_reply_that_the_library_cannot_read_is_its_askers_alone(
    commands: RedisCommands, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows one answer to XPENDING, and there are two."""
    await redis.xgroup_create("stream", "group", mkstream=True)
    await redis.xadd("stream", {"message": "a"})
    await redis.xreadgroup("group", "secret", {"stream": ">"})
    asked = ("XPENDING", "stream", "group", "-", "+", 10)
    commands.tell(*asked)
    calls = (commands("ECHO", "a"), commands(*asked), commands("ECHO", "b"))
    answers: list[object] = await asyncio.gather(*calls, return_exceptions=True)
    assert [answers[0], answers[2]] == [b"a", b"b"]
    assert isinstance(answers[1], ResponseError)
    assert not commands.is_away
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.__dict__["command"] == "XPENDING"
    assert "secret" not in f"{answers[1]} {line.__dict__}"


async def test_a_database_that_there_is_not_is_as_good_as_no_redis(
    own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(RedisCommands(f"{own_valkey.url}?db=99")) as commands:
        for _ in range(2):
            with pytest.raises(CommandsAway):
                await commands("PING")
        assert commands.is_away
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "DB index is out of range" in line.__dict__["why"]
