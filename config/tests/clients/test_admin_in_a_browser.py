"""Admin as staff see it in Chromium: pages that keep themselves current, and say when they are not."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from config.testing.gateway import Gateway
from config.tests.clients.staff import CONNECTIONS, LIVE, SOON_MS, Players, at, logs_in, rows_of

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="module")]

# All is well, but for what a machine that is busy with other tests does to an event loop, and is told.
VERDICT = re.compile("Healthy|an event loop is")


async def test_an_empty_list_fills_and_newcomers_slide_under_nobodys_pointer(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    async with at(browser, gateway, CONNECTIONS) as page:
        rows, more = page.locator("#result_list tbody tr"), page.get_by_role("button", name="new")
        await expect(page.get_by_text("updated")).to_be_visible()
        await players.comes("first")
        await expect(rows).to_have_count(1)
        await rows.first.hover()
        await players.comes("second")
        await expect(more).to_have_text("1 new")
        await expect(rows).to_have_count(1)
        await more.click()
        await expect(rows.first).to_contain_text("second")

        box = rows.nth(1).get_by_role("checkbox")
        await box.check()
        await expect(page.get_by_text("rows stay in place while 1 is ticked")).to_be_visible()
        await players.comes("third")
        await expect(more).to_have_text("1 new")
        await more.click()
        await expect(rows).to_have_count(3)
        await expect(rows.nth(2).get_by_role("checkbox")).to_be_checked()
        await expect(page.get_by_text("1 of 3 selected")).to_be_visible()
        await page.locator("#action-toggle").check()
        await expect(page.get_by_text("3 of 3 selected")).to_be_visible()


@asynccontextmanager
async def in_five_seconds_of(page: Page, gateway: Gateway) -> AsyncIterator[None]:
    """What is within happens, and five seconds go by on the page's own clock, however busy the machine is."""
    await page.clock.install()
    await page.reload()
    await expect(page.get_by_text("updated")).to_be_visible(timeout=SOON_MS)
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
    await takes_long(page, gateway)
    yield
    await page.clock.run_for(5000)


async def takes_long(page: Page, gateway: Gateway) -> None:
    """For this answer the page waits more than a second: after it, it asks as late as it ever does."""
    freeze(gateway)
    await page.clock.run_for(4000)
    gateway.program.send_signal(signal.SIGCONT)
    await expect(page.get_by_text("updated 0 s ago")).to_be_visible(timeout=SOON_MS)


def freeze(gateway: Gateway) -> None:
    """Its port takes connections still, and nobody answers there."""
    gateway.program.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("path", [CONNECTIONS, LIVE])
@pytest.mark.parametrize("ends", [Gateway.close, freeze])
async def test_a_page_says_within_five_seconds_that_its_gateway_is_gone(
    browser: Browser, gateway: Gateway, path: str, ends: Callable[[Gateway], None]
) -> None:
    async with at(browser, gateway, path) as page:
        async with in_five_seconds_of(page, gateway):
            ends(gateway)
        await expect(page.get_by_text("no answer for")).to_be_visible(timeout=SOON_MS)


async def test_a_stale_page_heals(browser: Browser, gateway: Gateway, players: Players) -> None:
    await players.comes("first")
    async with at(browser, gateway, CONNECTIONS) as page:
        await expect(page.locator(".gateway-live").first).to_be_visible()
        gateway.program.kill()
        await expect(page.get_by_text("no answer for")).to_be_visible(timeout=SOON_MS)
        await expect(page.locator(".gateway-stale .gateway-live").first).to_be_visible()
        gateway.start()
        await expect(page.get_by_text("updated")).to_be_visible(timeout=SOON_MS)


