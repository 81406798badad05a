"""Staff at admin in Chromium: who they are, how they log in, and clients that they look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Locator, Page
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway, issue
from config.tests.clients.browser import visiting
from config.tests.clients.programs import NODE_MODULES

PASSWORD = "of these tests alone"
MAKE_ADA = f"""
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="{PASSWORD}")
"""
CONNECTIONS = "/admin/proxy/connection/"
LIVE = "/admin/proxy/live/"
SOON_MS = 30_000  # where how soon is not the question


async def quiet_service(connection: ServerConnection) -> None:
    """What is behind a gateway, and says nothing."""
    await connection.wait_closed()


@asynccontextmanager
async def at(
    browser: Browser, gateway: Gateway, path: str, *, who: str = "ada", **options: Any
) -> AsyncIterator[Page]:
    """A page of admin, as `who` sees it; `options` are a browser context's."""
    url = f"http://127.0.0.1:{gateway.port}/admin/login/?next={path}"
    async with visiting(browser, url, **options) as page:
        await logs_in(page, who)
        await page.wait_for_url(f"**{path}")
        yield page


async def logs_in(page: Page, who: str = "ada") -> None:
    await page.get_by_label("Username").fill(who)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()


class Players:
    """Clients that come and go."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._all = gateway, AsyncExitStack()

    async def __aenter__(self) -> Players:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        await self._all.aclose()

    async def comes(self, user_id: str) -> ClientConnection:
        url = self._gateway.url(token=issue(user_id))
        return await self._all.enter_async_context(self._gateway.connect(url))


# Of the page, and of each list in it: how far it reaches beyond its room.
CUT = """() => [document.documentElement, ...document.querySelectorAll(".results")]
  .map((part) => part.scrollWidth - part.clientWidth)"""


async def is_cut(page: Page) -> bool:
    """Whether anything of it is beyond its right edge."""
    return any(await page.evaluate(CUT))


async def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out. The page's context has `bypass_csp`."""
    await page.evaluate((NODE_MODULES / "axe-core" / "axe.min.js").read_text())
    found = (await page.evaluate("axe.run({ preload: false })"))["violations"]
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


def rows_of(page: Page) -> Locator:
    """Those of a list."""
    return page.locator("#result_list tbody tr")
