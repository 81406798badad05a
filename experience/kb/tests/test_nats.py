"""State changes in a real NATS: once and in order, kept where a stream keeps them, and never waited for."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error
from nats.js.errors import NotFoundError
from websockets.asyncio.client import connect

from config.testing.servers import JetStreamServer, NatsServer
from experience.kb.nats import NatsUpdates
from experience.kb.tests.serving import running_kb
from experience.kb.tests.test_events import collect

pytestmark = pytest.mark.timeout(60)
BOTTLES = ("bottle_of_mist", "bottle_of_embers", "bottle_of_song")


@asynccontextmanager
async def connected(nats: NatsServer) -> AsyncIterator[Client]:
    client = Client()
    await client.connect(nats.url)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def hearing(nats: NatsServer, subject: str) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """What a subscriber of any kind hears there."""
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with connected(nats) as client:

        async def hear(message: Any) -> None:
            events.put_nowait(json.loads(message.data))

        await client.subscribe(subject, cb=hear)
        await client.flush()
        yield events


async def test_every_change_is_published_once_and_in_order(
    nats: NatsServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    with running_kb(tmp_path, {**kb_environment, "NATS_URL": nats.url}) as kb:
        async with (
            asyncio.timeout(30),
            hearing(nats, f"world.updates.user.{user_id}") as events,
            connect(kb.url(token), proxy=None) as socket,
        ):
            await socket.recv()
            for item_id in (BOTTLES[0], *BOTTLES):
                await collect(socket, item_id)
            heard = [await events.get() for _ in BOTTLES]
            assert events.empty()
    assert [(event["type"], event["version"]) for event in heard] == [
        ("state.changed", 1),
        ("state.changed", 2),
        ("state.changed", 3),
    ]


async def kept_version(nats: JetStreamServer, user_id: str) -> int:
    """Of the last change of that user that the stream has; 0 without one."""
    try:
        async with connected(nats) as client:
            last = await client.jetstream().get_last_msg("updates", f"world.updates.user.{user_id}")
    except NotFoundError:
        return 0
    return int(json.loads(last.data or b"")["version"])


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_a_nats_that_is_away_costs_no_answer_and_has_the_change_once_it_is_back(
    jetstream: JetStreamServer,
    kb_environment: dict[str, str],
    tmp_path: Path,
    token: str,
    user_id: str,
    outage: str,
) -> None:
    async with asyncio.timeout(50):
        async with connected(jetstream) as client:
            await client.jetstream().add_stream(name="updates", subjects=["world.updates.>"])
        with running_kb(tmp_path, {**kb_environment, "NATS_URL": jetstream.url}) as kb:
            async with connect(kb.url(token), proxy=None) as socket:
                await socket.recv()
                await collect(socket, BOTTLES[0])
                while await kept_version(jetstream, user_id) != 1:
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(getattr(jetstream, outage))
                away = await collect(socket, BOTTLES[1])
                await asyncio.to_thread(kb.wait_for_output, "state change not announced")
                await asyncio.to_thread(jetstream.ensure_running)
                while await kept_version(jetstream, user_id) != 2:  # without a further move
                    await asyncio.sleep(0.05)
    assert away["success"]


async def test_a_change_that_a_killed_service_kept_is_announced_by_the_next_and_only_by_that(
    nats: NatsServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    heard = list[dict[str, Any]]()
    env = {**kb_environment, "NATS_URL": nats.url}
    async with asyncio.timeout(50):
        with running_kb(tmp_path, env) as kb:
            async with connect(kb.url(token), proxy=None) as socket:
                await socket.recv()
                await asyncio.to_thread(nats.freeze)
                assert (await collect(socket, BOTTLES[0]))["success"]
                await asyncio.to_thread(kb.kill)
        await asyncio.to_thread(nats.kill)  # with whatever had reached it
        await asyncio.to_thread(nats.start)
        async with hearing(nats, f"world.updates.user.{user_id}") as events:
            for _ in range(2):
                with running_kb(tmp_path, env) as kb:
                    if not heard:
                        heard.append(await events.get())
                    async with connect(kb.url(token), proxy=None) as socket:
                        await socket.recv()
                        item_id = BOTTLES[len(heard)]
                        assert (await collect(socket, item_id))["success"]
                    heard.append(await events.get())
    assert [event["version"] for event in heard] == [1, 2, 3]


async def test_a_change_is_not_told_in_the_clear_where_the_url_says_tls(nats: NatsServer) -> None:
    updates = NatsUpdates([nats.url.replace("nats:", "tls:")])
    with pytest.raises(ConnectionError, match="offers no TLS"):
        async with asyncio.timeout(10):
            await updates.publish("user:ann", {"type": "state.changed"})


async def test_what_a_stream_has_acknowledged_outlives_the_server_and_every_name_has_a_subject_of_its_own(
    jetstream: JetStreamServer,
) -> None:
    names = ["ann", "*", "a.b", ">", "ann@example.org"]
    updates = NatsUpdates([jetstream.url])
    async with asyncio.timeout(30):
        async with connected(jetstream) as client:
            await client.jetstream().add_stream(name="updates", subjects=["world.updates.>"])
        for number, name in enumerate(names):
            await updates.publish(f"user:{name}", {"type": "state.changed", "version": number})
        await asyncio.to_thread(jetstream.kill)
        with pytest.raises((OSError, TimeoutError, Error)):
            await updates.publish("user:ann", {"type": "state.changed", "version": 9})
        await asyncio.to_thread(jetstream.start)
        await updates.publish("user:ann", {"type": "state.changed", "version": 5})
        await updates.close()
        async with connected(jetstream) as client:
            info = await client.jetstream().stream_info("updates")
            first = await client.jetstream().get_msg("updates", seq=2)
            last = await client.jetstream().get_last_msg("updates", "world.updates.user.ann")
    assert info.state.messages == len(names) + 1
    assert (first.subject, json.loads(last.data or b"")["version"]) == ("world.updates.user.%2A", 5)


async def test_a_stream_that_settings_name_is_made_once_its_server_is_there_and_left_as_others_made_it(
    jetstream: JetStreamServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    env = {**kb_environment, "NATS_URL": jetstream.url, "NATS_STREAM": "updates"}
    async with asyncio.timeout(50):
        await asyncio.to_thread(jetstream.kill)
        with running_kb(tmp_path, env) as kb:
            await asyncio.to_thread(kb.wait_for_output, "the stream is not there yet")
            await asyncio.to_thread(jetstream.start)
            await asyncio.to_thread(kb.wait_for_output, "stream made")
            async with connect(kb.url(token), proxy=None) as socket:
                await socket.recv()
                await collect(socket, BOTTLES[0])
            while await kept_version(jetstream, user_id) != 1:
                await asyncio.sleep(0.05)
        async with connected(jetstream) as client:
            await client.jetstream().update_stream(name="updates", subjects=["world.>"], max_age=60)
        with running_kb(tmp_path, env) as kb:
            async with connect(kb.url(token), proxy=None) as socket:
                await socket.recv()
                await collect(socket, BOTTLES[1])
            while await kept_version(jetstream, user_id) != 2:
                await asyncio.sleep(0.05)
        async with connected(jetstream) as client:
            info = await client.jetstream().stream_info("updates")
    assert (info.config.subjects, info.config.max_age) == (["world.>"], 60)


async def test_what_a_server_without_its_stream_took_is_announced_again_once_there_is_one(
    jetstream: JetStreamServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    """Gateways read the stream alone: what did not come into it is heard by nobody."""
    env = {**kb_environment, "NATS_URL": jetstream.url, "NATS_STREAM": "updates"}
    async with asyncio.timeout(50):
        with running_kb(tmp_path, env) as kb:
            async with connect(kb.url(token), proxy=None) as socket:
                await socket.recv()
                await collect(socket, BOTTLES[0])
                while await kept_version(jetstream, user_id) != 1:
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(jetstream.kill)
                shutil.rmtree(jetstream.directory / "jetstream")
                await asyncio.to_thread(jetstream.start)
                await collect(socket, BOTTLES[1])
                while await kept_version(jetstream, user_id) != 2:
                    await asyncio.sleep(0.05)
