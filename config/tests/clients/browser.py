"""A page of a running Chromium as a test holds it, over its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

ANSWER_SECONDS = 30.0


class Browser:
    """One page. In it `say(value)` is heard by the test, as JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._loaded = asyncio.Event()
        self._session: str | None = None

    async def visit(self, url: str) -> None:
        """Open `url` as a page of a profile of its own, which ends with the connection."""
        context = await self._call("Target.createBrowserContext", disposeOnDetach=True)
        target = await self._call(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            await self._call(f"{domain}.enable")
        await self._call("Runtime.addBinding", name="sayText")
        await self._call("Page.navigate", url=url)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._loaded.wait()
        await self.run("globalThis.say = (value) => sayText(JSON.stringify(value))")

    async def run(self, script: str) -> None:
        """Evaluate it, and wait for what it promises; fails with what it throws."""
        answer = await self._call("Runtime.evaluate", expression=script, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer

    async def hear(self) -> Any:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._said.get()

    async def set_offline(self, offline: bool) -> None:
        """As the network tab does: `navigator.onLine` and its events, and nothing goes through."""
        await self._call(
            "Network.emulateNetworkConditions",
            offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1,
        )  # fmt: skip

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if answer := self._answers.pop(message.get("id", 0), None):
                answer.set_result(message)
            elif message["method"] == "Runtime.bindingCalled":
                self._said.put_nowait(json.loads(message["params"]["payload"]))
            elif message["method"] == "Page.loadEventFired":
                self._loaded.set()

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        session = {} if self._session is None else {"sessionId": self._session}
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params, **session}))
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._answers[number]
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result


@asynccontextmanager
async def visiting(devtools: str, url: str) -> AsyncIterator[Browser]:
    """A page at `url` in the Chromium whose DevTools are there."""
    async with connect(devtools, compression=None, proxy=None, max_size=None) as socket:
        browser = Browser(socket)
        listening = asyncio.create_task(browser.listen(), name="devtools")
        try:
            await browser.visit(url)
            yield browser
        finally:
            listening.cancel()
            await asyncio.wait([listening])
