"""Two real gateways behind each proxy of deploy/proxies that can run here."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from config.testing import migrated
from config.testing.certificates import write_self_signed
from config.testing.gateway import issue
from config.testing.nodes import Node
from config.testing.players import waited_for
from config.testing.program import Program, free_port, listening_socket
from config.testing.proxies import DEBIANS_NGINX, HAPROXY, NEWEST_NGINX, HAProxyFront, NginxFront, TlsFront
from config.testing.servers import ValkeyServer

KINDS: dict[str, tuple[type[TlsFront], Path, str]] = {
    "nginx": (NginxFront, NEWEST_NGINX, ""),
    "debians-nginx": (NginxFront, DEBIANS_NGINX, "nginx-light"),
    "haproxy": (HAProxyFront, HAPROXY, "haproxy"),
}


def needs(program: Path, package: str) -> pytest.MarkDecorator:
    """`.ci/run` installs what is of Debian, and there none may be left out."""
    is_absent = not program.exists() and os.environ.get("CI") != "true"
    return pytest.mark.skipif(is_absent, reason=f"needs apt-get install {package}")


EACH = [pytest.param(name, marks=needs(path, package)) for name, (_, path, package) in KINDS.items()]


@dataclass(frozen=True, slots=True)
class Stack:
    """A proxy in front of two gateways."""

    front: TlsFront
    nodes: tuple[Node, Node]

    def connect(self, path: str = "/ws", *, user: str = "ada", **options: Any) -> Client:
        """A client of `user` over TLS, which says nothing by itself."""
        return self.connect_with(issue(user), path, **options)

    def connect_with(self, token: str, path: str = "/ws", **options: Any) -> Client:
        url = f"wss://{self.front.host}{path}?experience=e&token={token}"
        own = {"ssl": self.front.trust, "proxy": None, "ping_interval": None, "close_timeout": 2}
        return connect(url, **{"compression": None, "max_size": None, **own, **options})

    async def takes_newcomers(self, node: Node) -> bool:
        """Whether one of two that come now comes to `node`."""
        user = f"newcomer-{uuid.uuid4().hex}"
        async with self.connect(user=user), self.connect(user=user):
            return user in users_on(node)


def users_on(node: Node) -> set[str]:
    """Who has come to it since its start."""
    lines = [line for line in node.program.output.splitlines() if '"link opened"' in line]
    return {json.loads(line)["user_id"] for line in lines}


Client = AbstractAsyncContextManager[ClientConnection]


@dataclass(frozen=True, slots=True)
class Behind:
    """Two gateways on one database and one Valkey, and their services."""

    nodes: tuple[Node, Node]
    kb: Program
    kb_port: int

    async def have_all(self) -> None:
        """Start what is not there, or what a test has ended."""
        if not self.kb.running:
            self.kb.start()
            await asyncio.to_thread(self.kb.wait_for_port, self.kb_port)
        for node in self.nodes:
            if not node.program.running:
                await node.start()
            await waited_for(partial(node.answers, "/ready"), within_seconds=30)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer) -> Iterator[Behind]:
    """All but the proxy, which `running` puts in front. Nothing but the studio runs yet."""
    directory = tmp_path_factory.mktemp("behind")
    kb_port = free_port()
    words = [sys.executable, "-m", "config.testing.echo", str(kb_port)]
    kb = Program(words, name="kb", output_path=directory / "kb.log")
    with listening_socket() as listener:
        fd = listener.fileno()
        words = [sys.executable, "-m", "config.tests.clients.echo", str(fd)]
        studio = Program(words, name="studio", output_path=directory / "studio.log", fds=(fd,))
        studio_url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        kb_url = f"http://127.0.0.1:{kb_port}"
        nodes = nodes_of(directory, valkey_server, KB_SERVICE_URL=kb_url, STUDIO_WS_URLS=studio_url)
        try:
            studio.start()
            yield Behind(nodes, kb, kb_port)
        finally:
            for program in (*(node.program for node in nodes), studio, kb):
                program.kill()


def nodes_of(directory: Path, valkey: ValkeyServer, **env: str) -> tuple[Node, Node]:
    """Not started."""
    valkey.ensure_running()
    valkey.flush()
    database_url = f"sqlite:///{directory / 'gateway.sqlite3'}"
    migrated.copied_to(database_url, settings="config.settings")
    both = {
        "DATABASE_URL": database_url,
        "REDIS_URL": valkey.url,
        "TRUSTED_PROXIES": "127.0.0.1",
        "MAX_CONNECTIONS_PER_IP": "1000",
        "MAX_CONNECTIONS_PER_USER": "1000",
        "CONNECT_RATE_PER_IP": "1000/s",
        "DRAIN_SECONDS": "2",
        **env,
    }
    one, other = (
        Node(name, directory, both, host="127.0.0.1", port=free_port()) for name in ("one", "other")
    )
    return one, other


@contextmanager
def in_front(
    name: str, directory: Path, nodes: tuple[Node, Node], *, edit: Callable[[str], str] = str
) -> Iterator[TlsFront]:
    """The proxy of that name, started."""
    kind, program, _ = KINDS[name]
    certificate = directory / "tls.pem"
    write_self_signed(certificate)
    front = kind(program, directory, certificate=certificate, ports=(nodes[0].port, nodes[1].port))
    front.edit = edit
    try:
        front.start()
        yield front
        front.stop()
    finally:
        front.kill()


@pytest.fixture(scope="module", params=EACH)
def running(
    request: pytest.FixtureRequest, behind: Behind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A proxy in front, of each kind in turn, started. Tests take `stack`."""
    asyncio.run(behind.have_all())
    with in_front(request.param, tmp_path_factory.mktemp(request.param), behind.nodes) as front:
        yield Stack(front, behind.nodes)


@pytest.fixture
async def stack(running: Stack, behind: Behind) -> Stack:
    """With all behind it there and asked, whatever the test before has ended."""
    await behind.have_all()
    for node in behind.nodes:
        await waited_for(partial(running.takes_newcomers, node), within_seconds=30)
    return running
