"""Fresh gateways as anybody would start them, and what the clients of the matrix stand on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from config.testing.gateway import SIGNING_KEY, Gateway
from config.testing.program import Program, free_port, listening_socket
from config.testing.publisher import Publisher
from config.testing.servers import ValkeyServer
from config.testing.starts import forking
from config.testing.studio import StudioInstance
from config.tests.clients.browser import chromium
from config.tests.clients.node import Node, StaffDesk
from config.tests.clients.programs import MATRIX_DIR, Kind, is_here
from config.tests.clients.staff import MAKE_ADA, Players, quiet_service
from config.tests.conftest import MakeGateway

CHROMIUM_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One place of the matrix: a client on a route of a server; without a `path`, on those of the product."""

    server: str
    path: str
    kind: Kind

    def __str__(self) -> str:
        return ":".join(filter(None, (self.path, self.kind.name)))


def nothing_may_be_missing() -> bool:
    """On the machine that decides, a client that cannot play is a failure."""
    return os.environ.get("CI") == "true" and os.geteuid() == 0


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@contextmanager
def program(argv: list[str], directory: Path, *, name: str, fds: tuple[int, ...] = ()) -> Iterator[Program]:
    running = Program(argv, name=name, output_path=directory / f"{name}.log", fds=fds)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="session")
def echo_address(directory: Path) -> Iterator[str]:
    """Where the echo listens, as host:port."""
    with listening_socket() as listener:
        fd = listener.fileno()
        argv = [sys.executable, "-m", "config.tests.clients.echo", str(fd)]
        with program(argv, directory, name="echo", fds=(fd,)):
            yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="session")
def socketio_address(directory: Path) -> Iterator[str]:
    """Where a Socket.IO server listens, as host:port."""
    with listening_socket() as listener:
        fd = listener.fileno()
        argv = [
            sys.executable,
            "-m",
            "daphne",
            "--fd",
            str(fd),
            "config.tests.pools.socketio_server:application",
        ]
        with program(argv, directory, name="socketio", fds=(fd,)):
            yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="session")
def desk(directory: Path) -> StaffDesk:
    """A migrated database with one of staff in it, for each node to start from."""
    return StaffDesk.furnished(directory)


@pytest.fixture(scope="session")
def devtools(directory: Path) -> Iterator[str]:
    """A running Chromium's address."""
    argv = ["chromium", *CHROMIUM_OPTIONS, f"--user-data-dir={directory / 'chromium'}", "about:blank"]
    with program(argv, directory, name="chromium") as chromium:
        yield chromium.wait_for_output(r"DevTools listening on (\S+)", within_seconds=60)[1]


@pytest.fixture(scope="session")
def built(directory: Path) -> Path:
    """Where the compiled clients are."""
    source, out = MATRIX_DIR / "Mono.cs", directory / "mono.exe"
    command = ["mcs", "-langversion:7", "-warnaserror", f"-out:{out}", str(source)]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    return directory


def must_be_here(name: str, *needs: str) -> None:
    """A client that is not installed is skipped; where nothing may be missing, that is a failure."""
    if missing := [need for need in needs if not is_here(need)]:
        why = f"{name} left out: {', '.join(missing)} not here (docs/development.md)"
        pytest.fail(why) if nothing_may_be_missing() else pytest.skip(why)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium for pages, whose tests share the module's event loop."""
    must_be_here("pages in Chromium", "chromium")
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(make_gateway: MakeGateway) -> AsyncIterator[Gateway]:
    """With a service behind it, and ada who may do everything in admin."""
    gateway = make_gateway(HTTPS_ONLY="false")
    gateway.manage("shell", "-v0", "-c", MAKE_ADA)
    async with gateway.serving(quiet_service):
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def players(gateway: Gateway) -> AsyncIterator[Players]:
    async with Players(gateway) as players:
        yield players


def places_of(kind: Kind, request: pytest.FixtureRequest) -> dict[str, str]:
    """What the client's command line names, started or compiled."""
    must_be_here(kind.name, *kind.needs)
    wanted = {name for name in ("devtools", "built") if any(f"{{{name}}}" in word for word in kind.argv)}
    return {name: str(request.getfixturevalue(name)) for name in wanted}


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    """The client of the test's cell."""
    found: Kind = request.node.callspec.params["node"].kind
    return found


@pytest.fixture(scope="session")
def reference_services(
    directory: Path, desk: StaffDesk, valkey_server: ValkeyServer
) -> Iterator[dict[str, str]]:
    """The reference KB and studio services; yields the settings that point a gateway at them."""
    studio = StudioInstance("studio-1", directory)
    shutil.copy(desk.database, directory / "kb.sqlite3")
    env = {
        "SECRET_KEY": SIGNING_KEY,
        "JWT_SIGNING_KEY": SIGNING_KEY,
        "DATABASE_URL": f"sqlite:///{directory / 'kb.sqlite3'}",
        "REDIS_URL": valkey_server.url,
    }
    kb_port = free_port()
    kb = Program(
        [sys.executable, "manage.py", "kbservice", "--port", str(kb_port)],
        name="kb",
        output_path=directory / "kb.log",
        env=env,
    )
    try:
        kb.start()
        studio.start()
        kb.wait_for_port(kb_port)
        yield {"KB_SERVICE_URL": f"http://127.0.0.1:{kb_port}", "STUDIO_WS_URLS": studio.url}
    finally:
        kb.kill()
        studio.program.kill()


def services_of(cell: Cell, request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that say what is behind the cell's node; without a path, the reference services are."""
    if not cell.path:
        services: dict[str, str] = request.getfixturevalue("reference_services")
        return services
    speaks = cell.kind.name == "socketio"
    address = request.getfixturevalue("socketio_address" if speaks else "echo_address")
    services = {"KB_SERVICE_URL": f"http://{address}", "STUDIO_WS_URLS": f"ws://{address}"}
    return services | ({"STUDIO_SOCKETIO_NAMESPACES": "/admin"} if speaks else {})


@pytest.fixture(scope="module")
def node(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    valkey_server: ValkeyServer,
    desk: StaffDesk,
) -> Iterator[Node]:
    """A gateway that has just been started for `request.param`, with the settings that nobody changed."""
    cell: Cell = request.param
    places = places_of(cell.kind, request)
    services = services_of(cell, request)
    valkey_server.ensure_running()
    valkey_server.flush()
    directory = tmp_path_factory.mktemp("node")
    shutil.copy(desk.database, directory / "gateway.sqlite3")
    gateway = Gateway(cell.server, directory, {"REDIS_URL": valkey_server.url, **services}, tuned=False)
    with forking(None):
        gateway.start()
    yield Node(gateway, desk, cell.path, places)
    try:
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.program.output, gateway.program.tail()
    finally:
        gateway.close()


@pytest.fixture
async def publisher(valkey_server: ValkeyServer) -> AsyncIterator[Publisher]:
    publisher = Publisher(valkey_server.url)
    yield publisher
    await publisher.close()
