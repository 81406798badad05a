"""The pictures of the documents: `make screenshots` writes docs/images/.

Two gateways with PostgreSQL and Valkey, clients that play on them, staff that help: all of it is real but
the day that charts look back on. Who they are and what they do is the same each time; times, ports and ids
are not.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.testing.servers import PostgresServer, ValkeyServer
from config.tests.clients.browser import chromium
from config.tests.clients.staff import CONNECTIONS, LIVE, SOON_MS, at, rows_of
from config.tests.clients.two_nodes import TwoNodes, carried_over

IMAGES = Path(__file__).parents[3] / "docs" / "images"
DAY = (Path(__file__).parent / "a_day.py").read_text()
PLAYERS = (
    "ada", "alan", "anita", "barbara", "bjarne", "dennis", "donald", "edsger", "frances", "grace", "guido",
    "hedy", "ines", "james", "jean", "john", "joan", "ken", "karen", "leslie", "linus", "margaret", "niklaus",
    "radia", "robin", "sophie", "tim", "yukihiro",
)  # fmt: skip
WORLDS = ("wylding-woods", "old-mill", "harbour")
STUDIO = "/ws"
_PERSON = "/admin/proxy/person/ines/"
_HEADERS = "WyldingWoods/2.4.1 (Unity 2022.3; iOS)", "WyldingWoods/2.4.0 (Unity 2022.3; Android)"


class Scene:
    """Clients of both nodes, each from an address of its own, that talk while they stay."""

    def __init__(self, house: TwoNodes) -> None:
        self.house, self._all, self._count = house, AsyncExitStack(), 0
        self._talk: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._talk:
            each.cancel()
        await self._all.aclose()

    def talk(self, clients: Iterable[ClientConnection]) -> None:
        """From now on, until they leave or all is over."""
        self._talk |= {asyncio.create_task(talk(each), name="a player talks") for each in clients}

    def _asked(self, user_id: str, path: str, *, minutes: float) -> tuple[Gateway, str, dict[str, Any]]:
        self._count += 1
        number = sum(map(ord, user_id))
        gateway = (self.house.one, self.house.two)[self._count % 2]
        token = issue(user_id, email=f"{user_id}@example.com", minutes=minutes)
        headers = {"X-Forwarded-For": f"203.0.113.{number % 250}"}
        url = gateway.url(path, token=token, experience=WORLDS[number % len(WORLDS)])
        return gateway, url, {"additional_headers": headers, "user_agent_header": _HEADERS[number % 2]}

    async def comes(self, user_id: str, path: str = "/ws/experience", *, says: int = 0) -> ClientConnection:
        """It says so much, and hears as much."""
        gateway, url, options = self._asked(user_id, path, minutes=60)
        client = await self._all.enter_async_context(gateway.connect(url, **options))
        for number in range(says):
            await client.send(f'{{"type":"move","number":{number},"to":[{number % 17},{number % 23}]}}')
            await client.recv()
        return client

    async def is_turned_away(self, user_id: str, *, minutes: float = 60, times: int = 1) -> None:
        for _ in range(times):
            gateway, url, options = self._asked(user_id, "/ws/experience", minutes=minutes)
            with suppress(InvalidStatus):
                async with gateway.connect(url, **options):
                    raise AssertionError(f"{user_id} was let in")


async def the_morning(scene: Scene) -> dict[str, ClientConnection]:
    """Who plays, who left, who was turned away."""
    await scene.is_turned_away("ines", minutes=-90)
    await scene.is_turned_away("oskar", minutes=-600, times=4)
    await scene.is_turned_away("tove", minutes=-10)
    playing = {}
    for number, user_id in enumerate(PLAYERS):
        path = STUDIO if number % 4 == 3 else "/ws/experience"
        playing[user_id] = await scene.comes(user_id, path, says=6 + number * 13 % 40)
    await playing["ines"].send("fall")
    await ended(playing["ines"])
    for user_id in ("tim", "sophie", "robin"):
        await playing[user_id].close(1000, "bye")
    playing["ines"] = await scene.comes("ines", STUDIO, says=12)
    playing["mallory"] = await scene.comes("mallory", says=160)
    await carried_over(scene.house, playing["ines"])
    return playing


async def talk(client: ClientConnection) -> None:
    """Something each second, and whatever is answered."""
    with suppress(ConnectionClosed):
        while True:
            await client.send('{"type":"move","to":[3,4]}')
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while True:
                        await client.recv()


async def ended(client: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        async with asyncio.timeout(30):
            while True:
                await client.recv()


async def support(browser: Browser, scene: Scene) -> None:
    """Sam helps Ines, and keeps Mallory out."""
    async with at(browser, scene.house.one, _PERSON, who="sam") as page:
        await page.get_by_label("Note").fill("Wrote to support: her phone's clock was two hours behind.")
        await page.get_by_role("button", name="Add note").click()
        await page.get_by_role("button", name="Message…").click()
        await page.get_by_label("Text").fill(
            "Hello Ines, please restart the game once: we moved you to a new server."
        )
        await page.get_by_label("Reason").fill("ticket 4711")
        await page.get_by_role("button", name="Send").click()
        await page.get_by_role("button", name="Kick…").click()
        await page.get_by_label("Reason").fill("Please restart the game")
        await page.get_by_role("button", name="Kick 1 connection").click()
        await expect(page.locator(".messagelist")).to_contain_text("ended", timeout=SOON_MS)
        await page.goto(page.url.replace("ines", "mallory"))
        await page.get_by_role("link", name="Block…").click()
        await page.get_by_label("Reason").fill("floods the harbour's chat, ticket 4712")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_role("link", name="Lift…")).to_be_visible()
        await page.goto(page.url.replace("mallory", "tove"))
        await page.get_by_role("link", name="Revoke tokens…").click()
        await page.get_by_label("Reason").fill("her phone was stolen, ticket 4713")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.locator(".messagelist")).to_be_visible()


async def operate(browser: Browser, scene: Scene) -> None:
    """Olga tells everyone of what comes, and drains a member of the pool."""
    async with at(browser, scene.house.one, f"{CONNECTIONS}broadcast/", who="olga") as page:
        await page.get_by_label("Text").fill("The studio is upgraded at noon; you will not be disconnected.")
        await page.get_by_label("Reason").fill("upgrade of the studio")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator(".messagelist")).to_contain_text("Sent", timeout=SOON_MS)
        await page.goto(page.url.partition("/admin/")[0] + "/admin/proxy/poolmember/")
        await page.get_by_role("button", name=f"Drain {scene.house.studios[0].url}").click()
        await page.get_by_label("Reason").fill("upgrade of the studio")
        await page.get_by_role("button", name="Drain", exact=True).click()
        await expect(page.get_by_role("button", name="Bring back")).to_be_visible(timeout=SOON_MS)


async def taken(page: Page, name: str, *, height: int) -> None:
    """What the window shows, once nothing of it moves any more."""
    await page.set_viewport_size({"width": 1280, "height": height})
    await page.mouse.move(0, 0)
    await page.add_style_tag(content="* { transition: none !important }")
    path = IMAGES / f"{name}.png"
    await page.screenshot(path=path)
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size // 1024} KB")  # noqa: T201  a command


async def pictures(browser: Browser, scene: Scene) -> None:
    """One page after another, as Ada sees them."""
    sees: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "bypass_csp": True}
    async with at(browser, scene.house.one, LIVE, **sees) as page:
        await live(page, "live")
        for name, path, height in (
            ("connections", CONNECTIONS, 900),
            ("turned-away", "/admin/proxy/refusal/", 800),
            ("audit", "/admin/proxy/deed/", 760),
            ("person", _PERSON, 1150),
        ):
            await page.goto(page.url.partition("/admin/")[0] + path)
            await expect(rows_of(page).first).to_be_visible()
            await expect(page.get_by_text("0 (0/s), 0 B")).to_have_count(
                0, timeout=SOON_MS
            )  # not counted yet
            await taken(page, name, height=height)
        await page.goto(page.url.partition("/admin/")[0] + "/admin/proxy/poolmember/")
        scene.house.studios[-1].program.kill()
        await expect(page.locator(".gateway-down").first).to_be_visible(timeout=SOON_MS)
        await taken(page, "pools", height=900)
        await page.emulate_media(color_scheme="dark")
        await page.goto(page.url.partition("/admin/")[0] + LIVE)
        await live(page, "live-dark")


async def live(page: Page, name: str) -> None:
    """With the charts of a day."""
    await page.get_by_role("button", name="24h").click()
    await expect(page.locator("[data-chart=links]")).to_contain_text("in the last 24 hours", timeout=SOON_MS)
    await expect(page.locator("#gateway-figures [data-figure=messages]")).not_to_contain_text(
        "0/s in, 0/s out"
    )
    await expect(page.locator("#gateway-figures [data-figure=memory]")).to_contain_text("MB", timeout=SOON_MS)
    await taken(page, name, height=1500)


@asynccontextmanager
async def scene_of(directory: Path) -> AsyncIterator[Scene]:
    """Everything started, and a day behind it."""
    postgres, valkey = PostgresServer(), ValkeyServer(directory)
    try:
        postgres.start()
        valkey.start()
        house = TwoNodes(
            directory,
            database_url=postgres.create_database(),
            redis_url=valkey.url,
            studios=3,
            TRUSTED_PROXIES="127.0.0.1",
        )
        with house.running():
            house.one.manage("shell", "-v0", "-c", DAY)
            async with house.served(), Scene(house) as scene:
                yield scene
    finally:
        valkey.kill()
        postgres.remove()


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with scene_of(Path(directory)) as scene, chromium() as browser:
            scene.talk((await the_morning(scene)).values())
            await support(browser, scene)
            await operate(browser, scene)
            await scene.is_turned_away("mallory", times=3)
            await scene.is_turned_away("tove")
            scene.talk([await scene.comes("ines", says=30)])
            await pictures(browser, scene)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
