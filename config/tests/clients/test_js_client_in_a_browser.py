"""clients/js in a page of another site's, in Chromium, on a real gateway."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from config.testing.gateway import Gateway, issue
from config.tests.clients.browser import ANSWER_SECONDS, visiting
from config.tests.clients.page import JS_DIR
from config.tests.clients.test_js_client import address, echo, forged, manage
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

OPEN = """
(async () => {
  const { GatewaySocket } = await import("/sluicegate.js");
  const options = { ping: { type: "ping" }, pingSeconds: 1, answerSeconds: 2 };
  globalThis.socket = new GatewaySocket(%s, { ...options, token: () => %s, ...%s });
  for (const name of ["state", "message", "close"])
    socket.addEventListener(name, ({ detail }) => say([name, detail.message ?? detail]));
  socket.open();
})()
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site that has the client's files as they are, and an empty page."""
    shutil.copytree(JS_DIR, tmp_path, ignore=shutil.ignore_patterns("tests"), dirs_exist_ok=True)
    (tmp_path / "index.html").write_text("<!doctype html><title>a page</title>")
    serve = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def gateway(make_gateway: MakeGateway, site: str) -> Gateway:
    return make_gateway(ALLOWED_ORIGINS=site)


class Told:
    """A page, and what it tells by `say(value)`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: asyncio.Queue[Any] = asyncio.Queue()

    async def opens(self, url: str, *, token: str, **options: str) -> None:
        await self.page.evaluate(OPEN % tuple(map(json.dumps, (url, token, options))))

    async def hear(self) -> Any:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self.said.get()

    async def hears(self, *wanted: Any) -> None:
        """Each of these in turn; what else it tells between them is left out."""
        for one in wanted:
            while await self.hear() != one:
                pass


@asynccontextmanager
async def telling(browser: Browser, site: str) -> AsyncIterator[Told]:
    async with visiting(browser, site) as page:
        told = Told(page)
        await page.expose_function("say", told.said.put_nowait)
        yield told


HELLO = ["message", {"type": "hello"}]
IS_OPEN, IS_CLOSED, IS_WAITING = (["state", state] for state in ("open", "closed", "waiting"))


async def test_a_page_comes_back_to_a_gateway_that_was_killed(
    gateway: Gateway, browser: Browser, site: str
) -> None:
    async with gateway.serving(echo), telling(browser, site) as told:
        await told.opens(address(gateway), token=issue())
        await told.hears(IS_OPEN, HELLO)
        gateway.program.kill()
        await told.hears(IS_WAITING)
        await told.page.evaluate("socket.send({ number: 1 }); socket.send({ number: 2 })")
        gateway.start()
        await told.hears(IS_OPEN, HELLO, ["message", {"number": 1}], ["message", {"number": 2}])


async def test_a_page_of_another_site_buys_a_ticket_and_shows_nothing_else(
    gateway: Gateway, browser: Browser, site: str
) -> None:
    token, shown = issue(), []
    async with gateway.serving(echo), telling(browser, site) as told:
        told.page.on("websocket", lambda socket: shown.append(socket.url))
        await told.opens(address(gateway), token=token, ticket="experience")
        await told.hears(IS_OPEN, HELLO)
        (url,) = shown
        assert ("ticket=" in url, token in url) == (True, False)
        await told.opens(address(gateway), token=forged(), ticket="experience")
        assert (await told_close(told))["reason"] == "The token's signature is not valid."


async def test_a_page_that_was_offline_comes_back_with_its_network(
    gateway: Gateway, browser: Browser, site: str
) -> None:
    async with gateway.serving(echo), telling(browser, site) as told:
        await told.opens(address(gateway), token=issue())
        await told.hears(IS_OPEN, HELLO)
        await told.page.context.set_offline(True)
        await told.hears(IS_WAITING)
        await told.page.evaluate("socket.send({ number: 1 })")
        await told.page.context.set_offline(False)
        await told.hears(IS_OPEN, HELLO, ["message", {"number": 1}])


async def test_a_page_learns_why_it_was_refused_and_is_told_when_it_is_kicked(
    gateway: Gateway, browser: Browser, site: str
) -> None:
    async with gateway.serving(echo), telling(browser, site) as told:
        await told.opens(address(gateway), token=forged())
        assert (await told_close(told))["reason"] == "authentication failed"
        await told.opens(address(gateway), token=issue("ada"))
        await told.hears(IS_OPEN, HELLO)
        await gateway.wait_for_records("user_id = 'ada' AND closed_at IS NULL")
        await manage(gateway, "kick", "--user", "ada")
        closed = await told_close(told)
        assert (closed["code"], closed["comesBack"]) == (4001, False)


async def told_close(told: Told) -> dict[str, Any]:
    while True:
        name, detail = await told.hear()
        if name == "close":
            assert isinstance(detail, dict)
            return detail
