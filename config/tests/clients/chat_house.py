"""A gateway with its chat page and a chat service behind it, on one database; and users at that page."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from config.testing.gateway import Gateway, issue
from config.testing.program import Program, free_port
from config.tests.clients.browser import visiting


@dataclass(frozen=True, slots=True)
class ChatHouse:
    gateway: Gateway
    service: Program

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"


@contextmanager
def chat_house(directory: Path, redis_url: str) -> Iterator[ChatHouse]:
    port = free_port()
    env = {"REDIS_URL": redis_url, "CHAT_SERVICE_URL": f"http://127.0.0.1:{port}", "CHAT_PAGE": "true"}
    gateway = Gateway("serve", directory, env)
    service = Program(
        [sys.executable, "manage.py", "chatservice", "--port", str(port)],
        name="chat",
        output_path=directory / "chat.log",
        env=gateway.env,
    )
    try:
        gateway.migrate()
        gateway.start()
        service.start()
        service.wait_for_port(port)
        yield ChatHouse(gateway, service)
    finally:
        service.kill()
        gateway.close()


class Talker:
    """A user at the page, who does what users do, and sees what they see."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.text = page.get_by_label("Message", exact=True)
        self.bubbles = page.locator("#messages .bubble")
        self.typing = page.locator("#typing")
        self.away = page.locator("#away")

    def conversation(self, name: str) -> Locator:
        return self.page.get_by_label("Conversations").get_by_role("button").filter(has_text=name)

    def receipts(self) -> Locator:
        return self.page.locator("#messages .read").filter(has_text="Read")

    async def begin(self, user: str) -> None:
        await self.page.get_by_label("Talk to").fill(user)
        await self.page.get_by_role("button", name="Begin").click()
        await expect(self.page.get_by_role("heading", name=user)).to_be_visible()

    async def say(self, *texts: str) -> None:
        for text in texts:
            await self.text.fill(text)
            await self.text.press("Enter")

    async def sees(self, *texts: str) -> None:
        """Just these, in this order, and all of them stored."""
        await expect(self.bubbles).to_have_text(list(texts))
        await expect(self.page.locator("#messages .waiting")).to_have_count(0)

    async def is_connected(self) -> None:
        await expect(self.page.get_by_text("connected", exact=True)).to_be_visible()

    async def has_lost_its_socket(self) -> None:
        await expect(self.page.locator("#state")).to_have_attribute("data-state", "waiting")


@asynccontextmanager
async def talking(browser: Browser, house: ChatHouse, user: str, **options: Any) -> AsyncIterator[Talker]:
    """That user's page, connected; `options` are a browser context's."""
    async with visiting(browser, f"{house.url}/chat/#token={issue(user)}", **options) as page:
        talker = Talker(page)
        await talker.is_connected()
        yield talker


@asynccontextmanager
async def two_talking(
    browser: Browser, house: ChatHouse, *users: str
) -> AsyncIterator[tuple[Talker, Talker]]:
    """Two users, each with their conversation open."""
    ada, bob = users
    async with talking(browser, house, ada) as first, talking(browser, house, bob) as second:
        await first.begin(bob)
        await second.conversation(ada).click()
        yield first, second
