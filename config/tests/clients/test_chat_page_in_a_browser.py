"""/chat/ in Chromium: users at it, a real gateway, the real service. No page may complain (browser.py)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, expect
from websockets.asyncio.client import connect

from config.testing.gateway import issue
from config.testing.servers import ValkeyServer
from config.tests.clients.browser import visiting
from config.tests.clients.chat_house import ChatHouse, Talker, chat_house, talking, two_talking
from config.tests.clients.conftest import must_be_here
from config.tests.clients.node import new_user
from config.tests.clients.programs import NODE_MODULES

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

PHONE: ViewportSize = {"width": 360, "height": 640}
BESIDE_ITS_KEYBOARD: ViewportSize = {"width": 360, "height": 400}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LONG_AGO = 170  # messages: more than the page that is asked for first, and a further one
EACH = 12
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer) -> Iterator[ChatHouse]:
    valkey_server.ensure_running()
    valkey_server.flush()
    with chat_house(tmp_path_factory.mktemp("house"), valkey_server.url) as house:
        yield house
        assert "Traceback" not in house.gateway.program.output, house.gateway.program.tail()
        assert "Traceback" not in house.service.output, house.service.tail()


async def test_two_users_talk_see_each_other_type_and_learn_what_was_read(
    browser: Browser, house: ChatHouse
) -> None:
    ada, bob = new_user(), new_user()
    async with talking(browser, house, ada) as at_ada, talking(browser, house, bob) as at_bob:
        async with late_answer(at_bob.page, "**/api/chat/conversations"):  # of before anything was said
            await at_ada.begin(bob)
            await at_ada.say("hello", "<b>there</b>")
            await at_ada.sees("hello", "<b>there</b>")
        await expect(at_bob.conversation(ada)).to_contain_text(re.compile("<b>there</b>.*2 unread"))
        await expect(at_bob.page).to_have_title(f"(2) Chat: {bob}")
        await at_bob.conversation(ada).click()
        await at_bob.sees("hello", "<b>there</b>")
        await expect(at_ada.receipts()).to_have_count(1)
        await expect(at_bob.page).to_have_title(f"Chat: {bob}")
        await at_bob.text.press_sequentially("hi")
        await expect(at_ada.typing).to_have_text(f"{bob} is typing …")
        await at_bob.text.fill("")
        await expect(at_ada.typing).to_be_empty()
        await at_bob.say("مرحبا\n👩‍👩‍👧")
        await at_ada.sees("hello", "<b>there</b>", "مرحبا\n👩‍👩‍👧")
        await expect(at_ada.page.locator("#news")).to_contain_text(f"{bob}: مرحبا")
        await expect(at_bob.receipts()).to_have_count(1)


@asynccontextmanager
async def late_answer(page: Page, url: str) -> AsyncIterator[None]:
    """The page's next request to `url` is answered at the end, by what was the answer at the time."""
    fetched, waits_no_more = asyncio.Event(), asyncio.Event()

    async def answer(route: Route) -> None:
        held = await route.fetch()
        fetched.set()
        await waits_no_more.wait()
        await route.fulfill(response=held)

    await page.route(url, answer, times=1)
    async with page.expect_response(url):
        yield
        await fetched.wait()
        waits_no_more.set()


async def test_older_messages_come_as_one_scrolls_back_and_what_is_read_stays_where_it_is(
    browser: Browser, house: ChatHouse
) -> None:
    ada, bob = new_user(), new_user()
    async with talking(browser, house, ada) as at_ada, talking(browser, house, bob) as at_bob:
        await at_ada.begin(bob)
        await at_bob.conversation(ada).click()
        texts = [f"message {n}" for n in range(LONG_AGO)]
        await all_sent(house, ada, texts)
        await at_bob.page.reload()
        await at_bob.conversation(ada).click()
        await expect(at_bob.bubbles.last).to_be_in_viewport()
        while (shown := await at_bob.bubbles.count()) < LONG_AGO:
            moved = await at_bob.page.evaluate(SCROLLED_BACK)
            assert abs(moved) <= 1, f"what stood at the top moved by {moved} px"
            assert await at_bob.bubbles.count() > shown
        await at_bob.sees(*texts)
        await at_ada.say("news")
        await at_bob.page.get_by_role("button", name="New messages").click()
        await expect(at_bob.bubbles.last).to_be_in_viewport()
        await at_bob.text.fill("\n" * 8)  # which takes its room from the messages
        await expect(at_bob.bubbles.last).to_be_in_viewport()
        await expect(at_ada.receipts()).to_have_count(1)


