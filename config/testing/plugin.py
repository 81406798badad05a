"""pytest fixtures: real servers, started when a test first asks for them, and programs under test.

`fork_server` (session, always): Python programs are forks of one that has imported the libraries.
`real_starts` (test): they are not.
`spawn` (a test): `spawn(argv, name=…, env={…}, fds=[…], ready="pattern")` is a started `Program`.
`valkey_server` (session), `valkey` (test): `ValkeyServer` with `url`; `valkey` is sure to run, and empty.
`postgres_server` (session), `postgres` (test): `PostgresServer` with `create_database()`.
`way_to_postgres` (test): a `Forwarder` to it, which can freeze.
`database_url` (test): a new PostgreSQL database of its own.
`nats_server` (session), `nats` (test): `NatsServer` with `url`; `jetstream` (test): one with JetStream.
`rabbitmq_server` (module), `rabbitmq` (test): `RabbitMQServer` with `url` and `ctl`; Debian's.
`nginx` (test): `nginx("server { listen 127.0.0.1:{port}; … }")` is a started `NginxServer` with `url`.
`front` (test): `front({"gateway-1": (host, port), "gateway-2": …})` is the nginx of docker-compose.yml.
`certificate` (test): the path of a self-signed certificate for 127.0.0.1, its key in the same file.

Every server has `kill()`, `stop()` and `start()`, which finds the same port again.
When a test fails, the last output of each of its programs is part of the report.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from coverage.exceptions import CoverageWarning
from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from config.testing.certificates import write_self_signed
from config.testing.forwarder import Forwarder
from config.testing.front import Front
from config.testing.program import Program
from config.testing.rabbitmq import RabbitMQServer
from config.testing.servers import (
    JetStreamServer,
    NatsServer,
    NginxServer,
    PostgresServer,
    Server,
    ValkeyServer,
)
from config.testing.starts import BASE_DIR, ForkServer, forking

# How long it takes to draw examples says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("suite", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

_SHOWN: list[Program | Server] = []  # whose output a failure's report shows


# Fixtures that start gateways, services, brokers or the like for a test, or let one start them.
_STARTS_PROGRAMS = frozenset(
    {"broker", "chat", "checkout", "front", "gateway", "gateway_before", "instances", "jetstream"}
    | {"kb_environment", "make_gateway", "make_nodes", "migrated_postgres", "nodes", "own_valkey"}
    | {"rabbitmq_server", "shared_chat", "spawn", "stack", "studios", "way_to_postgres"}
)


class Spawn(Protocol):
    """Start a program for the length of the test; `ready` is a pattern of its output to wait for."""

    def __call__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        ready: str | None = None,
        within_seconds: float = 15,
        cwd: Path = BASE_DIR,
    ) -> Program: ...


@receiver(setting_changed)
def _forget_verifier(*, setting: str, **_: Any) -> None:
    """A process makes its verifier once; a test that changes its settings has another."""
    if setting.startswith("JWT_"):
        from proxy.tokens import token_verifier  # which needs settings

        token_verifier.cache_clear()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts programs of ours takes long, and need not say so."""
    for item in items:
        if not _STARTS_PROGRAMS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("long")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """When the tests are over, pytest-cov reads what each program noted. One that was killed as it wrote
    left a file without tables: what it covered is lost, and nothing is wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Data file .* isn't a coverage data file", CoverageWarning)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if report.failed:
        asked_for = [shown for shown in _SHOWN if not isinstance(shown, Server) or _asks_for(item, shown)]
        programs = [shown.program if isinstance(shown, Server) else shown for shown in asked_for]
        report.sections.extend(
            (f"output of {program.name}", program.tail()) for program in programs if program
        )
    return report


def _asks_for(item: pytest.Item, server: Server) -> bool:
    return any(name.startswith(server.name) for name in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """What starts Python programs; under coverage, which a start sets up, they start for real."""
    server = ForkServer()
    with forking(None if "COVERAGE_PROCESS_CONFIG" in os.environ else server):
        yield
    server.end()


@pytest.fixture(autouse=True)
def nobody_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of the HTTP API that other tests of this process were refused do not count."""
    if rates := sys.modules.get("proxy.rest.rates"):
        monkeypatch.setattr(rates, "REFUSED", rates.UserRate(lambda: settings.API_RATE_PER_USER))


