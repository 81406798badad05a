"""Real chat services as real processes, and clients of theirs."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect

from config.testing.gateway import SIGNING_KEY, issue
from config.testing.program import Program
from experience.chat.models import Conversation, Participant
from proxy.api import DatabaseExecutor

DEADLINE_SECONDS = 20.0
METRICS_TOKEN = "what a scraper of these tests has"


class ChatProgram(Program):
    """`manage.py chatservice` on a free port; `address` is its `host:port`."""

    address = ""

    def start(self) -> None:
        super().start()
        self.address = self.wait_for_output(r'"addresses": \["([^"]+)"').group(1)

    def counted(self) -> dict[str, float]:
        """What a scrape says now, as `name{label="value"}`."""
        request = Request(
            f"http://{self.address}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
        )
        with urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def url(self, user_id: str, **query: str) -> str:
        """A socket's URL of that user."""
        return f"ws://{self.address}/v1/chat/ws?{urlencode({'token': issue(user_id), **query})}"


class Chat:
    """A database with conversations, and the services that share it."""

    database: DatabaseExecutor  # of the test that runs

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self._directory = url, directory
        self._numbers = itertools.count(1)
        self.programs: list[ChatProgram] = []

    def service(self, **env: str) -> ChatProgram:
        """A further service, started."""
        number = next(self._numbers)
        program = ChatProgram(
            [sys.executable, "manage.py", "chatservice", "--port", "0"],
            name=f"chat-{number}",
            output_path=self._directory / f"chat-{number}.log",
            env={
                "SECRET_KEY": "a secret key that is used in tests only, and nowhere else",
                "JWT_SIGNING_KEY": SIGNING_KEY,
                "DATABASE_URL": self.url,
                "METRICS_TOKEN": METRICS_TOKEN,
                **env,
            },
        )
        self.programs.append(program)
        program.start()
        return program

    async def conversation(self, *users: str, name: str = "") -> str:
        """The id of a conversation of theirs, made in the database alone: nobody is told."""
        return await self.database.run(make_conversation, name or f"c{next(self._numbers)}", users)

    @contextmanager
    def ending(self) -> Iterator[Self]:
        """At the end each service that runs must end in good order."""
        try:
            yield self
            for program in self.programs:
                if program.running:
                    assert program.stop(number=signal.SIGTERM) == 0, program.tail()
        finally:
            for program in self.programs:
                program.kill()


def make_conversation(name: str, users: Iterable[str]) -> str:
    conversation = Conversation.objects.create(id=name, created_by=next(iter(users)))
    Participant.objects.bulk_create(Participant(conversation=conversation, user_id=user) for user in users)
    return conversation.id


class Talker:
    """A client that keeps what it hears."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def send(self, conversation_id: str, text: str, key: str = "") -> None:
        named = {"idempotency_key": key} if key else {}
        await self.say("message.send", conversation_id=conversation_id, text=text, **named)

    async def hear(self) -> dict[str, Any]:
        """The next message that is no ping: one may come at any time, soon after the accept, too."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                heard: dict[str, Any] = json.loads(await self.socket.recv())
                if heard["type"] != "ping":
                    return heard

    async def hear_until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of that type with those fields; what comes before it is passed over."""
        while True:
            heard = await self.hear()
            if heard["type"] == kind and fields.items() <= heard.items():
                return heard

    async def hear_messages(self, count: int) -> list[dict[str, Any]]:
        """The next so many `message.created`, without their types."""
        return [await self.hear_until("message.created") for _ in range(count)]

    async def hears_nothing_before_pong(self) -> list[dict[str, Any]]:
        """All that comes before the answer to a ping."""
        await self.say("ping")
        heard: list[dict[str, Any]] = []
        while (message := await self.hear())["type"] != "pong":
            heard.append(message)
        return heard


@asynccontextmanager
async def talking(program: ChatProgram, user_id: str, **query: str) -> AsyncIterator[Talker]:
    async with connect(program.url(user_id, **query), proxy=None, compression=None) as socket:
        yield Talker(socket)


def texts(messages: Collection[dict[str, Any]]) -> list[str]:
    return [message["message"]["text"] for message in messages]
