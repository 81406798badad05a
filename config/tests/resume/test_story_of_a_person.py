"""What staff read of one client on its page: all that befell it, on a real node, and all that they did."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from contextlib import suppress
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.resume.conftest import MakeGateway, Member, linked, state

LOG_IN = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create_superuser("vera"))
print(client.cookies["sessionid"].value)
"""
ADA = "ada/100% "
PAGE = "/admin/proxy/person/ada_2F100_25%20/"
CSRF = "c" * 32


class Staff:
    """Somebody in front of admin, on that gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._session = gateway.manage("shell", "-v0", "-c", LOG_IN).stdout.strip()

    async def asks(self, path: str, **form: str) -> str:
        """What a page says in the end; with `form` that is posted."""
        body = urlencode(form | {"csrfmiddlewaretoken": CSRF}).encode() if form else None
        headers = {"Cookie": f"sessionid={self._session}; csrftoken={CSRF}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._gateway.port}{path}", body, headers)

        def fetch() -> str:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(fetch)

    async def reads(self, *, lines: int) -> list[str]:
        """The timeline, as soon as it has so many lines."""
        while len(told := _told(await self.asks(PAGE))) < lines:
            await asyncio.sleep(0.1)
        return told


def _told(html: str) -> list[str]:
    rows = html.partition('id="result_list"')[2].partition("</table>")[0].split("<tr data-key")[1:]
    cells = (row.split("<td>")[2].partition("<form")[0] for row in rows)
    return [unescape(" ".join(re.sub("<[^>]+>", " ", cell).split())) for cell in cells]


async def refused(gateway: Gateway, token: str) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with gateway.connect(gateway.url("/ws", token=token)):
            pass
    return refusal.value.response.status_code


async def loses_its_member_and_floods(client: Any, members: tuple[Member, Member]) -> None:
    first, second = members
    await first.kill()
    assert await client.recv() == state("reconnecting")
    await second.start()
    assert await client.recv() == state("connected")
    for number in range(40):
        await client.send(str(number))
    while "rate_limited" not in await client.recv():
        pass


async def read_on(client: Any) -> None:
    """Until it is closed."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()


@pytest.mark.parametrize("make_gateway", ["serve"], indirect=True)
async def test_its_page_tells_the_story_of_a_client(
    make_gateway: MakeGateway, members: tuple[Member, Member]
) -> None:
    gateway = make_gateway(HTTPS_ONLY="false", MESSAGE_RATE_PER_USER="20/s")
    staff = await asyncio.to_thread(Staff, gateway)
    async with asyncio.timeout(50):
        assert await refused(gateway, issue(ADA, minutes=-5)) == 401
        async with linked(gateway, ADA) as client:
            await loses_its_member_and_floods(client, members)
            (link,) = await gateway.wait_for_records(f"user_id = '{ADA}'")
            await staff.reads(lines=4)  # what was dropped is noticed a few seconds later
            kick = {"action": "kick_users", "_selected_action": link["id"], "confirmed": "yes"}
            kicking = staff.asks("/admin/proxy/connection/", **kick, reason="be kind", next=PAGE)
            kicked, _ = await asyncio.gather(kicking, read_on(client))
            assert "Not connected now" in kicked
            assert client.close_code == 4001
        block = f"/admin/proxy/block/add/?next={quote(PAGE)}"
        blocked = await staff.asks(block, user_id=ADA, lasts="good", reason="spam")
        assert "Lift…" in blocked
        while await refused(gateway, issue(ADA)) != 403:
            await asyncio.sleep(0.1)
        told = await staff.reads(lines=8)
    assert [re.sub(_VARIES, "…", line) for line in told] == STORY


_VARIES = r"\d+ messages?|ws://\S+|, after \d+s| from 127.0.0.1"
STORY = [
    "Turned away: a block of staff keeps it out 403 blocked on studio…; comes back: no a block matches",
    "Blocked by vera for good: spam",
    "Disconnected: staff kicked it 4001 by staff on studio…; comes back: no be kind",
    "Kicked by vera be kind",
    "Over its message rate … dropped",
    "Carried over to another member from … to …",
    "Connected to studio… /ws",
    (
        "Turned away: the token had expired 401 token_expired on studio…; comes back: yes, with a fresh"
        " token authentication failed: expired"
    ),
]
