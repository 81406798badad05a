"""Every page of admin, full of the worst that a client can name itself: it fits, and all can use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from config.testing.gateway import Gateway
from config.tests.clients.conftest import must_be_here
from config.tests.clients.staff import at, is_cut, serious
from config.tests.conftest import MakeGateway

FILL = (Path(__file__).parent / "fill_admin.py").read_text()
PAGES = (
    "/admin/",
    *(
        f"/admin/proxy/{page}"
        for page in (
            "live/",
            "connection/",
            "connection/?user=ada",
            "connection/long/change/",
            "connection/broadcast/",
            "connection/tapped/tap/",
            "connection/tapped/change/",
            "connection/tapped/tap/tapped/",
            "connection/tapped/tap/tapped/stop/",
            "refusal/",
            "refusal/long/change/",
            "connection/long/history/",
            "connection/long/tap/",
            "deed/",
            "deed/-1/change/",
            "deed/1/change/",
            "block/",
            "block/add/?user_id=ada",
            "block/1/change/",
            "block/1/delete/",
            "revocation/",
            "revocation/add/?user_id=ada",
            "revocation/1/change/",
            "node/",
            "node/long/change/",
            "node/long/drain/",
            "poolmember/",
            "poolmember/add/",
            "poolmember/1/change/",
            "apikey/",
            "apikey/long/change/",
            "person/",
            "person/?q=2001:db8:1234:5678::",
            f"person/{'W' * 255}/",
            "person/ada/",
            "outgoingevent/",
            "outgoingevent/1/change/",
        )
    ),
    *(f"/admin/experience/experience/{page}" for page in ("", "add/", "1/change/", "1/delete/")),
)
# Beside the sidebar of a small laptop, and on a phone.
SIZES = [(1280, 800), (375, 700)]
# Of its room, what a record takes: buttons that float beside it can squeeze it to a line of letters.
WIDTH = """() => { const record = document.querySelector("#gateway-record");
  return record ? record.offsetWidth / document.querySelector("#content").clientWidth : 1; }"""
# On a phone: what is less high than a thumb takes, and cells in which a word is a column of letters.
TOO_SMALL = """() => [
  ...[...document.querySelectorAll(".object-tools :is(a, button)")].filter((each) => each.offsetHeight < 44),
  ...[...document.querySelectorAll("#change-history td")].filter((each) => each.offsetWidth < 32),
].map((each) => each.textContent.trim())"""

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def gateway(make_gateway: MakeGateway) -> Gateway:
    gateway = make_gateway(HTTPS_ONLY="false")
    gateway.manage("shell", "-v0", "-c", FILL)
    return gateway


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_nothing_is_cut_and_axe_finds_nothing_serious(
    browser: Browser, gateway: Gateway, width: int, height: int
) -> None:
    must_be_here("axe", "npm:axe-core")
    url = f"http://127.0.0.1:{gateway.port}"
    size = {"width": width, "height": height}
    # What axe itself puts into a page is not of its policy; other tests hold pages to that.
    async with at(browser, gateway, "/admin/", viewport=size, bypass_csp=True) as page:
        for path in PAGES:
            await page.goto(f"{url}{path}")
            await page.add_style_tag(
                content="* { transition: none !important }"
            )  # colours on their way are none
            assert not await is_cut(page), path
            assert await page.evaluate(WIDTH) > 0.8, path
            if width < 768:
                assert await page.evaluate(TOO_SMALL) == [], path
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                assert await serious(page) == [], (path, scheme)
