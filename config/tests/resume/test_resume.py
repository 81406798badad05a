"""A link outlives its member: what its client sees, what the members get, and how it ends."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway
from config.tests.resume.conftest import MakeGateway, Member, linked, state

Members = tuple[Member, Member]


def exact(gateway: Gateway, code: int) -> int:
    """What a client sees of `code`: stock Daphne cannot send all of them."""
    return code if gateway.kind == "serve" or code >= 3000 or code == 1000 else 3900 + code


async def read_until(client: Any, wanted: str) -> list[str]:
    """All messages before `wanted`."""
    read: list[str] = []
    while (message := await client.recv()) != wanted:
        read.append(message)
    return read


async def reconnects(gateway: Gateway, outcome: str) -> float:
    _, text = await gateway.get("/metrics")
    name = "gateway_websocket_reconnects_total"
    found = re.search(rf'{name}{{outcome="{outcome}",route="studio"}} ([0-9.]+)', text)
    return float(found[1]) if found else 0.0


async def wait_for_reconnects(gateway: Gateway, outcome: str, count: float) -> None:
    while await reconnects(gateway, outcome) != count:
        await asyncio.sleep(0.05)


async def test_a_link_is_carried_over_to_another_member_and_nothing_is_doubled_or_reordered(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(), members
    sent, answers, halfway, dead = 3000, list[str](), asyncio.Event(), asyncio.Event()

    async def send_all(client: Any) -> None:
        for number in range(sent):
            if number == sent // 2:
                await dead.wait()  # or a server that reads on might have given all of them to the first
            await client.send(str(number))

    async with asyncio.timeout(40), linked(gateway, "carried") as client:

        async def read_all() -> None:
            while f"second:{sent - 1}" not in answers[-1:]:
                answers.append(await client.recv())
                if len(answers) == 500:
                    halfway.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_all())
            tasks.create_task(send_all(client))
            await halfway.wait()
            await first.kill()
            dead.set()
            await second.start()
    heard = [*map(int, first.heard), *map(int, second.heard)]
    assert heard == sorted(set(heard)), "doubled, or out of order"
    assert first.heard
    assert second.heard
    lost = set(range(sent)) - set(heard)
    assert lost == set(range(int(first.heard[-1]) + 1, int(second.heard[0]))), "lost by others than the dead"
    notices = [answer for answer in answers if answer.startswith("{")]
    assert notices == [state("reconnecting"), state("connected")]
    of_first = [answer for answer in answers if answer.startswith("first:")]
    assert of_first == [f"first:{number}" for number in range(len(of_first))]
    assert answers[len(of_first) : len(of_first) + 2] == notices
    assert answers[len(of_first) + 2 :] == [f"second:{message}" for message in second.heard]
    assert await reconnects(gateway, "connected") == 1
    (row,) = await gateway.wait_for_records("user_id = 'carried' AND closed_at IS NOT NULL")
    assert row["upstream"] == f"ws://127.0.0.1:{second.port}/ws" or str(second.port) in row["upstream"]
    assert (row["messages_in"], row["messages_out"]) == (sent, len(answers))
    assert (row["close_code"], row["closed_by"]) == (1000, "client")


async def test_what_waits_meanwhile_is_sent_once_in_order(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(), members
    async with asyncio.timeout(30), linked(gateway, "waits") as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        for number in range(200):
            await client.send(str(number))
        await second.start()
        assert await client.recv() == state("connected")
        assert [await client.recv() for _ in range(200)] == [f"second:{number}" for number in range(200)]
    assert (first.heard, second.heard) == ([], [str(number) for number in range(200)])


@pytest.mark.parametrize("code", [1001, 1011, 1012])
async def test_a_member_that_says_it_goes_is_replaced(
    make_gateway: MakeGateway, members: Members, code: int
) -> None:
    gateway, (first, second) = make_gateway(), members
    async with asyncio.timeout(30), linked(gateway, "goes") as client:
        await second.start()
        await first.sockets[0].close(code, "going")
        assert await client.recv() == state("reconnecting")
        assert await client.recv() == state("connected")
        await client.send("still here")
        assert (await client.recv()).endswith(":still here")


@pytest.mark.parametrize("code", [1000, 1008, 4000])
async def test_a_member_that_is_done_ends_the_link(
    make_gateway: MakeGateway, members: Members, code: int
) -> None:
    gateway, (first, second) = make_gateway(), members
    await second.start()
    async with asyncio.timeout(30), linked(gateway, "done") as client:
        socket = (first.sockets or second.sockets)[0]
        await socket.close(code, "done")
        await client.wait_closed()
    assert client.close_code == exact(gateway, code)


@pytest.mark.timing
async def test_when_the_time_is_up_the_client_is_told_and_closed(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, _) = make_gateway(RECONNECT_SECONDS="0.5"), members
    async with asyncio.timeout(30), linked(gateway, "lost") as client:
        began = time.monotonic()
        await first.kill()
        assert [await client.recv(), await client.recv()] == [state("reconnecting"), state("lost")]
        await client.wait_closed()
        assert 0.4 < time.monotonic() - began < 5
    assert client.close_code == exact(gateway, 1011)
    assert client.close_reason == ("upstream lost" if gateway.kind == "serve" else "")  # Daphne drops reasons
    assert await reconnects(gateway, "lost") == 1
    (row,) = await gateway.wait_for_records("user_id = 'lost' AND closed_at IS NOT NULL")
    assert (row["close_code"], row["close_reason"], row["closed_by"]) == (1011, "upstream lost", "upstream")


async def test_a_full_buffer_stops_the_client_and_loses_nothing(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(OUTBOX_BYTES="65536"), members
    if gateway.kind == "daphne":
        pytest.skip("stock Daphne has no flow control: it reads on, whoever does not receive")
    message, count = "x" * 60_000, 400
    async with asyncio.timeout(50), linked(gateway, "full") as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        sent = 0

        async def send_all() -> None:
            nonlocal sent
            for number in range(count):
                await client.send(f"{number}:{message}")
                sent += 1

        sending = asyncio.create_task(send_all())
        seen = -1
        while sent != seen:  # until a whole second passes in which nothing goes through
            seen = sent
            await asyncio.sleep(1)
        assert sent < count
        await second.start()
        assert await client.recv() == state("connected")
        for number in range(count):
            assert (await client.recv()).startswith(f"second:{number}:")
        await sending


async def test_a_kick_ends_a_link_that_is_reconnecting(make_gateway: MakeGateway, members: Members) -> None:
    gateway, (first, _) = make_gateway(), members
    async with asyncio.timeout(30), linked(gateway, "kicked") as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        await asyncio.to_thread(gateway.manage, "kick", "--user", "kicked", check=False)
        await client.wait_closed()
    assert client.close_code == 4001
    await wait_for_reconnects(gateway, "abandoned", 1)


async def test_an_expired_token_ends_a_link_that_is_reconnecting(
    make_gateway: MakeGateway, members: Members
) -> None:
    from config.testing.gateway import issue

    gateway, (first, _) = make_gateway(TOKEN_GRACE_SECONDS="0.1"), members
    await gateway.wait_until_ready()  # a token would be too old by then
    url = gateway.url("/ws", token=issue("expires", minutes=4 / 60))
    async with asyncio.timeout(30), gateway.connect(url, open_timeout=20) as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        await client.wait_closed()
    assert client.close_code == 4010


async def test_an_idle_client_is_closed_while_reconnecting(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, _) = make_gateway(WS_TIMEOUT_SECONDS="2"), members
    async with asyncio.timeout(30), linked(gateway, "idle") as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        await client.wait_closed()
    assert client.close_code == 4008
    (row,) = await gateway.wait_for_records("user_id = 'idle' AND closed_at IS NOT NULL")
    assert (row["close_code"], row["closed_by"]) == (4008, "gateway")


async def test_a_drain_ends_links_that_are_reconnecting(make_gateway: MakeGateway, members: Members) -> None:
    gateway, (first, _) = make_gateway(DRAIN_SECONDS="0.5"), members
    if gateway.kind == "daphne":
        pytest.skip("stock Daphne has no drain")
    async with asyncio.timeout(30), linked(gateway, "drained") as client:
        await first.kill()
        assert await client.recv() == state("reconnecting")
        status = await asyncio.to_thread(gateway.stop)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert (status, client.close_code) == (0, 1001)


async def test_a_client_that_leaves_ends_the_dialling(make_gateway: MakeGateway, members: Members) -> None:
    gateway, (first, second) = make_gateway(), members
    async with asyncio.timeout(30):
        async with linked(gateway, "leaves") as client:
            await first.kill()
            assert await client.recv() == state("reconnecting")
        await wait_for_reconnects(gateway, "abandoned", 1)
        (row,) = await gateway.wait_for_records("user_id = 'leaves' AND closed_at IS NOT NULL")
    assert (row["close_code"], row["closed_by"]) == (1000, "client")
    assert not second.sockets


async def test_a_loss_is_an_error_of_the_lost_member_and_the_link_counts_for_the_next(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(), members

    async def counted(name: str, member: Member, **labels: str) -> float | None:
        shown = {"backend": f"ws://127.0.0.1:{member.port}/", **labels}
        wanted = f"gateway_websocket_{name}{{" + ",".join(f'{k}="{v}"' for k, v in shown.items()) + "} "
        _, text = await gateway.get("/metrics")
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted)), None)

    async with asyncio.timeout(30):
        async with linked(gateway, "counted") as client:
            assert await counted("connections", first, route="studio") == 1
            await second.start()
            await first.kill()
            assert await client.recv() == state("reconnecting")
            assert await client.recv() == state("connected")
            assert await counted("errors_total", first, type="upstream_lost") == 1
            assert await counted("connections", first, route="studio") == 0
            assert await counted("connections", second, route="studio") == 1
        while await counted("connections", second, route="studio") != 0 or not gateway.records():
            await asyncio.sleep(0.05)
    assert await counted("errors_total", second, type="upstream_lost") is None
    (row,) = gateway.records("user_id = 'counted'")
    (line,) = (line for line in gateway.program.output.splitlines() if "member lost" in line)
    assert row["id"] in line
    assert row["request_id"] in line


async def test_a_member_that_chooses_another_sub_protocol_does_not_count(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(RECONNECT_SECONDS="1"), members
    await first.kill()
    await first.start(subprotocols=["one"])
    async with asyncio.timeout(30), linked(gateway, "protocols", subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "one"
        await first.kill()
        await second.start(select_subprotocol=lambda _connection, _offered: None)
        assert [await client.recv(), await client.recv()] == [state("reconnecting"), state("lost")]


async def test_the_next_member_is_asked_for_the_sub_protocol_that_the_link_has(
    make_gateway: MakeGateway, members: Members
) -> None:
    gateway, (first, second) = make_gateway(), members
    await first.kill()
    await first.start(subprotocols=["one"])
    async with asyncio.timeout(30), linked(gateway, "alike", subprotocols=["one", "two"]) as client:
        await first.kill()
        await second.start(subprotocols=["two", "one"])
        assert [await client.recv(), await client.recv()] == [state("reconnecting"), state("connected")]
