"""clients/js on real gateways: it comes back from what one comes back from."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.forwarder import Forwarder
from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.clients.conftest import nothing_may_be_missing
from config.tests.clients.page import JS_DIR, Page, needs_node, page
from config.tests.clients.programs import is_here
from config.tests.conftest import MakeGateway
from config.tests.test_history import ROUTES, Publisher

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120), needs_node]

NPM = {
    "chat": ["ws"],
    "vue": ["vue", "ws"],
    "react": ["react", "react-test-renderer", "typescript", "ws"],
    "types": ["react", "typescript", "vue"],
}
PING: dict[str, Any] = {"ping": {"type": "ping"}}
ADA = "ada"
End = Callable[[Gateway], Awaitable[Any]]


async def echo(upstream: ServerConnection) -> None:
    """The service: greets, answers pings, and says back what it hears."""
    await upstream.send('{"type":"hello"}')
    async for text in upstream:
        is_ping = json.loads(text).get("type") == "ping"
        await upstream.send('{"type":"pong"}' if is_ping else text)


def address(gateway: Gateway, path: str = "/ws/experience", *, port: int = 0) -> str:
    query = "?experience=wylding-woods" if path.endswith("experience") else ""
    return f"http://127.0.0.1:{port or gateway.port}{path}{query}"


def ada() -> str:
    return issue(ADA)


async def greeted(client: Page) -> None:
    assert (await client.hear("message"))["message"] == {"type": "hello"}


async def answered(client: Page, number: int) -> None:
    client.tell("send", {"number": number})
    assert (await client.hear("message"))["message"] == {"number": number}


async def manage(gateway: Gateway, *words: str) -> None:
    await asyncio.to_thread(gateway.manage, *words)


async def kick(gateway: Gateway) -> None:
    await manage(gateway, "kick", "--user", ADA)


async def block(gateway: Gateway) -> None:
    await manage(
        gateway, "shell", "-c", f"from proxy.models import Block; Block.objects.create(user_id='{ADA}')"
    )


@pytest.fixture
def gateway(make_gateway: MakeGateway, valkey: ValkeyServer) -> Gateway:
    return make_gateway(REDIS_URL=valkey.url)


@pytest.mark.parametrize("token_in", ["protocol", "query"])
async def test_what_is_sent_before_it_is_open_arrives_in_order(gateway: Gateway, token_in: str) -> None:
    async with gateway.serving(echo), page(address(gateway), {"tokenIn": token_in}) as client:
        for number in range(5):
            client.tell("send", {"number": number})
        await greeted(client)
        assert [(await client.hear("message"))["message"]["number"] for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_who_buys_tickets_comes_back_with_another_and_the_service_has_the_token(
    gateway: Gateway,
) -> None:
    asked, token = [], ada()

    async def note(upstream: ServerConnection) -> None:
        assert upstream.request is not None
        asked.append(parse_qs(urlsplit(upstream.request.path).query))
        await echo(upstream)

    async with (
        gateway.serving(note),
        page(address(gateway), {"ticket": "experience"}, token=lambda: token) as client,
    ):
        await greeted(client)
        gateway.program.kill()
        gateway.start()
        await client.becomes("open")
        await greeted(client)
        await answered(client, 1)
    assert asked == [{"experience": ["wylding-woods"], "token": [token]}] * 2


async def test_whoever_cannot_buy_a_ticket_learns_why(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(API_RATE_PER_USER="1/m")
    async with gateway.serving(echo), page(address(gateway), {"ticket": "chats"}) as client:
        closed = await client.hear("close")
        assert (closed["code"], closed["reason"]) == (1008, "there is no route 'chats'")
        async with page(address(gateway), {"ticket": "experience"}) as other:
            closed = await other.hear("close")
            assert (closed["code"], closed["comesBack"], closed["delaySeconds"] > 30) == (4013, True, True)


@pytest.mark.parametrize(("end", "code"), [(kick, 4001), (block, 4003)])
async def test_who_is_sent_away_stays_away_and_nothing_is_left(gateway: Gateway, end: End, code: int) -> None:
    async with gateway.serving(echo), page(address(gateway), PING, token=ada) as client:
        await greeted(client)
        await gateway.wait_for_records(f"user_id = '{ADA}' AND closed_at IS NULL")
        await end(gateway)
        closed = await client.hear("close")
        assert (closed["code"], closed["comesBack"]) == (code, False)
        assert await client.ended() == 0


async def test_who_closes_leaves_no_timer_that_would_keep_its_program_alive(gateway: Gateway) -> None:
    async with gateway.serving(echo), page(address(gateway), {**PING, "refresh": True}) as client:
        await greeted(client)
        client.tell("close")
        assert (await client.hear("close"))["code"] == 1000
        assert await client.ended() == 0


async def test_who_is_drained_comes_back_after_the_delay_that_it_was_told(gateway: Gateway) -> None:
    async with gateway.serving(echo), page(address(gateway), PING) as client:
        await greeted(client)
        assert await asyncio.to_thread(gateway.stop) == 0
        closed = await client.hear("close")
        told = int(closed["reason"].partition("retry in ")[2].partition(" ms")[0]) / 1000
        assert (closed["code"], closed["comesBack"]) == (1001, True)
        assert told <= closed["delaySeconds"] <= told * 1.25
        client.tell("send", {"number": 1})
        gateway.start()
        await client.becomes("open")
        await greeted(client)
        assert (await client.hear("message"))["message"] == {"number": 1}


async def test_who_is_one_too_many_waits_as_long_as_it_is_told(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(EXPERIENCE_MAX_CONNECTIONS_PER_USER="1")
    async with gateway.serving(echo), page(address(gateway), token=ada) as first:
        await greeted(first)
        async with page(address(gateway), token=ada) as second:
            closed = await second.hear("close")
            assert closed["code"] == 4013
            assert "retry in " in closed["reason"]
            assert closed["delaySeconds"] >= int(closed["reason"].split()[-2]) / 1000
            first.tell("close")
            await second.becomes("open")


def forged() -> str:
    return issue(key="f" * 64)


@pytest.mark.parametrize(
    ("path", "token", "reason"),
    [
        ("/ws/experience", forged, "authentication failed"),
        ("/ws", forged, "authentication failed"),
        ("/ws/nowhere", issue, "not found"),
    ],
)
async def test_who_is_refused_learns_why_and_stays_away(
    gateway: Gateway, path: str, token: Callable[[], str], reason: str
) -> None:
    async with gateway.serving(echo), page(address(gateway, path), PING, token=token) as client:
        closed = await client.hear("close")
        assert (closed["code"], closed["reason"], closed["comesBack"]) == (1008, reason, False)
        assert await client.ended() == 0


async def test_who_is_blocked_is_refused_as_blocked(gateway: Gateway) -> None:
    await block(gateway)
    async with gateway.serving(echo), page(address(gateway), token=ada) as client:
        assert (await client.hear("close"))["code"] == 4003


async def test_a_service_that_is_away_is_waited_for(gateway: Gateway) -> None:
    async with page(address(gateway)) as client:
        closed = await client.hear("close")
        assert (closed["code"], closed["comesBack"]) == (1011, True)
        async with gateway.serving(echo):
            await client.becomes("open")


async def test_a_killed_gateway_is_come_back_to(gateway: Gateway) -> None:
    async with gateway.serving(echo), page(address(gateway), PING) as client:
        await greeted(client)
        gateway.program.kill()
        assert (await client.hear("close"))["code"] == 1006
        client.tell("send", {"number": 1})
        client.tell("send", {"number": 2})
        gateway.start()
        await client.becomes("open")
        await greeted(client)
        assert [(await client.hear("message"))["message"]["number"] for _ in range(2)] == [1, 2]


async def test_a_frozen_network_is_noticed_within_seconds(gateway: Gateway) -> None:
    seconds: dict[str, Any] = {"pingSeconds": 1, "answerSeconds": 1}
    async with Forwarder(gateway.port).open() as network, gateway.serving(echo):
        async with page(address(gateway, port=network.port), PING | seconds) as client:
            await greeted(client)
            await answered(client, 1)
            network.freeze()
            frozen_at = asyncio.get_running_loop().time()
            closed = await client.hear("close")
            assert (closed["code"], closed["reason"]) == (1006, "no answer to a ping")
            assert (
                asyncio.get_running_loop().time() - frozen_at < 10
            )  # 2, on a machine that does nothing else
            await client.becomes("open")
            await greeted(client)
            await answered(client, 2)


async def test_who_is_expired_comes_back_with_a_fresh_token(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(TOKEN_GRACE_SECONDS="1")
    lives = iter([5 / 60, 60.0])
    async with gateway.serving(echo):
        async with page(address(gateway), token=lambda: issue(ADA, minutes=next(lives))) as client:
            await greeted(client)
            assert (await client.hear("close"))["code"] == 4010
            await client.becomes("open")
            assert client.expired == [False, True]


async def test_a_token_is_renewed_before_it_expires_and_the_socket_stays(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(TOKEN_GRACE_SECONDS="1")
    lives = iter([20 / 60, 60.0])
    async with gateway.serving(echo):
        token = lambda: issue(ADA, minutes=next(lives))  # noqa: E731
        async with page(address(gateway), {"refresh": True}, token=token) as client:
            await greeted(client)
            assert (await client.hear("gateway"))["type"] == "gateway.refreshed"
            assert client.expired == [False, False]
            await answered(client, 1)


async def test_what_was_published_while_it_was_away_is_heard(
    make_gateway: MakeGateway, valkey: ValkeyServer
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)
    await gateway.wait_until_ready(redis=True)
    publisher = Publisher(valkey.url)
    async with page(address(gateway, "/rooms/r"), {"since": True}) as client:
        assert await client.hear("missed", skipping=("state", "gateway")) == {"reason": "new"}
        await publisher.publish(1)
        assert (await client.hear("message"))["message"]["number"] == 1
        gateway.program.kill()
        for number in (2, 3):
            await publisher.publish(number)
        gateway.start()
        heard = ("state", "close", "gateway")
        assert [(await client.hear("message", skipping=heard))["message"]["number"] for _ in range(2)] == [
            2,
            3,
        ]
    await publisher.close()


@pytest.mark.parametrize("name", NPM)
def test_its_own_tests_with_packages_of_npm_pass(name: str) -> None:
    if missing := [package for package in NPM[name] if not is_here(f"npm:{package}")]:
        why = f"clients/js left out: {', '.join(missing)} not here (docs/development.md)"
        pytest.fail(why) if nothing_may_be_missing() else pytest.skip(why)
    command = ["node", "--test", f"tests/{name}.test.js"]
    played = subprocess.run(command, cwd=JS_DIR, capture_output=True, text=True, timeout=110, check=False)
    assert played.returncode == 0, played.stdout


@pytest.mark.skipif(not is_here("npm"), reason="no npm here")
def test_npm_packs_what_is_imported_and_none_of_the_tests() -> None:
    command = ["npm", "pack", "--dry-run", "--json", "--offline"]
    packed = subprocess.run(command, cwd=JS_DIR, capture_output=True, timeout=60, check=True)
    names = {file["path"] for file in json.loads(packed.stdout)[0]["files"]}
    modules = {str(path.relative_to(JS_DIR)) for path in JS_DIR.rglob("*.*s") if "tests" not in path.parts}
    assert names == modules | {"README.md", "package.json"}