@pytest.fixture
def real_starts() -> Iterator[None]:
    """The test's programs start as their users start them, with imports of their own."""
    with forking(None):
        yield


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Programs end in the reverse order of their start: SIGTERM, then SIGKILL."""
    programs: list[Program] = []

    def start(
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        ready: str | None = None,
        within_seconds: float = 15,
        cwd: Path = BASE_DIR,
    ) -> Program:
        output_path = tmp_path / f"{name}-{len(programs)}.log"
        program = Program(argv, name=name, output_path=output_path, env=env, fds=fds, cwd=cwd)
        programs.append(program)
        _SHOWN.append(program)
        program.start()
        if ready is not None:
            program.wait_for_output(ready, within_seconds=within_seconds)
        return program

    yield start
    _end(programs)


def _end(programs: list[Program]) -> None:
    """Ask all of them to end, then see to it."""
    for program in reversed(programs):
        _SHOWN.remove(program)
        try:
            if program.running:
                program.stop(within_seconds=10)
        finally:
            program.kill()


def _serving(server: Server) -> Iterator[Any]:
    _SHOWN.append(server)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()
        _SHOWN.remove(server)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One Valkey a test process; for fixtures that outlive a test. Tests take `valkey`."""
    yield from _serving(ValkeyServer(tmp_path_factory.mktemp("valkey")))


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """A running, empty Valkey. A test may kill it: the next one finds it started again, on the same port."""
    valkey_server.ensure_running()
    valkey_server.flush()
    return valkey_server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, for what gateways that others share must not hear: `drain --all`."""
    yield from _serving(ValkeyServer(tmp_path))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL a test process."""
    server = PostgresServer()
    try:
        yield from _serving(server)
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A running PostgreSQL. A test may kill it."""
    postgres_server.ensure_running()
    return postgres_server


@pytest.fixture
async def way_to_postgres(postgres: PostgresServer) -> AsyncIterator[Forwarder]:
    """What stands between a test's clients and PostgreSQL, and can freeze."""
    async with Forwarder(postgres.port).open() as forwarder:
        yield forwarder


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A new empty database of its own for the test."""
    url = postgres.create_database()
    yield url
    postgres.ensure_running()
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS a test process."""
    yield from _serving(NatsServer(tmp_path_factory.mktemp("nats")))


@pytest.fixture
def nats(nats_server: NatsServer) -> NatsServer:
    """A running NATS. A test may kill it."""
    nats_server.ensure_running()
    return nats_server


@pytest.fixture
def jetstream(tmp_path: Path) -> Iterator[JetStreamServer]:
    """A running NATS with JetStream, the test's alone. A test may kill it."""
    yield from _serving(JetStreamServer(tmp_path))


@pytest.fixture(scope="module")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """One RabbitMQ for the tests of a file; each names queues of its own. See `needs_rabbitmq`."""
    yield from _serving(RabbitMQServer(tmp_path_factory.mktemp("rabbitmq")))


@pytest.fixture
def rabbitmq(rabbitmq_server: RabbitMQServer) -> RabbitMQServer:
    """A running RabbitMQ. A test may kill it."""
    rabbitmq_server.ensure_running()
    return rabbitmq_server


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[str], NginxServer]]:
    """Start nginx with the given inside of `http { … }`; `{port}` becomes its port."""
    servers: list[Iterator[Any]] = []

    def start(configuration: str) -> NginxServer:
        servers.append(_serving(NginxServer(tmp_path, configuration)))
        server = next(servers[-1])
        assert isinstance(server, NginxServer)
        return server

    yield start
    for running in servers:
        next(running, None)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    write_self_signed(path)
    return path


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Start the nginx of docker-compose.yml before gateways at the given hosts and ports, by name."""
    fronts: list[Front] = []

    def start(addresses: Mapping[str, tuple[str, int]], *, is_outermost: bool = False) -> Front:
        front = Front(tmp_path, addresses)
        front.is_outermost = is_outermost
        fronts.append(front)
        _SHOWN.append(front)
        front.start()
        return front

    yield start
    for front in fronts:
        _SHOWN.remove(front)
        front.close()