async def test_a_connections_page_shows_its_end_as_it_comes(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    await players.comes("first")
    async with at(browser, gateway, CONNECTIONS) as page:
        await page.get_by_role("link", name="first").click()
        await expect(page.get_by_text("live, idle for")).to_be_visible()
        await expect(page.get_by_role("button", name="Kick…")).to_be_visible()
        await players.leave()
        await expect(page.get_by_text("Closed by")).to_be_visible()
        await expect(page.locator(".field-closed_by").get_by_text("client")).to_be_visible()
        await expect(page.get_by_role("button", name="Kick…")).to_have_count(0)


BLOCKS = "/admin/proxy/block/"
MAKE_BLOCK = "from proxy.models import Block; Block.objects.create(user_id='rude')"


async def test_an_open_list_of_blocks_has_one_that_somebody_else_makes(
    browser: Browser, gateway: Gateway
) -> None:
    async with at(browser, gateway, BLOCKS) as page:
        await expect(page.get_by_text("updated")).to_be_visible(timeout=SOON_MS)
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", MAKE_BLOCK)
        await expect(rows_of(page)).to_contain_text(["rude"], timeout=SOON_MS)


async def test_until_is_asked_only_of_a_block_that_lasts_until_a_time(
    browser: Browser, gateway: Gateway
) -> None:
    async with at(browser, gateway, BLOCKS + "add/") as page:
        until, reason = page.get_by_label("Until, date"), page.get_by_label("Reason")
        await expect(reason).to_be_visible()
        await expect(until).to_be_hidden()
        await page.get_by_label("until the time below").check()
        await expect(until).to_be_visible()
        await until.fill("no date")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("Enter a valid date")).to_be_visible(timeout=SOON_MS)
        await page.get_by_label("an hour").check()
        await expect(until).to_be_hidden()
        await page.get_by_label("User:").fill("rude")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(rows_of(page)).to_contain_text(["rude"], timeout=SOON_MS)


@pytest.mark.parametrize("path", [CONNECTIONS + "?live=yes&route=experience", LIVE])
async def test_who_is_logged_out_is_told_that_logs_in_and_is_back(
    browser: Browser, gateway: Gateway, path: str
) -> None:
    login = re.compile(re.escape(f"/admin/login/?next={quote(path, safe='')}") + "$")
    async with at(browser, gateway, CONNECTIONS) as page:
        await page.goto(page.url.partition(CONNECTIONS)[0] + path)
        await expect(page.get_by_text("updated")).to_be_visible(timeout=SOON_MS)
        await expect(page.get_by_role("link", name="Log in")).to_have_count(0)
        await page.context.clear_cookies()
        await expect(page.get_by_text("logged out for")).to_be_visible(timeout=SOON_MS)
        await expect(page.get_by_role("link", name="Log in")).to_have_attribute("href", login)
        await page.get_by_role("link", name="Log in").click()
        await logs_in(page)
        await page.wait_for_url(f"**{path}")


def part(page: Page, name: str) -> Locator:
    """The rows of one of the tables of the Live page."""
    return page.locator(f"table[data-rows={name}] tbody tr[data-key]:not([data-key=none])")


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#gateway-figures [data-figure={name}]")


