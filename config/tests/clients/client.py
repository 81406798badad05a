"""A client of the matrix as a test holds it: a program that is told what to do, and says what happened."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from config.testing.starts import BASE_DIR
from config.tests.clients.programs import Kind

ANSWER_SECONDS = 20.0
END_SECONDS = 3.0
LONGEST_LINE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """`status` is None where the client cannot see it."""

    status: int | None


@dataclass(frozen=True, slots=True)
class Closed:
    code: int
    reason: str


Heard = Opened | Refused | Closed | str | bytes


class Client:
    """One running client; clients/matrix/contract.py says the lines."""

    def __init__(self, kind: Kind, process: asyncio.subprocess.Process) -> None:
        self.kind, self._process = kind, process

    async def open(self, url: str) -> Heard:
        self._tell("open", url)
        return await self.hear()

    async def send(self, message: str | bytes) -> None:
        """Tell it to send; nothing says that it has."""
        if isinstance(message, str):
            self._tell("text", _encoded(message.encode()))
        else:
            self._tell("binary", _encoded(message))

    async def send_fragments(self, *fragments: str) -> None:
        self._tell("fragments", *(_encoded(fragment.encode()) for fragment in fragments))

    async def close(self, code: int, reason: str) -> None:
        self._tell("close", str(code), _encoded(reason.encode()))

    async def ask(self, message: str | bytes) -> Heard:
        """Tell it to send `message`; the next that it hears."""
        await self.send(message)
        return await self.hear()

    async def hear(self) -> Heard:
        """What happened next; fails when nothing did in time, or the program ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = (await self._process.stdout.readline()).decode()
        assert line, f"{self.kind.name} has ended"
        return _heard(*line.rstrip("\r\n").split(" "))

    def _tell(self, *words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words).encode() + b"\n")


def _encoded(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def _heard(word: str, first: str = "", second: str = "") -> Heard:
    match word:
        case "opened":
            return Opened()
        case "refused":
            return Refused(int(first) if first else None)
        case "closed":
            return Closed(int(first), base64.b64decode(second).decode())
        case "text":
            return base64.b64decode(first).decode()
        case "binary":
            return base64.b64decode(first)
    raise AssertionError(f"not in the contract: {word} {first} {second}")


@asynccontextmanager
async def running(kind: Kind, places: Mapping[str, str]) -> AsyncIterator[Client]:
    """The started client; `places` fill its command line. A failure shows its stderr."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(word.format_map(places) for word in kind.argv),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
        env=kept,
        cwd=BASE_DIR,
    )
    try:
        yield Client(kind, process)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """By the end of its input; by force when a socket is still open, or when Mono hangs in its shutdown."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
