"""Chromium as tests hold it, by Playwright: in its pages nothing may go wrong unseen."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

ANSWER_SECONDS = 30.0
# A violation of the page's policy is told by its event; the console's own words for it vary.
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`policy: ${violatedDirective} ${blockedURI}`));
"""
# What a browser says of connections that cannot be made, or were refused: what the page makes of it is tried.
OF_THE_NETWORK = ("net::ERR_", "WebSocket connection to", "Failed to load resource")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's; none is downloaded."""
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def visiting(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """A page at `url` of a profile of its own; `options` are a context's.

    At its end it must have thrown nothing, complained of nothing, and kept to its policy.
    """
    complaints = list[str]()

    def hear(kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(words in text for words in OF_THE_NETWORK):
            complaints.append(text)

    async with await browser.new_context(**options) as context:
        context.set_default_timeout(ANSWER_SECONDS * 1000)
        await context.add_init_script(TELL_VIOLATIONS)
        page = await context.new_page()
        page.on("console", lambda message: hear(message.type, message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url)
        yield page
        assert complaints == [], complaints
