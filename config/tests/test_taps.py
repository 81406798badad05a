"""Staff look at what goes over a real link, on each kind of server and route, from whichever node answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]
CSRF = "c" * 32
SAID = '{"token":"hunter2","hello":"world"}'
CLEAN = '{"token":"[redacted]","hello":"world"}'
LOG_IN = """
from django.contrib.auth.models import Permission, User
from django.test import Client
for name, codenames in (
    ("ada", ["view_connection", "tap_connection"]), ("bob", ["view_connection", "tap_connection"]),
    ("eve", ["view_connection"]),
):
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    print("session", name, client.cookies["sessionid"].value)
"""


class Staff:
    """One of staff in front of admin, by name."""

    def __init__(self, session: str) -> None:
        self._http = httpx.AsyncClient(
            cookies={"sessionid": session, "csrftoken": CSRF}, timeout=30, trust_env=False
        )

    async def get(self, gateway: Gateway, path: str) -> httpx.Response:
        return await self._http.get(f"http://127.0.0.1:{gateway.port}{path}")

    async def post(self, gateway: Gateway, path: str, **form: str) -> httpx.Response:
        form |= {"csrfmiddlewaretoken": CSRF}
        return await self._http.post(f"http://127.0.0.1:{gateway.port}{path}", data=form)

    @asynccontextmanager
    async def watching(
        self, gateway: Gateway, page: str, **headers: str
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """What the page of a tap hears."""
        tap_id = page.rstrip("/").rpartition("/")[2]
        url = f"http://127.0.0.1:{gateway.port}/admin/proxy/tap/{tap_id}/events/"
        async with self._http.stream("GET", url) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"] == "text/event-stream"
            yield _told(answer)

    async def close(self) -> None:
        await self._http.aclose()


async def _told(answer: httpx.Response) -> AsyncIterator[Any]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def lines(told: AsyncIterator[Any], count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async for each in told:
        found += [(line["way"], line["text"]) for line in each["lines"] if line["kind"] in ("text", "binary")]
        if len(found) >= count:
            return found
    raise AssertionError(f"the stream has ended with {found}")


@asynccontextmanager
async def staff_of(gateway: Gateway) -> AsyncIterator[Mapping[str, Staff]]:
    said = await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", LOG_IN)
    words = (line.split() for line in said.stdout.splitlines() if line.startswith("session "))
    staff = {name: Staff(session) for _, name, session in words}
    yield staff
    for each in staff.values():
        await each.close()


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def begin(staff: Staff, gateway: Gateway, connection_id: str, reason: str = "a complaint") -> str:
    """The page of the tap, or where it leads to without one."""
    path = f"/admin/proxy/connection/{connection_id}/tap/"
    answer = await staff.post(gateway, path, confirmed="yes", reason=reason)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


async def live_link(gateway: Gateway, user: str) -> str:
    (row,) = await gateway.wait_for_records(f"user_id = '{user}' AND closed_at IS NULL")
    return str(row["id"])


KINDS: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    "spliced, control messages": ("serve", "/ws/experience", {}, {}),
    "relayed by stock daphne": ("daphne", "/ws/experience", {}, {}),
    "spliced, compressed": ("serve", "/ws", {}, {"compression": "deflate"}),
    "resumable": ("serve", "/ws", {"STUDIO_RESUME": "reconnect"}, {}),
}


@pytest.mark.parametrize(("kind", "path", "env", "options"), KINDS.values(), ids=KINDS)
async def test_staff_see_both_ways_of_a_link_and_others_see_that_they_look(
    make_gateway: MakeGateway, kind: str, path: str, env: dict[str, str], options: dict[str, Any]
) -> None:
    compression = options.get("compression")
    async with serve(echo, "127.0.0.1", 0, compression=compression) as service, AsyncExitStack() as stack:
        port = next(iter(service.sockets)).getsockname()[1]
        services = {"KB_SERVICE_URL": f"http://127.0.0.1:{port}", "STUDIO_WS_URLS": f"ws://127.0.0.1:{port}"}
        gateway = make_gateway(kind, HTTPS_ONLY="false", STUDIO_PROBE="none", **services, **env)
        staff = await stack.enter_async_context(staff_of(gateway))
        url = gateway.url(path, token=issue("joe"))
        async with gateway.connect(url, **options) as client:
            link = await live_link(gateway, "joe")
            page = await begin(staff["ada"], gateway, link)
            async with staff["ada"].watching(gateway, page) as told:
                await client.send(SAID)
                assert await client.recv() == SAID
                assert sorted(await lines(told, 2)) == [("in", CLEAN), ("out", CLEAN)]
                seen = (await staff["eve"].get(gateway, f"/admin/proxy/connection/{link}/change/")).text
                listed = (await staff["eve"].get(gateway, "/admin/proxy/connection/")).text
                assert all("tapped by <bdi>ada</bdi> until" in each for each in (seen, listed))
                assert "Look at messages" not in seen
                await client.close(4321, "bye")
                ends = [each["ended"] async for each in told]
            assert ends[-1] == "the connection has closed"
    log = gateway.program.output
    assert re.search(r"tap began.*a complaint|a complaint.*tap began", log)
    assert "tap ended" in log
    assert "hunter2" not in log


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> AsyncIterator[Gateway]:
    gateway = make_gateway(HTTPS_ONLY="false")
    async with gateway.serving(echo):
        yield gateway


async def test_a_tap_is_for_who_began_it_and_others_may_only_stop_it(gateway: Gateway) -> None:
    async with staff_of(gateway) as staff, gateway.connect(gateway.url(token=issue("joe"))) as client:
        ada, bob, eve = (staff[name] for name in ("ada", "bob", "eve"))
        link = await live_link(gateway, "joe")
        asked = f"/admin/proxy/connection/{link}/tap/"
        assert "This field is required" in (await ada.post(gateway, asked, confirmed="yes", reason="")).text
        assert "Other staff see that you look" in (await ada.get(gateway, asked)).text
        page = await begin(ada, gateway, link, "a <b>complaint</b>")
        events = f"/admin/proxy/tap/{page.rstrip('/').rpartition('/')[2]}/events/"
        assert (await begin(bob, gateway, link)).endswith(f"/{link}/change/")
        told = (await bob.get(gateway, f"/admin/proxy/connection/{link}/change/")).text
        assert "Nobody looks on: somebody looks at it already." in told
        for other, path in ((bob, page), (bob, events), (eve, page), (eve, events), (eve, asked)):
            assert (await other.get(gateway, path)).status_code == 403
        assert (await eve.post(gateway, f"{page}stop/")).status_code == 403
        assert "ada looks at what goes over" in (await bob.get(gateway, f"{page}stop/")).text
        assert f'href="{page}stop/"' in told, "who may stop it finds where"

        await client.send(f"<script>alert(1)</script> \u202e {SAID}")
        await client.recv()
        async with ada.watching(gateway, page) as seen:
            await lines(seen, 2)
        shown = (await ada.get(gateway, page)).text  # as it is without scripts
        assert "&lt;script&gt;alert(1)&lt;/script&gt; ⟨U+202E⟩" in shown
        assert shown.count("from client") == shown.count("to client") == 1
        assert "hunter2" not in shown

        stopped = await bob.post(gateway, f"{page}stop/", confirmed="yes", reason="enough")
        assert (stopped.status_code, stopped.headers["location"]) == (302, told_page(link))
        async with ada.watching(gateway, page) as seen:
            assert [each["ended"] async for each in seen][-1] == "it was stopped by bob"
        assert "tapped by" not in (await eve.get(gateway, told_page(link))).text
        assert "Over: it was stopped by bob." in (await ada.get(gateway, page)).text
        entries = gateway.rows(
            "SELECT change_message, object_id, reason FROM django_admin_log"
            " LEFT JOIN proxy_deeddetails ON entry_id = django_admin_log.id ORDER BY id"
        )
    assert entries == [
        {
            "change_message": "Tapped for at most 5 minutes: a <b>complaint</b>",
            "object_id": link,
            "reason": "a <b>complaint</b>",
        },
        {"change_message": "Stopped the tap of ada: enough", "object_id": link, "reason": "enough"},
    ]


def told_page(link: str) -> str:
    return f"/admin/proxy/connection/{link}/change/"


async def test_a_page_that_does_not_read_holds_up_nothing_and_one_that_goes_away_ends_the_tap(
    gateway: Gateway,
) -> None:
    big = "x" * 50_000
    async with staff_of(gateway) as staff, gateway.connect(gateway.url(token=issue("joe"))) as client:
        page = await begin(staff["ada"], gateway, await live_link(gateway, "joe"))
        async with staff["ada"].watching(gateway, page):  # and reads nothing
            for _ in range(400):
                await client.send(big)
                assert await client.recv() == big
        async with asyncio.timeout(60):
            while "nobody looked on any more" not in gateway.program.output:
                await asyncio.sleep(0.5)
        await client.send("still here")
        assert await client.recv() == "still here"
    (ended,) = re.findall(r'.*"tap ended".*', gateway.program.output)
    said = json.loads(ended)
    assert said["messages_shown"] + said["messages_left_out"] == 800
    assert said["messages_left_out"] > 0