# Scrolls to the top, waits for older messages, and answers by how much the first that was there has moved.
SCROLLED_BACK = """
new Promise((resolve) => {
  const list = document.getElementById("messages");
  const first = list.firstElementChild;
  let before;
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => resolve(first.getBoundingClientRect().top - before));
  }).observe(list, { childList: true });
  list.scrollTo({ top: 0, behavior: "instant" });
  before = first.getBoundingClientRect().top;
})
"""


async def all_sent(house: ChatHouse, user: str, texts: list[str]) -> None:
    """By a socket of the user's own, to its one conversation."""
    url = house.gateway.url("/v1/chat/ws", token=issue(user))
    (row,) = house.gateway.rows(f"SELECT conversation_id FROM chat_participant WHERE user_id = '{user}'")
    send = {"type": "message.send", "conversation_id": row["conversation_id"]}
    async with asyncio.timeout(60), connect(url, proxy=None) as socket:
        for text in texts:
            await socket.send(json.dumps({**send, "text": text, "idempotency_key": text}))
        while json.loads(await socket.recv()).get("idempotency_key") != texts[-1]:
            pass


async def test_nothing_is_missing_or_doubled_when_the_gateway_is_killed_while_both_write(
    browser: Browser, house: ChatHouse
) -> None:
    async with two_talking(browser, house, new_user(), new_user()) as (ada, bob):
        writing = asyncio.gather(*(writes(each, name) for each, name in ((ada, "ada"), (bob, "bob"))))
        await expect(bob.page.locator("#messages li:not(.waiting)")).not_to_have_count(0)
        house.gateway.program.kill()
        house.gateway.start()
        await writing
        await both_have_all(ada, bob)


async def test_nothing_is_missing_or_doubled_when_the_network_is_cut_for_long_or_for_a_moment(
    browser: Browser, house: ChatHouse
) -> None:
    ada, bob = new_user(), new_user()
    async with talking(browser, house, ada) as at_ada, talking(browser, house, bob) as at_bob:
        await at_ada.begin(bob)
        await at_ada.say("read this")
        await expect(at_bob.conversation(ada)).to_contain_text("1 unread")
        await at_ada.page.context.set_offline(True)
        await expect(at_ada.away).to_contain_text("no network")
        await at_ada.has_lost_its_socket()
        await at_bob.conversation(ada).click()
        await at_bob.say("I have", "again")
        await at_bob.sees("read this", "I have", "again")
        await at_ada.page.context.set_offline(False)
        await at_ada.sees("read this", "I have", "again")
        await expect(at_ada.receipts()).to_have_count(1)
        await at_ada.page.context.set_offline(True)
        await asyncio.gather(*(writes(each, name) for each, name in ((at_ada, "ada"), (at_bob, "bob"))))
        await expect(at_ada.page.locator("#messages .waiting")).to_have_count(EACH)
        await at_ada.page.context.set_offline(False)
        await both_have_all(at_ada, at_bob, "read this", "I have", "again")
        await expect(at_ada.away).to_be_empty()


async def writes(talker: Talker, name: str) -> None:
    await talker.say(*(f"{name} {n}" for n in range(EACH)))


async def both_have_all(ada: Talker, bob: Talker, *before: str) -> None:
    """The same in the same order, each user's own as written, and each other's last read."""
    count = len(before) + 2 * EACH
    for talker in (ada, bob):
        await expect(talker.page.locator("#messages li:not(.waiting)")).to_have_count(count)
    texts = await ada.bubbles.all_inner_texts()
    await bob.sees(*texts)
    for name in ("ada", "bob"):
        assert [text for text in texts if text.startswith(name)] == [f"{name} {n}" for n in range(EACH)]
    for talker in (ada, bob):
        await expect(talker.receipts()).to_have_count(1)


async def test_a_keyboard_is_enough(browser: Browser, house: ChatHouse) -> None:
    ada, bob = new_user(), new_user()
    async with visiting(browser, f"{house.url}/chat/") as page:
        keys, at_ada = page.keyboard, Talker(page)
        await come_in(page, token=issue(ada))
        await at_ada.is_connected()
        assert await focuses(page, 3) == ["Log out", "Talk to", "Begin"]
        await keys.press("Shift+Tab")
        await keys.type(bob)
        await keys.press("Enter")
        await expect(at_ada.text).to_be_focused()
        await keys.type("one")
        await keys.press("Shift+Enter")
        await keys.type("two")
        await keys.press("Enter")
        await at_ada.sees("one\ntwo")
        await keys.type("a draft")
        await keys.press("Escape")
        await expect(at_ada.conversation(bob)).to_be_focused()
        assert await focuses(page, 4) == ["Block", "Messages", "Message", "Send"]
        await keys.press("Escape")
        await keys.press("Enter")
        await expect(at_ada.text).to_be_focused()
        await expect(at_ada.text).to_have_value("a draft")


