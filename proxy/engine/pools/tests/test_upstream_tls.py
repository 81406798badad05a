"""Members behind TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from proxy.core.limits import LinkLimits
from proxy.core.pools.health import Probe
from proxy.engine.pools.dial import DialFailed, DialRequest, Target, default_ssl_context, dial_leg
from proxy.engine.pools.probes import probe_http, probe_websocket
from proxy.engine.pools.rawdial import dial_raw

WAYS: list[Any] = [partial(dial_leg, limits=LinkLimits()), dial_raw]


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's authorities are the test's own certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    default_ssl_context.cache_clear()
    yield
    default_ssl_context.cache_clear()


def answer(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "fine\n") if request.path == "/health" else None


@asynccontextmanager
async def service(certificate: Path) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serve(
        ServerConnection.wait_closed, "127.0.0.1", 0, ssl=context, process_request=answer, compression=None
    ) as server:
        yield f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.mark.usefixtures("trusted")
async def test_all_dials_and_probes_of_members_behind_tls_share_one_context(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[ssl.SSLContext] = []
    build = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        built.append(build())
        return built[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    async with service(certificate) as url, asyncio.timeout(30):
        for _ in range(2):
            for way in WAYS:
                (await way(Target(url), DialRequest(path="/ws"))).abort()
            await probe_websocket(Target(url + "/ws"), Probe())
            await probe_http(Target(url + "/health"), Probe())
    assert built == [default_ssl_context()]


async def test_a_member_whose_certificate_nobody_vouches_for_is_not_connected(certificate: Path) -> None:
    async with service(certificate) as url, asyncio.timeout(30):
        for way in WAYS:
            target = Target(url)
            with pytest.raises(DialFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await way(target, DialRequest())
            assert not target.is_connected
