"""What staff do, in Chromium, and what comes of it at the clients."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import signal

import pytest
from playwright.async_api import Browser, Page, expect
from websockets.asyncio.client import ClientConnection

from config.testing.gateway import Gateway, issue
from config.tests.clients.staff import CONNECTIONS, MAKE_ADA, at
from config.tests.conftest import MakeGateway
from config.tests.test_taps import echo

pytestmark = [pytest.mark.clients, pytest.mark.asyncio(loop_scope="module")]
LOG_OUT = "from django.contrib.sessions.models import Session; Session.objects.all().delete()"


async def heard(client: ClientConnection) -> dict[str, str]:
    async with asyncio.timeout(5):
        said: dict[str, str] = json.loads(await client.recv())
        return said


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Text").fill(text)
    await page.get_by_label("Reason").fill("an upgrade")
    await page.get_by_role("button", name="Send").click()


async def test_staff_say_something_to_one_user_and_to_everyone_and_the_audit_has_both(
    browser: Browser, gateway: Gateway
) -> None:
    bob, eve = gateway.url(token=issue("bob")), gateway.url(token=issue("eve"))
    async with gateway.connect(bob) as bobs, gateway.connect(eve) as eves:
        async with at(browser, gateway, CONNECTIONS) as page:
            await page.get_by_role("link", name="bob").click()
            await page.get_by_role("button", name="Message…").click()
            await expect(page.get_by_text("of which 1 is live now")).to_be_visible()
            await say(page, "<b>Hi</b> 👋")
            await expect(page.get_by_text("Sent to 1 connection.")).to_be_visible()
            assert await heard(bobs) == {"type": "staff.message", "text": "<b>Hi</b> 👋"}

            await page.goto(page.url.partition(CONNECTIONS)[0] + CONNECTIONS)
            await page.get_by_role("link", name="Broadcast…").click()
            await page.get_by_label("To:").select_option(label="everyone (2 live connections)")
            await say(page, "We restart\nat noon")
            await expect(page.get_by_text("Sent to 2 connections.")).to_be_visible()
            told = {"type": "staff.message", "text": "We restart\nat noon"}
            assert [await heard(bobs), await heard(eves)] == [told, told]

            await page.get_by_role("link", name="Audit entries").first.click()
            await expect(page.locator("#result_list tbody tr")).to_have_count(2)
            async with page.expect_download() as download:
                await page.get_by_role("link", name="Export as CSV").click()
            rows = list(csv.reader(io.StringIO((await (await download.value).path()).read_text())))
            assert [row[4] for row in rows[1:]] == ["everyone", "bob"]


async def test_one_of_staff_looks_at_what_goes_over_a_connection_and_another_sees_that(
    browser: Browser, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(HTTPS_ONLY="false")
    gateway.manage("shell", "-v0", "-c", MAKE_ADA)
    odd = '{"password":"hunter2","text":"<b>bold</b> \u202e"}'
    async with gateway.serving(echo), gateway.connect(gateway.url(token=issue("bob"))) as bobs:
        async with at(browser, gateway, CONNECTIONS) as page:
            await page.get_by_role("link", name="bob").click()
            connection = page.url
            await page.get_by_role("link", name="Look at messages…").click()
            await page.get_by_label("Reason").fill("a complaint")
            await page.get_by_role("button", name="Look").click()
            await expect(page.get_by_text("Looking.", exact=True)).to_be_visible()
            await bobs.send(odd)
            assert await bobs.recv() == odd
            seen = page.locator("#gateway-seen li pre")
            shown = '{"password":"[redacted]","text":"<b>bold</b> ⟨U+202E⟩"}'
            await expect(seen).to_have_text([shown, shown])
            async with at(browser, gateway, CONNECTIONS) as other:
                await expect(other.get_by_text("tapped by ada until")).to_be_visible()
                await other.goto(connection)
                await other.get_by_role("link", name="Stop…").click()
                await other.get_by_label("Reason").fill("enough")
                await other.get_by_role("button", name="Stop").click()
                await expect(other.get_by_text("Nobody looks at this connection any more.")).to_be_visible()
                assert other.url == connection
                await expect(other.get_by_text("by nobody")).to_be_visible()
            await expect(page.get_by_text("Over: it was stopped by ada.")).to_be_visible()
            await expect(page.get_by_role("button", name="Stop")).to_be_hidden()


async def test_the_page_of_a_tap_says_when_nothing_comes_and_why(
    browser: Browser, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(HTTPS_ONLY="false")
    gateway.manage("shell", "-v0", "-c", MAKE_ADA)
    async with gateway.serving(echo), gateway.connect(gateway.url(token=issue("bob"))):
        async with at(browser, gateway, CONNECTIONS) as page:
            await page.get_by_role("link", name="bob").click()
            await page.get_by_role("link", name="Look at messages…").click()
            await page.get_by_label("Reason").fill("a complaint")
            await page.get_by_role("button", name="Look").click()
            state = page.locator("#gateway-tap-state")
            await expect(state).to_have_text("Looking.")
            gateway.program.send_signal(signal.SIGSTOP)
            try:
                await expect(state).to_contain_text(re.compile(r"No answer for \d+ s"), timeout=6_000)
            finally:
                gateway.program.send_signal(signal.SIGCONT)
            await expect(state).to_have_text("Looking.")
            await asyncio.to_thread(gateway.stop)
            await expect(state).to_contain_text(re.compile(r"No answer for \d+ s"))
            gateway.manage("shell", "-v0", "-c", LOG_OUT)
            await asyncio.to_thread(gateway.start)
            await expect(state).to_have_text("Logged out, or not permitted any more.", timeout=30_000)
