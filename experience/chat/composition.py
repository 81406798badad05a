"""The service put together from the settings, and its life: from the first connection to the last write."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from django.conf import settings

from experience import settings as product
from experience.chat import outgoing
from experience.chat.announcing import Announcer
from experience.chat.attendance import Attendance
from experience.chat.conversations import Conversations
from experience.chat.operations import Operations
from experience.chat.reads import Reads
from experience.chat.service import ChatService
from experience.chat.writer import Writer
from proxy.api import (
    Background,
    DatabaseExecutor,
    EventPlane,
    Hooks,
    listen,
    serve_application,
    token_verifier,
)

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
# What is on its way to the database at the end may take so long.
FINISH_SECONDS = 5.0


def serve(*, host: str, port: int) -> int:
    """Run the service until SIGTERM or SIGINT; answers the exit status. Raises OSError: it cannot listen."""
    life = Life()
    listening_socket = listen(host, port)
    log.info("listening", extra={"addresses": ["{}:{}".format(*listening_socket.getsockname()[:2])]})
    if not settings.REDIS_URL:
        log.warning("no REDIS_URL: other instances, and the HTTP API, are heard seconds late")
    return serve_application(life, listening_socket=listening_socket, hooks=life, drain_seconds=DRAIN_SECONDS)


class Life(Hooks):
    """The application of the server, on whose loop it makes the service as that starts."""

    _service: ChatService

    async def __call__(
        self, scope: Mapping[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]
    ) -> None:
        await self._service(scope, receive, send)

    async def on_started(self) -> None:
        self._verifier, self._background = token_verifier(), Background()
        # Whoever writes waits for nobody who reads.
        self._to_write, self._to_read, self._to_send = (DatabaseExecutor() for _ in range(3))
        self._plane, self._announcer = EventPlane(), Announcer(uuid.uuid4().hex)
        self._writer = Writer(self._to_write)
        self._conversations = Conversations(self._to_read, self._plane, self._announcer)
        self._attendance = Attendance(self._to_read, self._plane, self._conversations)
        self._reads = Reads(self._to_write, self._conversations)
        self._operations = Operations(
            self._conversations,
            self._writer,
            self._reads,
            most_characters=product.CHAT_TEXT_CHARACTERS,
        )
        self._service = ChatService(
            verify=self._verifier.verify, attendance=self._attendance, operations=self._operations
        )
        for name, work in self._work():
            self._background.start(name, work)

    def _work(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        yield "plane", self._plane.run
        yield "announcer", self._announcer.run
        yield "writer", self._writer.run
        yield "conversations", self._conversations.run
        yield "attendance", self._attendance.run
        yield "reads", self._reads.run
        yield "pings", self._service.sockets.ping_forever
        if product.CHAT_EVENTS != "off":
            yield "events", partial(outgoing.send, self._to_send.run)
        if self._verifier.jwks is not None:
            yield "jwks", self._verifier.jwks.run

    async def on_stopped(self) -> None:
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self._writer.until_idle()
                await self._reads.until_idle()
                await self._announcer.until_idle()
        except TimeoutError:
            log.warning("not everything was kept and told at the end")
        await self._background.stop()
        await asyncio.gather(self._to_write.close(), self._to_read.close(), self._to_send.close())
