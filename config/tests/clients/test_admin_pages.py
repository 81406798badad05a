"""Every page of admin, full of the worst that a client can name itself: it fits, and all can use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from config.testing.gateway import Gateway
from config.tests.clients.conftest import must_be_here
from config.tests.clients.every_page import CHOSEN, PAGES, PRESSED, Chosen
from config.tests.clients.staff import at, is_cut, serious
from config.tests.conftest import MakeGateway

FILL = (Path(__file__).parent / "fill_admin.py").read_text()
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

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def gateway(make_gateway: MakeGateway) -> Gateway:
    gateway = make_gateway(HTTPS_ONLY="false")
    gateway.manage("shell", "-v0", "-c", FILL)
    return gateway


# As one ticks them and chooses it.
CHOOSE = """({ rows, action }) => { const form = document.querySelector("#changelist-form");
  for (const box of form.querySelectorAll(".action-select")) box.checked = rows.includes(box.value);
  form.querySelector("select[name=action]").value = action;
  form.submit(); }"""


async def wrong_with(page: Page) -> list[str]:
    """What of it nobody sees or some cannot use, in the light and in the dark."""
    await page.add_style_tag(content="* { transition: none !important }")  # colours on their way are none
    wrong = ["cut"] if await is_cut(page) else []
    if await page.evaluate(WIDTH) <= 0.8:
        wrong.append("squeezed")
    size = page.viewport_size
    if size is not None and size["width"] < 768:
        wrong += [f"too small: {each}" for each in await page.evaluate(TOO_SMALL)]
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        wrong += await serious(page)
    return wrong


async def choose(page: Page, url: str, chosen: Chosen) -> None:
    """Come to the page that asks."""
    await page.goto(url + chosen.at)
    async with page.expect_navigation():
        await page.evaluate(CHOOSE, {"rows": chosen.rows, "action": chosen.action})
    assert await page.locator("body.change-list").count() == 0, chosen


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_nothing_is_cut_and_axe_finds_nothing_serious(
    browser: Browser, gateway: Gateway, width: int, height: int
) -> None:
    must_be_here("axe", "npm:axe-core")
    url = f"http://127.0.0.1:{gateway.port}"
    wrong: dict[str, list[str]] = {}
    # What axe itself puts into a page is not of its policy; other tests hold pages to that.
    size = {"width": width, "height": height}
    async with at(browser, gateway, "/admin/", viewport=size, bypass_csp=True) as page:
        for path in PAGES:
            answer = await page.goto(f"{url}{path}")
            assert answer is not None
            assert answer.ok, path
            wrong[path] = await wrong_with(page)
        for chosen in CHOSEN:
            await choose(page, url, chosen)
            wrong[f"{chosen.at} {chosen.action}"] = await wrong_with(page)
        for path, button in PRESSED:
            await page.goto(url + path)
            async with page.expect_navigation():
                await page.get_by_role("button", name=button).first.click()
            assert await page.locator("[name=confirmed]").count() == 1, (path, button)
            wrong[f"{path} {button}"] = await wrong_with(page)
    told = [f"{path}: {each}" for path, found in wrong.items() for each in found]
    assert not told, "\n".join(told)
