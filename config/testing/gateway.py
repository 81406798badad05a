"""A real gateway process for tests, and hand-written upstreams behind it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
from psycopg.rows import dict_row
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from config.testing import migrated
from config.testing.program import Program, free_port, listening_socket
from config.testing.starts import run

SIGNING_KEY = "a signing key that is used in tests only, and nowhere else"
COMMANDS = {
    "daphne": [sys.executable, "-m", "daphne", "config.asgi:application"],
    "serve": [sys.executable, "manage.py", "serve"],
}

# What keeps many tests in one process out of each other's way; `tuned=False` leaves it out.
TUNED = {
    "MAX_CONNECTIONS_PER_IP": "100000",
    "MAX_CONNECTIONS_PER_USER": "100000",
    "CONNECT_RATE_PER_IP": "100000/s",
    "DIAL_TIMEOUT_SECONDS": "2",
    "SLOW_CONSUMER_SECONDS": "2",
    "DRAIN_SECONDS": "1",
}

Upstream = Callable[[ServerConnection], Awaitable[None]]
RawUpstream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def issue(user: str = "42", *, key: str = SIGNING_KEY, minutes: float = 60, **claims: Any) -> str:
    """A token of `user`, as an external issuer would make it."""
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    return jwt.encode({"sub": user, "exp": expires, **claims}, key, algorithm="HS256")


class Gateway:
    """One gateway process of either kind (`daphne`: the relay; `serve`: the splice), and its database.

    `kb_port` is where its KB service is expected, and its chat service; `serving(handler)` puts one there.
    Without `tuned` it has the settings that nobody changed.
    """

    def __init__(self, kind: str, directory: Path, env: Mapping[str, str], *, tuned: bool = True) -> None:
        self.kind, self.directory = kind, directory
        self.kb_port = free_port()
        self._listener = listening_socket()
        self.port: int = self._listener.getsockname()[1]
        self.env = {
            "SECRET_KEY": "a secret key that is used in tests only, and nowhere else",
            "JWT_SIGNING_KEY": SIGNING_KEY,
            "KB_SERVICE_URL": f"http://127.0.0.1:{self.kb_port}",
            "KB_PROBE": "none",  # a test's own upstream should see its clients only
            "CHAT_SERVICE_URL": env.get("KB_SERVICE_URL", f"http://127.0.0.1:{self.kb_port}"),
            "CHAT_PROBE": "none",
            "DATABASE_URL": f"sqlite:///{directory / 'gateway.sqlite3'}",
            **(TUNED if tuned else {}),
            **env,
        }
        self.program = Program(
            [*COMMANDS[kind], "--fd", str(self._listener.fileno())],
            name=f"gateway-{kind}-{self.port}",
            output_path=directory / f"gateway-{kind}-{self.port}.log",
            env=self.env,
            fds=(self._listener.fileno(),),
        )

    @classmethod
    @contextmanager
    def running(cls, kind: str, directory: Path, env: Mapping[str, str]) -> Iterator[Gateway]:
        """One with every table, started; however it goes, it is ended."""
        gateway = cls(kind, directory, env)
        try:
            gateway.migrate()
            gateway.start()
            yield gateway
        finally:
            gateway.close()

    def manage(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with this gateway's environment."""
        return run([sys.executable, "manage.py", *words], env=self.env, check=check)

    def migrate(self) -> None:
        """Give its database every table."""
        settings = self.env.get("DJANGO_SETTINGS_MODULE", "config.settings")
        if not migrated.copied_to(self.env["DATABASE_URL"], settings=settings):
            self.manage("migrate", "-v0")

    def start(self) -> None:
        """Start it; clients may connect at once, since the socket listens already."""
        self.program.start()

    def stop(self) -> int:
        """End it politely and answer its exit status."""
        return self.program.stop()

    def close(self) -> None:
        """End it, however, and give its port back."""
        self.program.kill()
        self._listener.close()

    def url(self, path: str = "/ws/experience", *, token: str | None = "", **query: str) -> str:
        """A client's URL. `token` "" stands for a valid one of user 42; None sends none."""
        values = {"experience": "wylding-woods", **query}
        if token is not None:
            values["token"] = token or issue()
        return f"ws://127.0.0.1:{self.port}{path}?{urlencode(values)}"

    @asynccontextmanager
    async def serving(self, handler: Upstream, **options: Any) -> AsyncIterator[str]:
        """`handler` as the KB service; yields a client's URL. `options` go to `websockets`' serve()."""
        options = {"compression": None, "max_size": None, "close_timeout": 2, **options}
        async with serve(handler, "127.0.0.1", self.kb_port, **options):
            yield self.url()

    @asynccontextmanager
    async def serving_raw(self, handler: RawUpstream) -> AsyncIterator[str]:
        """`handler` as a bare TCP upstream, for what no WebSocket library would do. Its sockets end here."""
        writers: list[asyncio.StreamWriter] = []

        async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)

        async with await asyncio.start_server(tracked, "127.0.0.1", self.kb_port):
            yield self.url()
            for writer in writers:
                writer.transport.abort()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    def connect(self, url: str, **options: Any) -> AbstractAsyncContextManager[ClientConnection]:
        options = {"compression": None, "proxy": None, "max_size": None, "close_timeout": 2, **options}
        return connect(url, **options)

    def records(self, where: str = "1=1") -> list[dict[str, Any]]:
        """Rows of the connection record, oldest first."""
        return self.rows(f"SELECT * FROM proxy_connection WHERE {where} ORDER BY opened_at")

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What its database answers."""
        url = self.env["DATABASE_URL"]
        if url.startswith("postgres"):
            with psycopg.connect(url, row_factory=dict_row) as database:
                return database.execute(query).fetchall()
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query)]

    async def wait_for_records(
        self, where: str, count: int = 1, *, within_seconds: float = 30
    ) -> list[dict[str, Any]]:
        """The rows, as soon as there are `count` of them."""
        async with asyncio.timeout(within_seconds):
            while len(rows := await asyncio.to_thread(self.records, where)) != count:
                await asyncio.sleep(0.05)
        return rows

    async def get(self, path: str, *, within_seconds: float = 30) -> tuple[int, str]:
        """Status and body of an HTTP path. One that starts under load answers when it gets to it."""

        def fetch() -> tuple[int, str]:
            try:
                url = f"http://127.0.0.1:{self.port}{path}"
                with urllib.request.urlopen(url, timeout=within_seconds) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(fetch)

    async def wait_until_ready(self, *, within_seconds: float = 30, **parts: object) -> dict[str, Any]:
        """The answer of /ready once its `parts` are as given, such as `redis=True`."""
        answer: dict[str, Any] = {}
        async with asyncio.timeout(within_seconds):
            while not answer or any(answer[part] != wanted for part, wanted in parts.items()):
                await asyncio.sleep(0.05)
                answer = json.loads((await self.get("/ready"))[1])
        return answer
