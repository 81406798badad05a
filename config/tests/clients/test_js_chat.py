"""The chat of clients/js through real gateways to the real chat service, which are killed under it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.clients.chat_house import ChatHouse, chat_house
from config.tests.clients.page import JS_DIR, needs_node

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180), needs_node]

EACH = 30


class Chatter:
    """A running clients/js/tests/chat_program.js. `heard` is what it was told, by name."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._changed = asyncio.Condition()
        self.heard: list[list[Any]] = []

    async def call(self, method: str, *values: Any) -> Any:
        """What it answers, or the code that it fails with."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, method, *values]).encode() + b"\n")
        answer = await self._answers[number]
        return answer.get("code", answer.get("value"))

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [detail for name, detail in self.heard if name == "message" and detail["type"] == kind]

    @property
    def texts(self) -> list[str]:
        return [created["message"]["text"] for created in self.said("message.created")]

    async def until(self, condition: Any, meaning: str) -> None:
        try:
            async with asyncio.timeout(60), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"waited {meaning}, heard {self.heard}") from None

    async def is_open(self, times: int = 1) -> None:
        await self.until(lambda: self.heard.count(["state", "open"]) >= times, "to be open")

    async def listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            name, detail = json.loads(line)
            if name == "answer":
                self._answers.pop(detail["number"]).set_result(detail)
                continue
            async with self._changed:
                self.heard.append([name, detail])
                self._changed.notify_all()


@asynccontextmanager
async def chatting(gateway: Gateway, user: str, **options: Any) -> AsyncIterator[Chatter]:
    said = {"url": f"http://127.0.0.1:{gateway.port}", "token": issue(user), "options": options}
    process = await asyncio.create_subprocess_exec(
        *("node", "--no-warnings", "--experimental-websocket", str(JS_DIR / "tests" / "chat_program.js")),
        json.dumps(said),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 20,
        env={"PATH": os.environ["PATH"]},
    )
    chatter = Chatter(process)
    listening = asyncio.create_task(chatter.listen(), name=f"chatter:{user}")
    try:
        await chatter.is_open()
        yield chatter
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await asyncio.wait([listening])


@pytest.fixture
def house(tmp_path: Path, valkey: ValkeyServer) -> Iterator[ChatHouse]:
    with chat_house(tmp_path, valkey.url) as house:
        yield house


async def test_two_users_chat_see_each_other_type_and_read_back(house: ChatHouse) -> None:
    async with chatting(house.gateway, "ada") as ada, chatting(house.gateway, "bob") as bob:
        room = (await ada.call("createConversation", ["bob"]))["id"]
        for chatter in (ada, bob):
            await chatter.until(lambda chatter=chatter: chatter.said("conversation.changed"), "to hear of it")
        await bob.call("follow", room)
        await ada.call("setTypingState", room, True)
        await bob.until(lambda: bob.said("conversation.typing"), "to see ada type")
        first = await ada.call("sendChatMessage", room, "hi")
        second = await bob.call("sendChatMessage", room, "hello")
        assert [first["text"], second["sender_id"]] == ["hi", "bob"]
        await bob.until(lambda: bob.texts == ["hi", "hello"], "to hear both")
        await bob.call("setReadState", room, second["id"])
        await ada.until(lambda: ada.said("message.read"), "to see that bob has read")
        assert (await bob.call("history", room, {"before": second["id"]}))["messages"] == [first]
        assert [one["id"] for one in (await ada.call("conversations"))["conversations"]] == [room]
        assert await ada.call("sendChatMessage", "elsewhere", "hi") == "access_denied"


async def test_all_that_is_sent_while_gateway_and_service_are_killed_is_heard_once_and_in_one_order(
    house: ChatHouse,
) -> None:
    async with chatting(house.gateway, "ada") as ada, chatting(house.gateway, "bob") as bob:
        room = (await ada.call("createConversation", ["bob"]))["id"]
        sends = []
        for chatter, name in ((ada, "ada"), (bob, "bob")):
            await chatter.call("follow", room)
            sends += [chatter.call("sendChatMessage", room, f"{name} {n}") for n in range(EACH)]
        sending = asyncio.gather(*sends)
        await ada.until(lambda: len(ada.texts) >= EACH // 3, "a third of them")
        house.gateway.program.kill()
        house.gateway.start()
        await asyncio.gather(ada.is_open(2), bob.is_open(2))
        house.service.kill()
        house.service.start()
        stored = await sending
        assert all(isinstance(message, dict) for message in stored), stored
        for chatter in (ada, bob):
            await chatter.until(lambda chatter=chatter: len(chatter.texts) >= 2 * EACH, "all of them")
        assert ada.texts == bob.texts
        assert len(ada.texts) == 2 * EACH
        for name in ("ada", "bob"):
            assert [text for text in ada.texts if text.startswith(name)] == [
                f"{name} {n}" for n in range(EACH)
            ]
