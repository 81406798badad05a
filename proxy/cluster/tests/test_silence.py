"""Publishing where nodes do not answer, or Redis does not: who is waited for, and what has gone out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from config.testing.forwarder import Forwarder
from config.testing.servers import ValkeyServer
from proxy.cluster import asking
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.lines import Lines
from proxy.cluster.publishing import Delivered, Publication, apublish, apublish_many, publish
from proxy.cluster.questions import LayerAway
from proxy.cluster.tests.answering import StartNode
from proxy.cluster.tests.hearing import DEADLINE_SECONDS, Heard, until

HELLO = {"type": "hello"}
pytestmark = [pytest.mark.usefixtures("publishing_here"), pytest.mark.long]


def numbered(number: int) -> dict[str, object]:
    return {"type": "event", "number": number}


async def set_most_memory(valkey: ValkeyServer, most_bytes: int) -> None:
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", most_bytes)


@pytest.fixture
async def full_valkey(valkey: ValkeyServer) -> AsyncIterator[None]:
    """It takes no writes, since nothing may be thrown away."""
    await set_most_memory(valkey, 1)
    yield
    await set_most_memory(valkey, 0)


@pytest.fixture
async def forwarder(valkey: ValkeyServer) -> AsyncIterator[Forwarder]:
    """On the way to it."""
    async with Forwarder(valkey.port).open() as forwarder:
        yield forwarder


async def test_a_node_that_does_not_answer_is_said_to_be_silent(
    start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.questions.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("proxy.cluster.memory_store.ANSWER_SECONDS", 0.1)
    node = await start_node("1", answers=False)
    await node.hub.join(heard.ear("a"), ["user:1"])
    assert await apublish("user:1", HELLO) == Delivered(nodes=0, links=0, silent=1)
    assert len(heard.messages) == 1


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_a_silent_node_is_waited_for_once_and_the_others_answers_to_all_that_was_asked_are_read(
    start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch, slow_machine: None
) -> None:
    did: list[str] = []

    class Watched(Lines):
        async def run_script(self, name: str, *words: Any, **options: Any) -> Any:
            did.append("publish")
            return await super().run_script(name, *words, **options)

        async def read(self, *words: Any) -> Any:
            did.append("read")
            return await super().read(*words)

    monkeypatch.setattr("proxy.cluster.layer.Lines", Watched)
    for name, answers in (("1", True), ("2", False)):
        node = await start_node(name, answers=answers)
        await node.hub.join(heard.ear(name), ["user:1"])
    # Each has a key, and so a stream of its own, of which a hundred are read at once.
    asked = [Publication("user:1", HELLO, f"{number}") for number in range(350)]
    assert await apublish_many(asked) == [Delivered(nodes=1, links=1, silent=1)] * 350
    assert did.index("read") == did.count("publish"), "some went out after others had been waited for"


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_beside_a_silent_node_everything_is_published_however_much_waits_for_it(
    start_node: StartNode, heard: Heard, slow_machine: None
) -> None:
    for name, answers in (("1", True), ("2", False)):
        node = await start_node(name, answers=answers)
        await node.hub.join(heard.ear(name), ["user:1"])
    told = await asyncio.gather(*(apublish("user:1", numbered(number)) for number in range(300)))
    assert set(told) == {Delivered(nodes=1, links=1, silent=1)}
    for name in "12":
        texts = [text for ear, text in heard.messages if ear == name]
        assert [json.loads(text)["number"] for text in texts] == list(range(300))


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_a_silent_node_is_waited_for_once_in_some_seconds(
    start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start_node("1", answers=False)
    await node.hub.join(heard.ear("a"), ["user:1"])
    with monkeypatch.context() as hasty:
        hasty.setattr("proxy.cluster.questions.ANSWER_SECONDS", 0.1)
        hasty.setattr("proxy.cluster.questions.SILENT_SECONDS", 600)
        assert await apublish("user:1", HELLO) == Delivered(nodes=0, links=0, silent=1)
    monkeypatch.setattr("proxy.cluster.questions.ANSWER_SECONDS", 600)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await apublish("user:1", HELLO) == Delivered(nodes=0, links=0, silent=1)
        assert await sync_to_async(publish)("user:1", HELLO) == Delivered(nodes=0, links=0, silent=1)


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_redis_may_forget_the_script_and_its_absence_is_told(
    start_node: StartNode, heard: Heard, valkey: ValkeyServer
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    assert await asyncio.to_thread(publish, "user:1", HELLO) == Delivered(nodes=1, links=1)
    valkey.kill()
    with pytest.raises(LayerAway):
        await apublish("user:1", HELLO)
    with pytest.raises(LayerAway):
        await asyncio.to_thread(publish, "user:1", HELLO)
    await until(lambda: not node.hub.connected)
    valkey.start()
    await until(lambda: node.hub.connected)
    assert await asyncio.to_thread(publish, "user:1", HELLO) == Delivered(nodes=1, links=1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await apublish("user:1", HELLO) == Delivered(nodes=1, links=1)


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_a_redis_that_says_nothing_holds_publishers_for_a_moment_and_is_asked_over_other_connections(
    forwarder: Forwarder, start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://127.0.0.1:{forwarder.port}"
    layer = GatewayChannelLayer(hosts=[{"address": url}], prefix="gateway")
    monkeypatch.setattr(asking, "get_channel_layer", lambda: layer)
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    assert await apublish("user:1", HELLO) == Delivered(nodes=1, links=1)
    with monkeypatch.context() as hasty:
        hasty.setattr("proxy.cluster.lines.SEND_SECONDS", 0.3)
        forwarder.freeze()  # for good, for the connections that there are
        told = await asyncio.gather(*(apublish("user:1", HELLO) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [LayerAway] * 5
    assert await apublish("user:1", {"type": "last"}) == Delivered(nodes=1, links=1)
    assert [text for _, text in heard.messages] == ['{"type":"hello"}', '{"type":"last"}']


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_what_redis_refuses_has_not_gone_out_and_is_published_once_when_it_is_repeated(
    start_node: StartNode, heard: Heard, full_valkey: None, valkey: ValkeyServer
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    for _ in range(3):
        with pytest.raises(LayerAway, match="OOM"):
            await apublish("user:1", HELLO, idempotency_key="k")
    await set_most_memory(valkey, 0)
    for _ in range(2):
        assert await apublish("user:1", HELLO, idempotency_key="k") == Delivered(nodes=1, links=1)
    assert len(heard.messages) == 1


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_a_publisher_without_permission_is_told_so_however_often_it_repeats(
    own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis.from_url(own_valkey.url) as redis:
        await redis.acl_setuser("mute", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    url = own_valkey.url.replace("//", "//mute:any@")
    mute = GatewayChannelLayer(hosts=[{"address": url}], prefix="gateway")
    monkeypatch.setattr(asking, "get_channel_layer", lambda: mute)
    for key in ("k", "k", None):
        with pytest.raises(LayerAway, match=r"NOPERM|permissions"):
            await apublish("user:1", HELLO, idempotency_key=key)
    await mute.flush()


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_a_node_whose_connection_for_answers_has_gone_dead_answers_over_another(
    forwarder: Forwarder,
    start_node: StartNode,
    heard: Heard,
    make_layer: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when Redis' machine, or what is on the way to it, loses its power: no end ever comes."""
    monkeypatch.setattr("proxy.cluster.lines.SEND_SECONDS", 0.5)
    monkeypatch.setattr("proxy.cluster.questions.SILENT_SECONDS", 0)
    layer = make_layer()
    node = await start_node("1", layer)
    layer._get_layer().lines = Lines(f"redis://127.0.0.1:{forwarder.port}")  # the hub has its own way
    await node.hub.join(heard.ear("a"), ["user:1"])
    assert await apublish("user:1", HELLO) == Delivered(nodes=1, links=1)
    forwarder.freeze()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await apublish("user:1", HELLO) != Delivered(nodes=1, links=1):
            pass


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_answers_that_a_full_redis_takes_not_are_told_to_operators_once(
    start_node: StartNode,
    heard: Heard,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("proxy.cluster.questions.SILENT_SECONDS", 0)
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    for most_bytes in (1, 0, 1):
        monkeypatch.setattr("proxy.cluster.questions.ANSWER_SECONDS", 0.1 if most_bytes else DEADLINE_SECONDS)
        await set_most_memory(valkey, most_bytes)
        for _ in range(3):
            took = Delivered(0, 0, silent=1) if most_bytes else Delivered(nodes=1, links=1)
            assert await apublish("user:1", HELLO) == took
    await set_most_memory(valkey, 0)
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.getMessage() for line in lines] == ["who asks gets no answers"] * 2
    assert len(heard.messages) == 9