async def test_the_live_page_shows_who_comes_and_leaves_and_draws_it(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    async with at(browser, gateway, LIVE) as page:
        await expect(page.locator("#gateway-verdict")).to_contain_text(VERDICT, timeout=SOON_MS)
        await expect(figure(page, "memory")).to_contain_text("MB", timeout=SOON_MS)
        await players.comes("first")
        await expect(part(page, "on-now")).to_contain_text(["first"], timeout=SOON_MS)
        await expect(figure(page, "links")).to_have_text("1", timeout=SOON_MS)

        links = page.locator("[data-chart=links]")
        await expect(links.locator("canvas")).to_be_visible(timeout=SOON_MS)
        await expect(links.get_by_role("button", name="experience 1")).to_be_visible(timeout=SOON_MS)
        await links.get_by_text("As a table").click()
        await expect(links.locator("tbody tr")).to_have_count(180, timeout=SOON_MS)

        await players.leave()
        await expect(part(page, "just-left")).to_contain_text(["the client closed it"], timeout=SOON_MS)
        await expect(part(page, "on-now")).to_have_count(0, timeout=SOON_MS)


async def test_the_live_page_of_a_dead_gateway_has_no_green_dot_and_heals(
    browser: Browser, gateway: Gateway
) -> None:
    async with at(browser, gateway, LIVE) as page:
        await expect(figure(page, "memory")).to_contain_text("MB", timeout=SOON_MS)
        gateway.program.kill()
        await expect(page.get_by_text("no answer for")).to_be_visible(timeout=SOON_MS)
        dots = await page.evaluate(DOTS)
        assert dots
        assert set(dots) == {"rgba(0, 0, 0, 0)"}
        gateway.start()
        await expect(page.get_by_text("updated")).to_be_visible(timeout=SOON_MS)
        await expect(page.locator("#gateway-verdict")).to_contain_text("is gone since", timeout=SOON_MS)


DOTS = """() => [...document.querySelectorAll(".gateway-live, .gateway-late, .gateway-down")]
  .map((dot) => getComputedStyle(dot, "::before").backgroundColor)"""


async def test_a_range_of_a_chart_filters_what_is_below_by_mouse_and_by_keys(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    await players.comes("first")
    async with at(browser, gateway, LIVE) as page:
        await expect(part(page, "on-now")).to_have_count(1, timeout=SOON_MS)
        plot = page.locator("[data-chart=links] .u-over")
        await plot.scroll_into_view_if_needed()
        box = await plot.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await page.mouse.move(box["x"] + 20, middle)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 90, middle, steps=3)
        await page.mouse.up()
        await expect(page.locator("#gateway-range")).to_contain_text("alone", timeout=SOON_MS)
        await expect(part(page, "on-now")).to_have_count(0, timeout=SOON_MS)
        assert "since=" in page.url

        chart = page.get_by_role("img", name="Links by route")
        await chart.press("Escape")
        await expect(part(page, "on-now")).to_have_count(1, timeout=SOON_MS)
        for _ in range(3):
            await chart.press("Shift+ArrowLeft")
        await chart.press("Enter")
        await expect(page.locator("#gateway-range")).to_contain_text("alone", timeout=SOON_MS)
        await page.reload()
        await expect(page.locator("#gateway-range")).to_contain_text("alone", timeout=SOON_MS)


async def test_a_range_that_is_chosen_while_the_page_is_asked_for_is_asked_for_at_once(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    await players.comes("first")
    async with at(browser, gateway, LIVE) as page:
        await page.clock.install()
        await page.reload()
        await expect(part(page, "on-now")).to_have_count(1, timeout=SOON_MS)
        await expect(page.locator("[data-chart=links] canvas")).to_be_visible(timeout=SOON_MS)
        asked, may_answer = list[str](), asyncio.Event()

        async def hold(route: Route) -> None:
            if "x-asked-again" in route.request.headers:
                asked.append(route.request.url)
                await may_answer.wait()
            await route.continue_()

        await page.route("**/*", hold)
        await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
        while not asked:
            await page.clock.run_for(1000)
        chart = page.get_by_role("img", name="Links by route")
        for key in ("Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
            await chart.press(key)
        assert "since=" in page.url
        may_answer.set()  # from here on no clock moves that would have the page asked for again
        await expect(page.locator("#gateway-range")).to_contain_text("alone", timeout=SOON_MS)
        assert ["since=" in url for url in asked] == [False, True]


async def test_a_finger_chooses_a_range_sideways_and_scrolls_the_page_up_and_down(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    await players.comes("first")
    phone: dict[str, Any] = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
    async with at(browser, gateway, LIVE, **phone) as page:
        await expect(part(page, "on-now")).to_have_count(1, timeout=SOON_MS)
        plot = page.locator("[data-chart=links] .u-over")
        await plot.scroll_into_view_if_needed(timeout=SOON_MS)
        scrolled = await page.evaluate("scrollY")
        await drag(page, plot, by_x=0, by_y=-60)
        await page.wait_for_function("before => scrollY > before", arg=scrolled, timeout=SOON_MS)
        assert "since=" not in page.url
        await drag(page, plot, by_x=-80, by_y=0)
        await expect(page.locator("#gateway-range")).to_contain_text("alone", timeout=SOON_MS)
        await expect(part(page, "on-now")).to_have_count(0, timeout=SOON_MS)
        assert "since=" in page.url


async def drag(page: Page, over: Locator, *, by_x: float, by_y: float) -> None:
    """A finger put down in the middle of it, moved so far, and taken away."""
    box = await over.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = await page.context.new_cdp_session(page)
    steps = [{"x": x + by_x * step / 6, "y": y + by_y * step / 6} for step in range(7)]
    for step, point in enumerate(steps):
        kind = "touchMove" if step else "touchStart"
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def test_without_scripts_the_live_page_has_its_verdict_its_figures_and_its_tables(
    browser: Browser, gateway: Gateway, players: Players
) -> None:
    await players.comes("first")
    await gateway.wait_for_records("user_id = 'first'")
    async with at(browser, gateway, LIVE, java_script_enabled=False) as page:
        await expect(page.locator("#gateway-verdict")).to_contain_text(VERDICT, timeout=SOON_MS)
        await expect(figure(page, "memory")).to_contain_text("MB", timeout=SOON_MS)
        await expect(part(page, "on-now")).to_have_count(1, timeout=SOON_MS)
        await expect(page.locator("#gateway-charts")).to_be_hidden(timeout=SOON_MS)
