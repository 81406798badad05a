"""clients/js as a test holds it: a page in Node, what it is told to do, and what it tells."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from config.testing.gateway import issue
from config.testing.starts import BASE_DIR
from config.tests.clients.programs import NODE, is_here

JS_DIR = BASE_DIR / "clients" / "js"
needs_node = pytest.mark.skipif(not is_here(NODE), reason=f"{NODE} is not here (docs/development.md)")


class Page:
    """A running clients/js/tests/program.js. `token` answers it; `expired` is what it asked for each time."""

    def __init__(self, process: asyncio.subprocess.Process, token: Callable[[], str]) -> None:
        self._process, self._token = process, token
        self.expired: list[bool] = []

    def tell(self, *words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")

    async def hear(self, name: str, *, skipping: tuple[str, ...] = ("state",)) -> Any:
        """The detail of the next that it tells, which has to be of that name, but for what is skipped."""
        async with asyncio.timeout(40):
            while True:
                told, detail = await self._next()
                if told == name:
                    return detail
                assert told in skipping, (told, detail)

    async def becomes(self, state: str) -> None:
        """Until it is in that state; whatever it tells before is left out."""
        async with asyncio.timeout(40):
            while await self._next() != ["state", state]:
                pass

    async def ended(self) -> int:
        """The status of the program once it has nothing left to do."""
        self.tell("leave")
        async with asyncio.timeout(10):
            return await self._process.wait()

    async def _next(self) -> list[Any]:
        assert self._process.stdout is not None
        while True:
            line = await self._process.stdout.readline()
            assert line, "the program has ended"
            told: list[Any] = json.loads(line)
            if told[0] != "token":
                return told
            self.expired.append(told[1]["expired"])
            self.tell("token", self._token())


@asynccontextmanager
async def page(
    url: str, options: Mapping[str, Any] | None = None, *, token: Callable[[], str] = issue
) -> AsyncIterator[Page]:
    """A page that has begun to connect; `options` are the client's."""
    process = await asyncio.create_subprocess_exec(
        *("node", "--no-warnings", "--experimental-websocket", str(JS_DIR / "tests" / "program.js")),
        json.dumps({"url": url, "options": options or {}}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        yield Page(process, token)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
