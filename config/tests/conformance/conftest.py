"""One gateway for each way that frames flow, before one echo."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pytest

from config.testing.gateway import Gateway, issue
from config.tests.conformance.upstream import EchoService


class Way(StrEnum):
    """How frames flow.

    `transparent`: a splice that looks at nothing, with compression end to end. `counted`: the studio's, whose
    messages are counted as they go by; tried where it differs, which is compression. `control`: the main
    route's, which looks for control messages. `inspected`: a route with a policy, which reads whole messages.
    `relay`: that of `serve`, for links that outlive their member. `daphne`: the relay on stock Daphne.
    """

    TRANSPARENT = "transparent"
    COUNTED = "counted"
    CONTROL = "control"
    INSPECTED = "inspected"
    RELAY = "relay"
    DAPHNE = "daphne"

    @property
    def is_spliced(self) -> bool:
        return self not in {Way.RELAY, Way.DAPHNE}


COMPRESSED = (Way.TRANSPARENT, Way.COUNTED)
PATHS = {Way.TRANSPARENT: "/transparent", Way.CONTROL: "/ws/experience", Way.INSPECTED: "/inspected"}


@dataclass(frozen=True, slots=True)
class Subject:
    """The gateway under test on one way, and the service behind it."""

    way: Way
    gateway: Gateway
    service: EchoService

    def url(self, name: str) -> str:
        """Where to connect as a user of that name, which the service will know the socket by."""
        path = PATHS.get(self.way, "/ws")
        return self.gateway.url(path, token=issue(name), experience=name)


Start = Callable[[str], Gateway]


@pytest.fixture(scope="module")
def service() -> Iterator[EchoService]:
    service = EchoService()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def start(service: EchoService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gateway]]:
    """`start(kind, NAME=value…)`: a started gateway; the same one for the same arguments."""
    running: dict[object, Gateway] = {}

    def once(kind: str, **env: str) -> Gateway:
        key = (kind, *sorted(env.items()))
        if key not in running:
            shared = {
                "ROUTES": "experience.routes.ROUTES,config.tests.conformance.routes.ROUTES",
                "KB_SERVICE_URL": f"http://127.0.0.1:{service.port}",
                "STUDIO_WS_URLS": f"ws://127.0.0.1:{service.port}",
                "STUDIO_PROBE": "none",
            }
            gateway = running[key] = Gateway(kind, tmp_path_factory.mktemp("gateway"), {**shared, **env})
            gateway.migrate()
            gateway.start()
        return running[key]

    yield once
    for gateway in running.values():
        try:
            assert gateway.stop() == 0
            assert "Traceback" not in gateway.program.output, gateway.program.tail()
        finally:
            gateway.close()


@pytest.fixture(params=[way for way in Way if way is not Way.COUNTED], scope="module", ids=str)
def subject(request: pytest.FixtureRequest, service: EchoService, start: Callable[..., Gateway]) -> Subject:
    way: Way = request.param
    if way is Way.RELAY:
        gateway = start("serve", STUDIO_RESUME="reconnect")
    else:
        gateway = start("daphne" if way is Way.DAPHNE else "serve")
    return Subject(way, gateway, service)


@pytest.fixture
def name() -> str:
    """A user, and the name of its socket."""
    return f"case-{uuid.uuid4().hex[:12]}"
