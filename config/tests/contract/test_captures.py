"""What a path captures reaches the service, and nothing that it captures changes where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.uri import parse_uri

from config.testing.gateway import Gateway, issue
from config.tests.contract.conftest import KINDS
from config.tests.contract.test_handshake import check


@pytest.fixture(params=KINDS, scope="module")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    routes = {"ROUTES": "config.tests.contract.routes.ROUTES"}
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), routes) as gateway:
        yield gateway


async def asked(gateway: Gateway, path: str, *, user: str = "7") -> Request:
    """What the service is asked by a link to `path`, which is sent as it is."""
    seen: list[Request] = []

    async def look(service: ServerConnection) -> None:
        assert service.request is not None
        seen.append(service.request)

    url = f"ws://127.0.0.1:{gateway.port}{path}"
    whole = replace(parse_uri(url), path=urlsplit(url).path)  # the library takes off what follows a semicolon
    headers = {"Authorization": f"Bearer {issue(user)}", "X-Shop": "forged"}
    async with gateway.serving(look), asyncio.timeout(20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("websockets.asyncio.client.parse_uri", lambda _: whole)
            client = await gateway.connect(url, additional_headers=headers).__aenter__()
        await client.wait_closed()
    (request,) = seen
    return request


@pytest.mark.parametrize(
    ("shop", "filled"),
    [
        ("north-1", "north-1"),
        ("a%20b", "a%20b"),
        ("caf%C3%A9", "caf%C3%A9"),
        ("a%3Fb%23c", "a%3Fb%23c"),
        ("%252e%252e", "%252e%252e"),
        ("a;b@c:d", "a%3Bb%40c%3Ad"),
        ("...", "..."),
    ],
)
async def test_what_the_path_captures_fills_the_members_path(
    gateway: Gateway, shop: str, filled: str
) -> None:
    request = await asked(gateway, f"/shops/{shop}/orders/7")
    assert request.path == f"/v1/{filled}/7/ws"


async def test_what_the_path_captures_is_told_by_query_and_header_and_the_clients_own_is_not(
    gateway: Gateway,
) -> None:
    request = await asked(gateway, f"/named/{quote('Čaj & co/1')}?shop=forged&size=2")
    assert request.path == "/ws?shop=%C4%8Caj+%26+co%2F1&size=2"
    assert request.headers.get_all("X-Shop") == ["%C4%8Caj%20&%20co/1"]


@pytest.mark.parametrize("start", ["asked", "replaced"])
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a;b;c", "a%3Bb%3Bc"),
        ("a;v=1/b", "a%3Bv=1/b"),
        ("a/;", "a/%3B"),
        ("a%3Bb", "a%3Bb"),
        ("a%5Cb", "a%5Cb"),
        ("a%3Fb%23c", "a%3Fb%23c"),
    ],
)
async def test_a_path_that_is_passed_on_reaches_the_service_whole(
    gateway: Gateway, start: str, path: str, told: str
) -> None:
    request = await asked(gateway, f"/{start}/{path}")
    assert request.path == f"/{start}/{told}"


@pytest.mark.parametrize(
    "path",
    [
        "/shops/../orders/7",
        "/shops/%2e%2e/orders/7",
        "/shops/./orders/7",
        "/shops/..%5Cadmin/orders/7",
        "/asked/a/../b",
        "/asked/%2e%2e/b",
        "/asked/..%2Fb",
        "/asked/a/..;",
        "/asked/a/.;x",
        "/asked/..%3B/b",
        "/asked/a%5C..%5Cb",
        "/replaced/a/..;x",
        "/shops/..;x/orders/7",
    ],
)
async def test_a_path_that_leads_elsewhere_than_it_says_is_a_400(gateway: Gateway, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await asked(gateway, path)
    check(gateway, refused.value.response, 400, "bad_request")


async def test_the_log_names_the_member_that_knows_nothing_by_that_name(gateway: Gateway) -> None:
    def refuse(service: ServerConnection, _: Request) -> Response:
        return service.respond(HTTPStatus.NOT_FOUND, "no such shop\n")

    url = f"ws://127.0.0.1:{gateway.port}/shops/none/orders/404?token={issue()}"
    async with gateway.serving(ServerConnection.wait_closed, process_request=refuse):
        with pytest.raises(InvalidStatus):
            await gateway.connect(url).__aenter__()
    said = gateway.program.wait_for_output(r".*handshake refused.*/shops/none/orders/404.*").group(0)
    line = json.loads(said)
    assert (line["status"], line["why"]) == (404, "the upstream answered 404")
    assert line["upstream"] == f"ws://127.0.0.1:{gateway.kb_port}/v1/{{shop}}/{{order}}/ws"


@pytest.mark.parametrize(
    "path", ["//shops/north/orders/7", "///named/tea", "//a/named/tea", "/shops//north/orders/7"]
)
async def test_a_path_that_is_only_like_the_routes_is_not_the_routes(gateway: Gateway, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await asked(gateway, path)
    check(gateway, refused.value.response, 404, "not_found")


@pytest.mark.parametrize("path", ["/shops/%FF/orders/7", "/asked/a/%C3", "/named/%ED%A0%80"])
async def test_a_path_that_is_no_text_is_a_400(gateway: Gateway, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await asked(gateway, path)
    check(gateway, refused.value.response, 400, "bad_request")


async def test_the_record_has_the_path_that_was_asked_for_and_the_member_as_it_was_declared(
    gateway: Gateway,
) -> None:
    await asked(gateway, "/shops/north/orders/9", user="recorded")
    (row,) = await gateway.wait_for_records("user_id = 'recorded'")
    assert row["upstream"] == f"ws://127.0.0.1:{gateway.kb_port}/v1/{{shop}}/{{order}}/ws"
    assert row["path"] == "/shops/north/orders/9"
