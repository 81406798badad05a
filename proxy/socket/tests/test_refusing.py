"""A refusal, as each kind of server and client can see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core import errors
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import GatewayError, LegClosed
from proxy.socket.asgi_leg import AsgiLeg, send_close
from proxy.socket.refusing import DENIAL_EXTENSION, refuse

DENIAL: dict[str, Any] = {"extensions": {DENIAL_EXTENSION: {}}}


class Server:
    """Takes what is sent; like stock Daphne, raises at close codes that it cannot send."""

    def __init__(self, *, stock: bool = False) -> None:
        self.stock = stock
        self.sent: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        code = message.get("code", 1000)
        if self.stock and code != 1000 and code < 3000:
            raise Exception("invalid close code")  # as autobahn does
        self.sent.append(message)


async def refused(scope: dict[str, Any], error: GatewayError, **options: Any) -> list[dict[str, Any]]:
    server = Server(stock=options.pop("stock", False))
    await refuse(scope, server.send, error, **options)
    return server.sent


async def test_a_server_with_the_denial_response_answers_status_and_json() -> None:
    start, body = await refused(DENIAL, errors.TooMany("per_ip", limit=10, retry_after_seconds=1.2))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"2"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert json.loads(body["body"]) == {
        "code": "too_many",
        "message": "Too many connections of one address: at most 10.",
        "retry_after_ms": 1200,
        "bound": "per_ip",
    }


async def test_a_failure_that_need_not_be_waited_out_says_nothing_of_when() -> None:
    start, _ = await refused(DENIAL, errors.NotFound("x"))
    assert b"retry-after" not in dict(start["headers"])


@pytest.mark.parametrize(("status", "error"), [(403, errors.TokenExpired()), (503, errors.Overloaded("x"))])
async def test_a_route_chooses_the_status_of_failed_authentication_only(
    status: int, error: GatewayError
) -> None:
    start, _ = await refused(DENIAL, error, unauthenticated_status=403)
    assert start["status"] == status


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
async def test_a_server_without_it_is_told_to_close(scope: dict[str, Any]) -> None:
    sent = await refused(scope, errors.Blocked("x"))
    assert sent == [{"type": "websocket.close", "code": 4003, "reason": "blocked"}]


async def test_a_client_that_cannot_see_a_status_is_accepted_and_closed() -> None:
    scope = {**DENIAL, "query": {"refuse": "close"}, "refusal_subprotocol": "bearer"}
    accept, close = await refused(scope, errors.TokenExpired())
    assert accept == {"type": "websocket.accept", "subprotocol": "bearer"}
    assert close == {"type": "websocket.close", "code": 4010, "reason": "token expired"}


async def test_on_stock_daphne_a_code_that_it_cannot_send_is_replaced() -> None:
    _, close = await refused({"query": {"refuse": "close"}}, errors.NotFound("x"), stock=True)
    assert (close["code"], close["reason"]) == (4908, "not found")


@pytest.mark.parametrize(
    ("code", "stock_code"), [(1001, 4901), (1011, 4911), (1012, 4912), (4001, 4001), (1005, 4905)]
)
async def test_closes_on_stock_daphne_keep_their_meaning_and_reason(code: int, stock_code: int) -> None:
    server = Server(stock=True)
    await send_close(server.send, Close(code, "why" if code != 1005 else ""))
    assert server.sent[0]["code"] == stock_code
    assert server.sent[0]["reason"] == ("why" if code != 1005 else "")


async def test_the_clients_leg_reads_texts_binaries_empties_and_the_end() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "text": None, "bytes": b""},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 4321, "reason": "over"},
        {"type": "websocket.disconnect", "code": None},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    server = Server()
    leg = AsgiLeg(receive, server.send)
    assert [await leg.receive() for _ in range(3)] == ["", b"", b"b"]
    for close in (Close(4321, "over"), Close(1005)):
        with pytest.raises(LegClosed) as ended:
            await leg.receive()
        assert (ended.value.close, ended.value.by) == (close, ClosedBy.CLIENT)
    await leg.send("")
    await leg.send(b"")
    await leg.close(Close(4001, "kicked"))
    leg.abort()
    assert server.sent == [
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "bytes": b""},
        {"type": "websocket.close", "code": 4001, "reason": "kicked"},
    ]
