"""Experiences that staff close and bound, on two gateway processes with one Valkey and one PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from time import monotonic

import httpx
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.timeout(180), pytest.mark.long]

Nodes = tuple[Gateway, Gateway]
SLUG, PATHS = "wylding-woods", ("/ws/experience", "/ws/v1/experience", "/ws/v2/experience")
MAKE_ROOT = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('root', password='sesame')"
)
CLOSED = (503, "closed_for_maintenance", "Back at nine.", "30")
FULL = (503, "full", "It is full; try again later.", "5")


async def echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


@pytest.fixture
async def kb(nodes: Nodes) -> AsyncIterator[None]:
    async with nodes[0].serving(echo):
        yield


def say(node: Gateway, **values: object) -> None:
    """Write the row by hand: nobody announces it, so that nodes find it by themselves."""
    row = {"slug": SLUG, "title": "", "enabled": True, "ends_links": False} | values
    row = {"maintenance_message": "Back at nine.", "capacity": None} | row
    names, marks = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in row)
    with psycopg.connect(node.env["DATABASE_URL"]) as database:
        database.execute(
            f"INSERT INTO experience_experience ({names}) VALUES ({marks})"
            f" ON CONFLICT (slug) DO UPDATE SET {updates}",
            row,
        )


async def refusal(node: Gateway, path: str = PATHS[0], **query: str) -> tuple[object, ...] | None:
    """Status, code, message and Retry-After; None: it was let in."""
    try:
        async with node.connect(node.url(path, **query)):
            return None
    except InvalidStatus as refused:
        answer = refused.response
        body = json.loads(answer.body or b"")
        return answer.status_code, body["code"], body["message"], answer.headers.get("Retry-After")


async def refused(node: Gateway, wanted: tuple[object, ...] | None, **query: str) -> None:
    """Wait until a handshake is answered so."""
    async with asyncio.timeout(20):
        while await refusal(node, **query) != wanted:
            await asyncio.sleep(0.05)


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(20):
        await client.wait_closed()
    return client.close_code, client.close_reason


@pytest.mark.parametrize("ends_links", [False, True])
async def test_who_is_dialled_while_an_experience_is_closed_does_not_come_in(
    nodes: Nodes, ends_links: bool
) -> None:
    dialled, ready = asyncio.Event(), asyncio.Event()

    async def hold_up(*_: object) -> None:
        if not dialled.is_set():
            dialled.set()
            await ready.wait()

    first, _ = nodes
    async with first.serving(echo, process_request=hold_up), asyncio.timeout(60):
        asked = asyncio.create_task(refusal(first))
        await dialled.wait()
        say(first, enabled=False, ends_links=ends_links)
        await refused(first, CLOSED)
        ready.set()
        assert await asked == CLOSED
        say(first)
        await refused(first, None)


class Staff:
    """A superuser in admin, by HTTP."""

    def __init__(self, node: Gateway, http: httpx.AsyncClient) -> None:
        self._http, self._base = http, f"http://127.0.0.1:{node.port}/admin"

    async def log_in(self) -> None:
        await self.post("/login/", username="root", password="sesame")

    async def post(self, path: str, **form: str) -> str:
        page = (await self._http.get(self._base + path)).text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found, page
        answer = await self._http.post(self._base + path, data={"csrfmiddlewaretoken": found[1], **form})
        return answer.text

    async def switch(self, action: str, row_id: object, **form: str) -> None:
        said = {"action": action, "_selected_action": str(row_id), "confirmed": "yes", "reason": "a release"}
        page = await self.post("/experience/experience/", **(said | form))
        assert "Every node keeps to it" in page, page


@pytest.fixture
async def staff(nodes: Nodes) -> AsyncIterator[Staff]:
    await asyncio.to_thread(nodes[0].manage, "shell", "-v0", "-c", MAKE_ROOT)
    async with httpx.AsyncClient(follow_redirects=True, timeout=20, trust_env=False) as http:
        made = Staff(nodes[0], http)
        await made.log_in()
        yield made


@pytest.mark.timing
async def test_staff_close_an_experience_on_every_node_within_two_seconds_and_open_it_again(
    nodes: Nodes, kb: None, staff: Staff
) -> None:
    one, two = nodes
    say(one)
    (row,) = one.rows("SELECT id FROM experience_experience")
    async with (
        asyncio.timeout(120),
        one.connect(one.url()) as first,
        two.connect(two.url(PATHS[2], token=issue("43"))) as second,
        two.connect(two.url(experience="old-mill")) as elsewhere,
    ):
        await one.wait_for_records("closed_at IS NULL", 3)
        await staff.switch("disable", row["id"], live_links="leave")
        done_at = monotonic()
        await asyncio.gather(*(refused(node, CLOSED) for node in nodes))
        assert monotonic() - done_at < 2
        for node in nodes:
            assert [await refusal(node, path) for path in PATHS] == [CLOSED] * 3
            assert await refusal(node, experience="old-mill") is None
            async with node.connect(node.url(refuse="close")) as told:
                said = "closed for maintenance: Back at nine.; retry in 30000 ms"
                assert await closed(told) == (4013, said)
        await first.send("who is in stays")
        assert await first.recv() == "who is in stays"
        await first.send(json.dumps({"type": "gateway.refresh", "token": issue("42", minutes=90)}))
        assert json.loads(await first.recv())["type"] == "gateway.refreshed"

        done_at = monotonic()
        await staff.switch("disable", row["id"], live_links="close")
        for client in (first, second):
            assert await closed(client) == (1001, "closed for maintenance")
        assert monotonic() - done_at < 4, "with what the page itself took"
        await elsewhere.send("other experiences go on")
        assert await elsewhere.recv() == "other experiences go on"

        await staff.switch("enable", row["id"])
        await asyncio.gather(*(refused(node, None) for node in nodes))
    rows = await one.wait_for_records("cause = 'maintenance'", 2)
    assert {row["closed_by"] for row in rows} == {"staff"}
    deeds = one.rows("SELECT object_repr, change_message FROM django_admin_log ORDER BY id")
    assert deeds == [
        {"object_repr": SLUG, "change_message": said}
        for said in (
            "Disabled, with 2 live links, which stay: a release",
            "Disabled, with 2 live links, which are closed: a release",
            "Enabled: a release",
        )
    ]
    counted = 'gateway_websocket_rejections_total{reason="closed_for_maintenance",route="experience"}'
    assert counted in (await one.get("/metrics"))[1]


async def test_who_has_no_good_token_learns_nothing_of_an_experience(nodes: Nodes, kb: None) -> None:
    one, _ = nodes
    say(one, enabled=False)
    async with asyncio.timeout(60):
        await refused(one, CLOSED)
        for shown in (None, issue("42", minutes=-60), "no token"):
            told = await refusal(one, token=shown)  # type: ignore[arg-type]  # None is: without
            assert told is not None
            assert told[0] == 403
            assert "nine" not in str(told)
        assert await refusal(one, experience="") == (
            (400, "bad_request", "The request is not valid for this route.", None)
        )


async def test_it_stays_closed_over_restarts_a_gap_of_redis_and_one_of_the_database(
    nodes: Nodes, kb: None, valkey: ValkeyServer
) -> None:
    one, two = nodes
    say(one)
    async with asyncio.timeout(150), two.connect(two.url()) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        valkey.kill()
        say(one, enabled=False, ends_links=True)
        assert await closed(client) == (1001, "closed for maintenance")
        for node in nodes:
            await refused(node, CLOSED)
        valkey.ensure_running()
        await one.wait_until_ready(redis=True)
        await asyncio.to_thread(one.stop)
        one.start()
        await one.wait_until_ready(redis=True, database=True)
        assert [await refusal(node) for node in nodes] == [CLOSED, CLOSED]
        say(one)
        for node in nodes:
            await refused(node, None)


async def come(node: Gateway, user: str, held: AsyncExitStack) -> object:
    try:
        return await held.enter_async_context(node.connect(node.url(token=issue(user))))
    except InvalidStatus as refused:
        return json.loads(refused.response.body or b"")["code"]


async def seen(node: Gateway) -> None:
    """The node has looked at the rows: those of a slug that was closed in the same moment hold."""
    with psycopg.connect(node.env["DATABASE_URL"]) as database:
        database.execute(
            "INSERT INTO experience_experience (slug, title, enabled, ends_links, maintenance_message)"
            " VALUES (%s, '', false, false, 'Back at nine.')",
            [f"seen-{node.port}"],
        )
    await refused(node, CLOSED, experience=f"seen-{node.port}")


async def burst(nodes: Nodes, held: AsyncExitStack, name: str, clients: int = 60) -> list[ClientConnection]:
    came = await asyncio.gather(
        *(come(nodes[number % 2], f"{name}-{number}", held) for number in range(clients))
    )
    let_in = [each for each in came if isinstance(each, ClientConnection)]
    assert [each for each in came if each not in let_in] == ["full"] * (clients - len(let_in))
    return let_in


async def test_a_burst_on_two_nodes_fills_an_experience_and_not_more(nodes: Nodes, kb: None) -> None:
    one, _ = nodes
    async with asyncio.timeout(150), AsyncExitStack() as held:
        early = [await come(node, f"early-{node.port}", held) for node in nodes]
        assert all(isinstance(each, ClientConnection) for each in early)
        say(one, capacity=2)
        await asyncio.gather(*(refused(node, FULL) for node in nodes))
        say(one, capacity=20)
        await asyncio.gather(*(refused(node, None) for node in nodes))
        await one.wait_for_records("closed_at IS NULL", 2)  # who asked has left
        let_in = await burst(nodes, held, "burst")
        assert len(let_in) == 18, "with the two who were there before"
        async with one.connect(one.url(refuse="close")) as told:
            assert await closed(told) == (4013, "full; retry in 5000 ms")
        assert [await refusal(node, path) for node in nodes for path in PATHS] == [FULL] * 6

        for client in let_in[:5]:
            await client.close()
        await one.wait_for_records("closed_at IS NULL", 15)
        assert len(await burst(nodes, held, "again")) == 5


async def test_the_places_of_a_node_that_is_killed_are_free_once_it_is_known_to_be_gone(
    nodes: Nodes, kb: None
) -> None:
    one, two = nodes
    say(one, capacity=4)
    async with asyncio.timeout(150), AsyncExitStack() as held:
        await asyncio.gather(*(seen(node) for node in nodes))
        for user in "abcd":
            assert isinstance(await come(two, user, held), ClientConnection)
        assert await refusal(one) == FULL
        await asyncio.to_thread(two.program.kill)
        async with asyncio.timeout(40):
            while await refusal(one) == FULL:
                await asyncio.sleep(0.2)


async def test_one_process_without_redis_keeps_to_it_too(
    make_gateway: MakeGateway, database_url: str
) -> None:
    gateway = make_gateway(REDIS_URL="", DATABASE_URL=database_url)
    async with asyncio.timeout(90), gateway.serving(echo), AsyncExitStack() as held:
        say(gateway, capacity=2)
        await refused(gateway, None)
        for user in ("a", "b"):
            assert isinstance(await come(gateway, user, held), ClientConnection)
        await refused(gateway, FULL)
        say(gateway, capacity=2, enabled=False)
        await refused(gateway, CLOSED)


@pytest.mark.parametrize("away", [False, True], ids=["redis", "alone"])
async def test_who_is_refused_has_replaced_no_link_of_his_own(
    make_gateway: MakeGateway, database_url: str, away: bool
) -> None:
    env = {"REDIS_URL": ""} if away else {}
    gateway = make_gateway(
        DATABASE_URL=database_url,
        CONNECTION_CAP_POLICY="replace_oldest",
        EXPERIENCE_MAX_CONNECTIONS_PER_USER="2",
        **env,
    )
    async with asyncio.timeout(90), gateway.serving(echo), AsyncExitStack() as held:
        say(gateway, capacity=1)
        await refused(gateway, None)
        assert isinstance(await come(gateway, "bob", held), ClientConnection)
        mine = [
            await held.enter_async_context(gateway.connect(gateway.url(token=issue("joe"), experience=slug)))
            for slug in ("mine", "mill")
        ]
        await refused(gateway, FULL, token=issue("joe"))
        say(gateway, enabled=False)
        await refused(gateway, CLOSED, token=issue("joe"))
        for link in mine:
            await link.send("still here")
            assert await link.recv() == "still here"
