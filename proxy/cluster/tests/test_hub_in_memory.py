"""The hub, on Channels' own layer in memory: who hears what, and a layer that fails at any call."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy import metrics
from proxy.cluster.tests.hearing import (
    DEADLINE_SECONDS,
    FailingLayer,
    Heard,
    SlowLayer,
    hearing,
    publish,
    until,
)
from proxy.core.topics import group_name
from proxy.engine.hub import ECHO
from proxy.tests.counting import counted


async def test_one_and_many_links_of_a_topic_hear_it_and_those_that_left_do_not(
    layer: FailingLayer, heard: Heard
) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        for link, topics in (("a", ["user:1", "everyone"]), ("b", ["user:1"]), ("c", ["user:1", "user:2"])):
            await hub.join(heard.ear(link), topics)
        assert len(hub._links) == 3
        await publish(layer, "user:1", "three")
        await until(lambda: len(heard.messages) == 3)
        hub.leave(heard.ear("a"), ["user:1", "everyone"])
        hub.leave(heard.ear("b"), ["user:1"])
        await publish(layer, "user:1", "one")
        await publish(layer, "user:2", "other")
        await until(lambda: len(heard.messages) == 5)
        hub.leave(heard.ear("c"), ["user:1", "user:2"])
        hub.leave(heard.ear("c"), ["user:1", "user:2"])
        assert len(hub._links) == 0
    assert {link for link, _ in heard.messages[:3]} == {"a", "b", "c"}
    assert heard.messages[3:] == [("c", "one"), ("c", "other")]


async def test_a_join_returns_when_the_layer_knows_all_topics_that_it_did_not_know_before(
    layer: FailingLayer, heard: Heard
) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["everyone"])
        for link, topics in (("b", ["user:1", "everyone"]), ("c", ["everyone", "user:2"])):
            await hub.join(heard.ear(link), topics)
            assert {group_name(topic) for topic in topics} <= {group for _, group in layer.calls}


async def test_a_group_is_added_with_its_first_topic_and_given_back_with_its_last(
    layer: FailingLayer, heard: Heard
) -> None:
    first = "connection:0"
    group = group_name(first)
    second = next(t for n in range(1, 9999) if group_name(t := f"connection:{n}") == group)
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), [first])
        await hub.join(heard.ear("b"), [second])
        await publish(layer, second, "for b only")
        await until(lambda: bool(heard.messages))
        assert heard.messages == [("b", "for b only")]
        hub.leave(heard.ear("a"), [first])
        await publish(layer, second, "still")
        await until(lambda: len(heard.messages) == 2)
        assert ("group_discard", group) not in layer.calls
        hub.leave(heard.ear("b"), [second])
        await until(lambda: ("group_discard", group) in layer.calls)
    assert layer.calls.count(("group_add", group)) == 1


async def test_unknown_messages_are_logged_and_nothing_is_called(
    layer: FailingLayer, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["everyone"])
        for message in ({"type": "run"}, {"type": 1}, {"text": "x"}, {"type": "gateway.event", "topic": 1}):
            await layer.group_send("gateway.everyone", message)
        await until(lambda: caplog.text.count("unknown message on the channel layer") == 4)
    assert heard.messages == []


async def test_a_link_that_raises_costs_only_its_message(layer: FailingLayer, heard: Heard) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["everyone"])
        await publish(layer, "everyone", "raise")
        await publish(layer, "everyone", "next")
        await until(lambda: len(heard.messages) == 2)
        assert hub.connected
    assert heard.gaps == 0


@pytest.mark.parametrize("call", ["new_channel", "receive", "group_add", "group_send"])
async def test_whatever_call_fails_first_joins_return_and_are_heard_once_it_works(
    layer: FailingLayer, heard: Heard, call: str
) -> None:
    layer.failing = {call}
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await hub.join(heard.ear("a"), ["user:1"])
        await until(lambda: layer.calls.count(("flush", "")) > 1)
        layer.failing.clear()
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["user:1"])
        await publish(layer, "user:1", "heard")
        await until(lambda: ("a", "heard") in heard.messages)
        assert heard.gaps, "who joined before is told, and who ships waits for others that are deaf"


async def test_who_joins_a_node_that_has_just_begun_is_heard_once_the_join_returns(heard: Heard) -> None:
    layer = SlowLayer()
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        joining = asyncio.create_task(hub.join(heard.ear("a"), ["user:1", "everyone"]))
        await until(lambda: ("new_channel", "") in layer.calls)
        assert not joining.done()
        layer.may_go.set()
        await joining
        await publish(layer, "user:1", "heard")
        await until(lambda: heard.messages == [("a", "heard")])
    assert heard.gaps == 0


async def test_who_could_not_wait_for_a_node_to_begin_is_told_of_a_gap(heard: Heard) -> None:
    layer = SlowLayer()
    async with hearing(layer, heard, call_seconds=0.05) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await hub.join(heard.ear("a"), ["user:1"])
        assert not hub.connected
        layer.may_go.set()
        await until(lambda: hub.connected)
        assert heard.gaps == 1


@pytest.mark.parametrize("call", ["group_add", "group_discard"])
async def test_a_layer_that_fails_later_tells_one_gap_and_all_groups_are_added_again(
    layer: FailingLayer, heard: Heard, call: str
) -> None:
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["user:1"])
        assert heard.gaps == 0
        layer.failing = {call, "flush"}
        await hub.join(heard.ear("b"), ["user:2"])
        hub.leave(heard.ear("b"), ["user:2"])
        await until(lambda: ("flush", "") in layer.calls)
        layer.failing.clear()
        await until(lambda: hub.connected and heard.gaps == 1)
        await hub.join(heard.ear("c"), ["user:3"])
        await publish(layer, "user:1", "again")
        await until(lambda: ("a", "again") in heard.messages)
    assert heard.gaps == 1


async def test_a_deaf_layer_is_left_and_found_again(layer: FailingLayer, heard: Heard) -> None:
    options = {"echo_seconds": 0.02, "silence_seconds": 0.05}
    async with hearing(layer, heard, **options) as hub:
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["user:1"])
        await layer.group_discard(group_name("node:n"), next(iter(layer.groups[group_name("node:n")])))
        await until(lambda: heard.gaps == 1 and hub.connected)
        await publish(layer, "user:1", "heard")
        await until(lambda: ("a", "heard") in heard.messages)
        assert heard.gaps, "who joined before is told, and who ships waits for others that are deaf"
    assert ("group_send", group_name("node:n")) in layer.calls
    assert ECHO.startswith("gateway.")


async def test_a_process_that_stood_still_itself_does_not_take_its_layer_for_deaf(
    layer: FailingLayer, heard: Heard
) -> None:
    async with hearing(layer, heard, echo_seconds=0.1, silence_seconds=0.5) as hub:
        await until(lambda: hub.connected)
        for _ in range(3):
            await asyncio.sleep(0.13)
            time.sleep(0.8)  # noqa: ASYNC251  as a process that is stopped, or a machine that is
        await asyncio.sleep(0.2)
        assert ("flush", "") not in layer.calls
    assert heard.gaps == 0


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_a_hub_may_be_cancelled_at_any_point_and_leaves_no_task(
    layer: FailingLayer, heard: Heard, turns: int
) -> None:
    async with hearing(layer, heard) as hub:
        joining = asyncio.create_task(hub.join(heard.ear("a"), ["user:1", "everyone"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        hub.leave(heard.ear("a"), ["user:1", "everyone"])
        await asyncio.wait([joining], timeout=DEADLINE_SECONDS)
        assert joining.done()


async def test_a_join_that_waits_is_answered_when_the_hub_ends(layer: FailingLayer, heard: Heard) -> None:
    blocked = asyncio.Event()

    async def stuck(group: str, channel: str) -> None:
        blocked.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(DEADLINE_SECONDS):
        async with hearing(layer, heard) as hub:
            await until(lambda: hub.connected)
            layer.group_add = stuck  # type: ignore[method-assign]
            joining = [asyncio.create_task(hub.join(heard.ear("a"), ["user:1"]))]
            await blocked.wait()
            joining.append(asyncio.create_task(hub.join(heard.ear("b"), ["user:2"])))
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {*joining, asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.wait([*others, *joining])
        assert not hub.connected


async def test_a_topic_that_is_joined_again_while_its_group_is_given_back_is_heard(
    layer: FailingLayer, heard: Heard
) -> None:
    adding, go_on = asyncio.Event(), asyncio.Event()
    add = layer.group_add

    async def slow_add(group: str, channel: str) -> None:
        if group == group_name("user:slow"):
            adding.set()
            await go_on.wait()
        await add(group, channel)

    layer.group_add = slow_add  # type: ignore[method-assign]
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["user:1"])
        joins = [asyncio.create_task(hub.join(heard.ear("slow"), ["user:slow"]))]
        await asyncio.sleep(0)
        hub.leave(heard.ear("a"), ["user:1"])  # which the same round gives back
        await adding.wait()
        joins.append(asyncio.create_task(hub.join(heard.ear("b"), ["user:1"])))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*joins)
        await publish(layer, "user:1", "heard")
        await until(lambda: ("b", "heard") in heard.messages)


async def test_what_is_delivered_here_reaches_the_links_of_its_topic_and_no_layer(
    layer: FailingLayer, heard: Heard
) -> None:
    before = counted(metrics.EVENTS_TOTAL, "local", "delivered")
    layer.failing = {"new_channel"}
    async with hearing(layer, heard) as hub:
        await hub.join(heard.ear("a"), ["user:1", "everyone"])
        await hub.join(heard.ear("b"), ["user:2", "everyone"])
        hub.deliver("user:1", "one")
        hub.deliver("everyone", "all")
        hub.deliver("user:3", "nobody")
    assert heard.messages[0] == ("a", "one")
    assert sorted(heard.messages[1:]) == [("a", "all"), ("b", "all")]
    assert counted(metrics.EVENTS_TOTAL, "local", "delivered") - before == 3
    assert not [call for call, _ in layer.calls if call == "group_send"]


async def test_what_is_delivered_here_keeps_its_place_among_what_comes_by_the_layer(
    layer: FailingLayer, heard: Heard
) -> None:
    """A bridge that is told something by the layer answers it here, before the layer's next message."""
    async with hearing(layer, heard) as hub:
        hub.receive("bridge.told", lambda message, _: hub.deliver("user:1", message["text"]))
        await until(lambda: hub.connected)
        await hub.join(heard.ear("a"), ["user:1"])
        for number in range(50):
            await publish(layer, "user:1", f"layer {number}")
            told = {"type": "bridge.told", "topic": "user:1", "text": f"here {number}"}
            await layer.group_send(group_name("user:1"), told)
        await until(lambda: len(heard.messages) == 100)
    assert [text for _, text in heard.messages] == [
        f"{by} {n}" for n in range(50) for by in ("layer", "here")
    ]


async def test_what_is_sent_to_a_topic_that_the_hub_listens_to_is_received_without_a_link(
    layer: FailingLayer, heard: Heard
) -> None:
    received: list[str] = []
    async with hearing(layer, heard) as hub:
        hub.listen("node:all")
        hub.receive("gateway.rules", lambda message, links: received.append(f"{message['topic']} {links}"))
        await until(lambda: "gateway.node.all" in layer.groups)
        await layer.group_send("gateway.node.all", {"type": "gateway.rules", "topic": "node:all"})
        await until(lambda: bool(received))
        await hub.join(heard.ear("a"), ["node:all"])
        hub.leave(heard.ear("a"), ["node:all"])
        assert len(hub._links) == 0
    assert received == ["node:all ()"]
    assert ("group_discard", "gateway.node.all") not in layer.calls


async def test_a_link_that_joins_a_topic_twice_leaves_it_once(layer: FailingLayer, heard: Heard) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        for _ in range(2):
            await hub.join(heard.ear("a"), ["user:1"])
        hub.leave(heard.ear("a"), ["user:1"])
        await until(lambda: ("group_discard", "gateway.user.1") in layer.calls)
