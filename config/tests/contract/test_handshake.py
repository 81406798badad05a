"""Who is let in, what the upstream is told, and how each refusal looks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from config.testing.gateway import Gateway, issue


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def refusal(gateway: Gateway, url: str, **options: Any) -> Response:
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.connect(url, **options):
            pass
    return refused.value.response


def check(gateway: Gateway, response: Response, status: int, code: str) -> None:
    """Stock Daphne can only say 403; `serve` says what DESIGN.md's table does."""
    if gateway.kind == "daphne":
        assert response.status_code == 403
        return
    assert response.status_code == status
    body = json.loads(response.body or b"")
    assert body["code"] == code
    assert set(body) - {"retry_after_ms"} == {"code", "message"}
    assert ("retry-after" in response.headers) == ("retry_after_ms" in body) == (status == 503)


async def test_the_token_may_come_by_header_query_or_subprotocol(gateway: Gateway) -> None:
    token = issue("7")
    bare = gateway.url(token=None)
    async with gateway.serving(wait), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=token)) as by_query:
            assert by_query.subprotocol is None
        async with gateway.connect(bare, additional_headers={"Authorization": f"Bearer {token}"}):
            pass
        async with gateway.connect(bare, subprotocols=["bearer", token]) as by_subprotocol:
            assert by_subprotocol.subprotocol == "bearer"


async def test_a_bare_token_among_the_subprotocols_is_taken_and_goes_nowhere_else(gateway: Gateway) -> None:
    seen: list[list[str]] = []

    async def look(upstream: ServerConnection) -> None:
        assert upstream.request is not None
        seen.append(upstream.request.headers.get_all("Sec-WebSocket-Protocol"))
        await upstream.wait_closed()

    def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if name == "kb.v1"), None)

    token, bare = issue("7"), gateway.url(token=None)
    async with gateway.serving(look, select_subprotocol=choose), asyncio.timeout(30):
        async with gateway.connect(bare, subprotocols=[token]) as alone:
            assert alone.subprotocol is None
        async with gateway.connect(bare, subprotocols=["kb.v2", token, "kb.v1"]) as beside_others:
            assert beside_others.subprotocol == "kb.v1"
    assert seen == [[], ["kb.v2, kb.v1"]]
    assert token.rpartition(".")[2] not in gateway.program.output


@pytest.mark.parametrize(("others", "answered"), [([], None), (["kb.v1"], "kb.v1"), (["bearer"], "bearer")])
async def test_a_refusal_by_close_never_answers_with_the_token(
    gateway: Gateway, others: list[str], answered: str | None
) -> None:
    url = gateway.url(token=None, refuse="close")
    async with asyncio.timeout(30), gateway.connect(url, subprotocols=[*others, issue(minutes=-1)]) as client:
        await client.wait_closed()
    assert (client.close_code, client.subprotocol) == (4010, answered)


@pytest.mark.parametrize("path", ["/ws/experience", "/ws/v1/experience"])
async def test_the_upstream_gets_token_and_experience_and_nothing_else(gateway: Gateway, path: str) -> None:
    seen: list[Request] = []

    async def look(upstream: ServerConnection) -> None:
        assert upstream.request is not None
        seen.append(upstream.request)

    token = issue("7")
    url = gateway.url(path, token=token, experience="wylding woods & co", secret="no")
    async with gateway.serving(look), asyncio.timeout(30), gateway.connect(url) as client:
        await client.wait_closed()
    (request,) = seen
    assert request.path == f"/ws/experience?experience=wylding+woods+%26+co&token={token}"
    assert "X-Request-Id" in request.headers
    assert "Cookie" not in request.headers


async def test_subprotocols_are_negotiated_with_the_upstream(gateway: Gateway) -> None:
    async with gateway.serving(wait, subprotocols=["kb.v2"]) as url, asyncio.timeout(30):
        async with gateway.connect(url, subprotocols=["kb.v1", "kb.v2"]) as client:
            assert client.subprotocol == "kb.v2"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "authentication_failed"),
        ("garbage", "authentication_failed"),
        (issue(key="somebody else's key, which is long enough to be one"), "authentication_failed"),
        (issue(minutes=-1), "token_expired"),
        (issue(exp=(int(time.time()) + 600) * 1000), "authentication_failed"),
        (issue(aud="somebody else"), "authentication_failed"),
    ],
    ids=["none", "garbage", "wrong key", "expired", "milliseconds", "audience"],
)
async def test_without_a_valid_token_the_experience_answers_403(
    gateway: Gateway, token: str | None, code: str
) -> None:
    async with asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url(token=token)), 403, code)


async def test_refuse_close_accepts_and_closes_with_the_matching_code(gateway: Gateway) -> None:
    async with asyncio.timeout(30), gateway.connect(gateway.url(token=None, refuse="close")) as client:
        await client.wait_closed()
    assert client.close_code == (4908 if gateway.kind == "daphne" else 1008)


