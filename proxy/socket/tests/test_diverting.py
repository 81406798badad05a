"""Which route a client is served by that came by the path of one that sends some elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy import registry
from proxy.core.principal import Principal
from proxy.core.routes import Route, Upstream
from proxy.node import GatewayNode
from proxy.socket.diverting import route_taken
from proxy.tests.tokens import issue

OLD = Route(name="old", paths=("old",), upstream=Upstream.of("a", "http://127.0.0.1:1"))
NEW = replace(OLD, name="new", paths=("new",))


def taken(monkeypatch: pytest.MonkeyPatch, divert: Callable[[Principal], Any], *, token: str) -> str:
    """The name of the route that serves a client of `old` with that token."""
    route = replace(OLD, divert=divert)
    monkeypatch.setattr(registry, "routes", lambda: (route, NEW))
    return route_taken(GatewayNode(), route, {"token": token, "tickets": ()}).name


async def test_a_client_is_told_of_as_its_token_has_it_and_goes_where_the_route_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Principal] = []

    def divert(principal: Principal) -> str:
        told.append(principal)
        return "new"

    forged = issue("another key, which nobody here knows or trusts", sub="7", level=3)
    assert taken(monkeypatch, divert, token=forged) == "new"
    assert [(each.user_id, each.claims["level"], each.token) for each in told] == [("7", 3, "")]


@pytest.mark.parametrize("token", ["", "x", "x.y.z", issue(sub=""), issue(sub=["7"]), "a" * 20_000])
async def test_nobody_is_asked_about_without_a_token_that_names_a_user(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    assert taken(monkeypatch, lambda _: "new", token=token) == "old"


@pytest.mark.parametrize(("answer", "lines"), [("", 0), ("elsewhere", 0), (None, 1), (KeyError("why"), 1)])
async def test_whoever_is_sent_nowhere_or_by_a_hook_that_fails_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: object, lines: int
) -> None:
    def divert(_: Principal) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert taken(monkeypatch, divert, token=issue()) == "old"
    failed = [vars(line) for line in caplog.records if line.message == "a route's hook failed"]
    assert [(line["route"], line["hook"]) for line in failed] == [("old", "divert")] * lines
