"""The load generator: WebSocket clients on picows and uvloop, light enough not to be what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import uvloop
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

T = TypeVar("T")
OPEN_SECONDS = 60.0
CLOSE_SECONDS = 20.0
ECHO_SECONDS = 5.0
MAX_FRAME_BYTES = 16 << 20
HEAD, MIDDLE, TAIL = b'{"seq":"', b'","pad":"', b'"}'
_SEQUENCE = slice(len(HEAD), len(HEAD) + 7)

HandshakeRefused = WSError
run = uvloop.run


def message(sequence: int, size_bytes: int) -> bytes:
    """A JSON text of exactly `size_bytes`, at least 27, that carries its place in the sequence."""
    padding = size_bytes - len(HEAD) - 7 - len(MIDDLE) - len(TAIL)
    return b"%b%07d%b%b%b" % (HEAD, sequence, MIDDLE, b"x" * padding, TAIL)


def sequence_of(frame: WSFrame) -> int:
    """Where the message stands in its sequence; -1 if it is no message of ours."""
    try:
        return int(bytes(frame.get_payload_as_memoryview()[_SEQUENCE]))
    except ValueError:
        return -1


class Link(WSListener):
    """One client. Give `on_message` something to do; what comes before that is ignored."""

    def __init__(self) -> None:
        self.transport: WSTransport | None = None
        self.url = ""
        self.on_message: Callable[[Link, WSFrame], None] = ignore
        self.alive = False
        self.sent = 0
        self.received = 0
        self.disordered = 0
        self.sent_at = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.alive = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
            self.on_message(self, frame)
        elif kind is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.alive = False

    def send(self, payload: bytes) -> None:
        self.sent += 1
        self.transport.send(WSMsgType.TEXT, payload)

    def check(self, frame: WSFrame) -> None:
        """Count an answer, and whether it is the one whose turn it is."""
        if sequence_of(frame) != self.received:
            self.disordered += 1
        self.received += 1


def ignore(_: Link, __: WSFrame) -> None:
    """What a link does with messages until a measure says otherwise."""


async def open_one(url: str) -> Link:
    _, link = await ws_connect(
        Link, url, max_frame_size=MAX_FRAME_BYTES, websocket_handshake_timeout=30, read_buffer_init_size=2048
    )
    link.url = url
    return link


async def open_links(urls: Iterable[str], *, at_once: int) -> list[Link]:
    """Open a link to each URL, `at_once` at a time; the first that fails, fails all."""
    waiting = iter(urls)
    links: list[Link] = []

    async def opener() -> None:
        for url in waiting:
            links.append(await open_one(url))

    try:
        async with asyncio.timeout(OPEN_SECONDS), asyncio.TaskGroup() as openers:
            for n in range(at_once):
                openers.create_task(opener(), name=f"opener:{n}")
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return links


async def close_links(links: list[Link]) -> None:
    """The closing handshake on every link, CLOSE_SECONDS for all; what is left then is cut off."""
    for link in links:
        if link.alive:
            link.transport.send_close(WSCloseCode.OK)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            for link in links:
                await link.transport.wait_disconnected()
    for link in links:
        if link.alive:
            link.transport.disconnect(False)
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def opened(urls: Iterable[str], *, at_once: int = 50) -> AsyncIterator[list[Link]]:
    links = await open_links(urls, at_once=at_once)
    try:
        yield links
    finally:
        await close_links(links)


async def echo_once(url: str) -> None:
    async with opened([url], at_once=1) as (link,):
        await echoes([link])


async def echoes(links: list[Link]) -> None:
    """One short message there and back on every link; raises TimeoutError if one does not answer."""
    missing = len(links)
    done = asyncio.get_running_loop().create_future()

    def count(link: Link, _: WSFrame) -> None:
        nonlocal missing
        link.on_message = ignore
        missing -= 1
        if not missing and not done.done():
            done.set_result(None)

    for link in links:
        link.on_message = count
        link.transport.send(WSMsgType.TEXT, message(0, 32))
    async with asyncio.timeout(ECHO_SECONDS + len(links) / 500):
        await done


def undisturbed(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run with the generator's own garbage collection out of the way."""
    gc.collect()
    gc.disable()
    try:
        return run(coroutine)
    finally:
        gc.enable()