async def test_a_path_that_no_route_knows_answers_404(gateway: Gateway) -> None:
    async with asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url("/no/such/path/here")), 404, "not_found")


async def test_an_experience_is_required(gateway: Gateway) -> None:
    async with asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url(experience="")), 400, "bad_request")


async def test_an_upstream_that_does_not_run_answers_503(gateway: Gateway) -> None:
    async with asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url()), 503, "upstream_unavailable")


@pytest.mark.parametrize(
    ("upstream_status", "status", "code"),
    [
        (401, 401, "service_refused"),
        (403, 403, "service_refused"),
        (404, 404, "not_found"),
        (418, 502, "upstream_refused"),
        (429, 503, "service_busy"),
        (500, 502, "upstream_refused"),
        (503, 503, "service_busy"),
    ],
)
async def test_an_upstreams_refusal_is_answered_in_our_own_words(
    gateway: Gateway, upstream_status: int, status: int, code: str
) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(upstream_status, "inner words that no client may read\n")

    async with gateway.serving(wait, process_request=refuse) as url, asyncio.timeout(30):
        response = await refusal(gateway, url)
    check(gateway, response, status, code)
    assert b"inner words" not in (response.body or b"")


@pytest.mark.parametrize("pieces", [1, 3], ids=["at once", "in pieces"])
async def test_a_services_401_reaches_the_client_with_the_services_reason(
    gateway: Gateway, pieces: int
) -> None:
    body = b'{"detail": "Your guild is full."}'
    head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in [head + body] if pieces == 1 else [head, body[:10], body[10:]]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with gateway.serving_raw(refuse), asyncio.timeout(30):
        response = await refusal(gateway, gateway.url())
        async with gateway.connect(gateway.url(refuse="close")) as client:
            await client.wait_closed()
    check(gateway, response, 401, "service_refused")
    if gateway.kind == "serve":  # stock Daphne sends no reasons
        assert (client.close_code, client.close_reason) == (
            1008,
            "refused by the service: Your guild is full.",
        )
        assert json.loads(response.body or b"")["message"] == "Your guild is full."


SAYS_SO = b'{"code": "token_expired", "message": "The token has expired."}'


@pytest.mark.parametrize(
    ("minutes", "body", "code"),
    [
        (60, SAYS_SO, 4010),
        (0.05, b"", 4010),
        (0.05, b'{"detail": "Not you."}', 4010),
        (60, b'{"code": ["token_expired"]}', 1008),
        (60, b"token_expired", 1008),
    ],
    ids=["the service says so", "it runs out now", "now, other words", "no code", "no JSON"],
)
async def test_a_token_that_expires_on_its_way_to_the_service_lets_the_client_come_back_with_a_fresh_one(
    gateway: Gateway, minutes: float, body: bytes, code: int
) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(401, body.decode())

    async with gateway.serving(wait, process_request=refuse), asyncio.timeout(30):
        response = await refusal(gateway, gateway.url(token=issue(minutes=minutes)))
        async with gateway.connect(gateway.url(token=issue(minutes=minutes), refuse="close")) as client:
            await client.wait_closed()
    told = (403, "token_expired") if code == 4010 else (401, "service_refused")
    check(gateway, response, *told)
    assert client.close_code == (4908 if (gateway.kind, code) == ("daphne", 1008) else code)


async def test_a_busy_services_time_to_come_back_reaches_the_client(gateway: Gateway) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(503, "no room\n")
        response.headers["Retry-After"] = "7"
        return response

    async with gateway.serving(wait, process_request=refuse) as url, asyncio.timeout(30):
        responses = [await refusal(gateway, url) for _ in range(5)]
        async with gateway.connect(gateway.url(refuse="close")) as client:
            await client.wait_closed()
    for response in responses:  # all alike: a service that says so is there, and no breaker opens
        check(gateway, response, 503, "service_busy")
    if gateway.kind == "serve":  # stock Daphne sends no headers and no reasons
        assert {response.headers["Retry-After"] for response in responses} == {"7"}
        assert (client.close_code, client.close_reason) == (4013, "service busy; retry in 7000 ms")


async def test_an_upstream_that_never_answers_the_handshake_answers_504(gateway: Gateway) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with gateway.serving_raw(silent), asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url()), 504, "upstream_timeout")


async def test_an_upstream_that_drops_the_handshake_answers_502(gateway: Gateway) -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with gateway.serving_raw(drop), asyncio.timeout(30):
        check(gateway, await refusal(gateway, gateway.url()), 502, "upstream_refused")


async def test_a_client_that_leaves_while_we_dial_ends_the_dial(gateway: Gateway) -> None:
    dialled, dropped = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        dialled.set()
        await reader.read()
        dropped.set()

    async with gateway.serving_raw(silent), asyncio.timeout(30):
        connecting = asyncio.create_task(gateway.connect(gateway.url()).__aenter__())
        await dialled.wait()
        connecting.cancel()
        async with asyncio.timeout(1.5):  # less than the dial's own deadline
            await dropped.wait()
