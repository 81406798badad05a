"""clients/js in a page of another site's, in Chromium, on a real gateway."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.testing.gateway import Gateway, issue
from config.tests.clients.browser import Browser, visiting
from config.tests.clients.conftest import places_of
from config.tests.clients.page import JS_DIR
from config.tests.clients.programs import KINDS
from config.tests.clients.test_js_client import address, echo, forged, manage
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

CHROMIUM = next(kind for kind in KINDS if kind.name == "chromium")
OPEN = """
(async () => {
  const { GatewaySocket } = await import("/sluicegate.js");
  const options = { ping: { type: "ping" }, pingSeconds: 1, answerSeconds: 2 };
  globalThis.socket = new GatewaySocket(%s, { ...options, token: () => %s });
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
    for path in JS_DIR.glob("*.js"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "index.html").write_text("<!doctype html><title>a page</title>")
    serve = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def gateway(make_gateway: MakeGateway, site: str) -> Gateway:
    return make_gateway(ALLOWED_ORIGINS=site)


@pytest.fixture
def devtools(request: pytest.FixtureRequest) -> str:
    return places_of(CHROMIUM, request)["devtools"]


async def opens(browser: Browser, url: str, *, token: str) -> None:
    await browser.run(OPEN % (json.dumps(url), json.dumps(token)))


async def hears(browser: Browser, *wanted: Any) -> None:
    """Each of these in turn; what else it tells between them is left out."""
    for one in wanted:
        while await browser.hear() != one:
            pass


HELLO = ["message", {"type": "hello"}]
IS_OPEN, IS_CLOSED, IS_WAITING = (["state", state] for state in ("open", "closed", "waiting"))


async def test_a_page_comes_back_to_a_gateway_that_was_killed(
    gateway: Gateway, devtools: str, site: str
) -> None:
    async with gateway.serving(echo), visiting(devtools, site) as browser:
        await opens(browser, address(gateway), token=issue())
        await hears(browser, IS_OPEN, HELLO)
        gateway.program.kill()
        await hears(browser, IS_WAITING)
        await browser.run("socket.send({ number: 1 }); socket.send({ number: 2 })")
        gateway.start()
        await hears(browser, IS_OPEN, HELLO, ["message", {"number": 1}], ["message", {"number": 2}])


async def test_a_page_that_was_offline_comes_back_with_its_network(
    gateway: Gateway, devtools: str, site: str
) -> None:
    async with gateway.serving(echo), visiting(devtools, site) as browser:
        await opens(browser, address(gateway), token=issue())
        await hears(browser, IS_OPEN, HELLO)
        await browser.set_offline(True)
        await hears(browser, IS_WAITING)
        await browser.run("socket.send({ number: 1 })")
        await browser.set_offline(False)
        await hears(browser, IS_OPEN, HELLO, ["message", {"number": 1}])


async def test_a_page_learns_why_it_was_refused_and_is_told_when_it_is_kicked(
    gateway: Gateway, devtools: str, site: str
) -> None:
    async with gateway.serving(echo), visiting(devtools, site) as browser:
        await opens(browser, address(gateway), token=forged())
        assert (await told_close(browser))["reason"] == "authentication failed"
        await opens(browser, address(gateway), token=issue("ada"))
        await hears(browser, IS_OPEN, HELLO)
        await gateway.wait_for_records("user_id = 'ada' AND closed_at IS NULL")
        await manage(gateway, "kick", "--user", "ada")
        closed = await told_close(browser)
        assert (closed["code"], closed["comesBack"]) == (4001, False)


async def told_close(browser: Browser) -> dict[str, Any]:
    while True:
        name, detail = await browser.hear()
        if name == "close":
            assert isinstance(detail, dict)
            return detail