async def come_in(page: Page, *, token: str) -> None:
    """By keyboard, and after a slip."""
    await page.keyboard.type("nonsense")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="That is no token.")).to_be_visible()
    await page.keyboard.press("Control+A")
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")


async def focuses(page: Page, times: int) -> list[str]:
    """The names of what Tab leads to, each of which must show that it has the focus."""
    names = list[str]()
    for _ in range(times):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(FOCUSED)
        assert float(outline.removesuffix("px")) >= 2, name
        names.append(name)
    return names


FOCUSED = """(() => {
  const focused = document.activeElement;
  const name = focused.ariaLabel ?? focused.labels?.[0]?.textContent ?? focused.textContent;
  return [name || focused.textContent, getComputedStyle(focused).outlineWidth];
})()"""


async def test_who_is_refused_or_blocked_is_told_why_and_may_try_again(
    browser: Browser, house: ChatHouse
) -> None:
    forged = issue(key="f" * 64)
    async with visiting(browser, f"{house.url}/chat/#token={forged}") as page:
        await expect(page.get_by_role("alert").filter(has_text="authentication failed")).to_be_visible()
        await expect(page.get_by_label("Token")).to_be_focused()
    async with visiting(browser, f"{house.url}/chat/#token=half.a-token") as page:
        await expect(page.get_by_role("alert").filter(has_text="That is no token.")).to_be_visible()
    async with two_talking(browser, house, new_user(), new_user()) as (ada, bob):
        await bob.page.get_by_role("button", name="Block").click()
        await expect(ada.page.get_by_text("has blocked you.")).to_be_visible()
        await ada.say("hello?")
        await expect(ada.page.locator(".failed")).to_contain_text("Not sent: One of you has blocked")
        await bob.page.get_by_role("button", name="Unblock").click()
        await expect(bob.page.get_by_text("You have unblocked")).to_be_visible()
        await expect(ada.page.get_by_text("has unblocked you.")).to_be_visible()
        await ada.page.get_by_role("button", name="Try again").click()
        await bob.sees("hello?")
        await ada.sees("hello?")
        await ada.text.fill("x" * 4001)
        await ada.text.press("Enter")
        await expect(ada.page.get_by_text("Too long: 4001 characters, of 4000 at most.")).to_be_visible()
        await expect(ada.text).to_have_value("x" * 4001)


async def test_another_users_address_in_the_same_tab_is_that_user(browser: Browser, house: ChatHouse) -> None:
    ada, bob = new_user(), new_user()
    async with talking(browser, house, ada) as at_ada:
        await at_ada.begin(bob)
        await at_ada.page.goto(f"{house.url}/chat/#token={issue(bob)}")
        await expect(at_ada.page.locator("#me")).to_have_text(bob)
        await expect(at_ada.conversation(ada)).to_be_visible()
        assert at_ada.page.url == f"{house.url}/chat/"


async def test_on_a_phone_all_fits_light_and_dark_and_axe_finds_nothing_amiss(
    browser: Browser, house: ChatHouse
) -> None:
    ada, bob = new_user(), new_user()
    async with talking(browser, house, ada) as at_ada, talking(browser, house, bob, viewport=PHONE) as at_bob:
        await at_ada.begin(bob)
        await at_ada.say("Pneumonoultramicroscopicsilicovolcanoconiosis" * 9, "read this", *"abcdef")
        await expect(at_bob.conversation(ada)).to_contain_text("8 unread")
        await is_fine(at_bob.page)
        await at_bob.conversation(ada).click()
        await at_bob.say("hello")
        await expect(at_bob.receipts()).to_have_count(1)
        await at_bob.page.set_viewport_size(BESIDE_ITS_KEYBOARD)
        await expect(at_bob.bubbles.last).to_be_in_viewport(ratio=1)
        await at_bob.page.go_back()
        await expect(at_bob.conversation(ada)).to_be_focused()
        await at_ada.say("behind the list")
        await expect(at_bob.conversation(ada)).to_contain_text("1 unread")
        last = at_ada.page.locator("#messages li:last-child .read")
        await expect(last).to_be_empty()
        await at_bob.conversation(ada).click()
        await expect(last).to_have_text("Read")
        await at_bob.page.context.set_offline(True)
        await at_bob.say("hello, too")
        await is_fine(at_bob.page)


async def is_fine(page: Page) -> None:
    must_be_here("axe", "npm:axe-core")
    await page.evaluate((NODE_MODULES / "axe-core" / "axe.min.js").read_text())
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        violations = (await page.evaluate("axe.run()"))["violations"]
        assert not violations, (scheme, json.dumps(violations, indent=1))
