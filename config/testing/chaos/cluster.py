"""The parts, as processes that can be killed, started again, frozen and thawed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import psutil
import psycopg

from config.testing.chaos.changes import STREAM, make_stream
from config.testing.front import Front
from config.testing.nodes import Node
from config.testing.program import Program, ProgramFailed, free_port
from config.testing.servers import JetStreamServer, PostgresServer, Server, ValkeyServer

START_SECONDS = 30.0
MANAGE = [sys.executable, "manage.py"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `start` waits until it serves."""

    name: str
    program: Callable[[], Program]
    start: Callable[[], Awaitable[object]]

    def kill(self) -> None:
        """`kill -9`."""
        self.program().kill()

    def freeze(self) -> list[psutil.Process]:
        """SIGSTOP all of its processes; answers them, for `thaw`."""
        parent = psutil.Process(self.program().pid)
        frozen = [parent, *parent.children(recursive=True)]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        return frozen


def thaw(frozen: list[psutil.Process]) -> None:
    for process in frozen:
        process.send_signal(signal.SIGCONT)


class Cluster:
    """All parts. `async with` starts them; whatever happens, none is left."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sluicegate-chaos-"))
        self.postgres, self.valkey = PostgresServer(), ValkeyServer(self.directory)
        self.nats = JetStreamServer(self.directory)
        self.kb_port = free_port()
        self._kb = Program(
            [sys.executable, "-m", "config.testing.echo", str(self.kb_port)],
            name="kb",
            output_path=self.directory / "kb.log",
        )

    async def __aenter__(self) -> Cluster:
        try:
            await self._start()
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is None:
            shutil.rmtree(self.directory)

    async def _start(self) -> None:
        for server in (self.postgres, self.valkey, self.nats):
            await asyncio.to_thread(server.start)
        await make_stream(self.nats.url)
        await self._start_kb()
        self.database_url = self.postgres.create_database()
        env = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.valkey.url,
            "NATS_URL": self.nats.url,
            "NATS_STREAM": STREAM,
            "KB_SERVICE_URL": f"http://127.0.0.1:{self.kb_port}",
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        port = free_port()
        hosts = {"gateway-1": "127.0.0.2", "gateway-2": "127.0.0.3"}
        self.nodes = [Node(name, self.directory, env, host=host, port=port) for name, host in hosts.items()]
        self._migrate(self.nodes[0].env)
        await asyncio.gather(*(node.start() for node in self.nodes))
        self.front = Front(self.directory, {node.name: node.address for node in self.nodes})
        await asyncio.to_thread(self.front.start)

    def parts(self) -> list[Part]:
        """Those of which there is one, and a gateway of each name."""
        nodes = [Part(node.name, partial(_program_of_node, node), node.start) for node in self.nodes]
        servers: dict[str, Server] = {
            "nginx": self.front,
            "PostgreSQL": self.postgres,
            "Valkey": self.valkey,
            "NATS": self.nats,
        }
        others = [
            Part(name, partial(_program_of, server), partial(_started_again, server))
            for name, server in servers.items()
        ]
        return [*nodes, *others, Part("the service", lambda: self._kb, self._start_kb)]

    def live_records(self) -> int:
        """Rows of links that are open, as the record has it."""
        with psycopg.connect(self.database_url, connect_timeout=5) as database:
            found = database.execute(
                "SELECT count(*) FROM proxy_connection WHERE closed_at IS NULL"
            ).fetchone()
        assert found is not None
        return int(found[0])

    async def _start_kb(self) -> None:
        self._kb.start()
        await asyncio.to_thread(self._kb.wait_for_port, self.kb_port)

    def _migrate(self, env: dict[str, str]) -> None:
        log = self.directory / "migrate.log"
        migrate = Program([*MANAGE, "migrate"], name="migrate", output_path=log, env=env)
        migrate.start()
        assert migrate.wait_for_exit(within_seconds=60) == 0, migrate.output

    def _end(self) -> None:
        if hasattr(self, "front"):
            self.front.close()
        for node in getattr(self, "nodes", ()):
            node.program.kill()
        self._kb.kill()
        self.nats.kill()
        self.valkey.kill()
        self.postgres.remove()


def _program_of_node(node: Node) -> Program:
    return node.program


def _program_of(server: Server) -> Program:
    assert server.program is not None
    return server.program


async def _started_again(server: Server) -> None:
    """What was killed may hold its port or its lock a little longer, as PostgreSQL's children do."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return await asyncio.to_thread(server.start)
        except ProgramFailed:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
