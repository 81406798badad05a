"""What a live link's own code may do to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy import registry
from proxy.core.legs import Leg
from proxy.core.principal import Principal
from proxy.core.records import ConnectionRecord
from proxy.core.routes import LegPerLink, Route, Subject, Upstream
from proxy.engine.links.link import Link
from proxy.equipment import link_limits
from proxy.node import GatewayNode
from proxy.socket.life import Life
from proxy.socket.own_leg import OwnLease, OwnLeg
from proxy.tests.tokens import issue

ROUTE = Route(name="experience", paths=("ws",), upstream=Upstream.of("kb", "http://127.0.0.1:1"))
REFRESH = json.dumps({"type": "gateway.refresh", "token": issue()})


def a_life(route: Route, node: GatewayNode) -> Life:
    """A link that is open."""
    record = ConnectionRecord(
        id="c1", route=route.name, opened_at=datetime.now(UTC), request_id="r1", user_id="42"
    )
    life = Life(node, node.served[route.name])
    life.link = Link(record, topics=())
    return life


class FailingVerifier:
    """Has a fault that nobody foresaw."""

    def verify(self, raw: str) -> Principal:
        raise ZeroDivisionError(f"while reading {raw}")


async def test_a_fault_in_the_gateways_own_code_costs_a_control_message_and_not_the_link(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "routes", lambda: (ROUTE,))
    node: Any = GatewayNode()
    node.verifier = FailingVerifier()

    answer = json.loads(a_life(ROUTE, node).control(REFRESH))

    assert (answer["type"], answer["code"]) == ("error", "internal_error")
    (logged,) = [line for line in caplog.records if line.message == "a control message failed"]
    assert vars(logged)["connection_id"] == "c1"


class Verifier:
    """Takes every token to be one of the user 42."""

    def verify(self, raw: str) -> Principal:
        return Principal(user_id="42", token=raw)


class Plain(Leg):
    """Need not know of its client's tokens."""

    async def receive(self) -> str:
        raise AssertionError

    async def send(self, message: str | bytes) -> None:
        raise AssertionError


class Refreshed(Plain):
    """Goes on by the newest token, unless it fails at that."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure, self.tokens = failure, list[str]()

    def refreshed(self, principal: Principal) -> None:
        self.tokens.append(principal.token)
        if self.failure is not None:
            raise self.failure


async def open_nothing(_: Subject) -> Leg:
    raise AssertionError


@pytest.mark.parametrize("leg", [Plain(), Refreshed(), Refreshed(KeyError("a product's mistake"))])
async def test_a_leg_that_asks_for_it_is_told_of_a_new_token_and_cannot_spoil_its_clients_answer(
    leg: Plain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = Route(name="own", paths=("ws",), upstream=LegPerLink(name="api", open=open_nothing))
    monkeypatch.setattr(registry, "routes", lambda: (route,))
    node: Any = GatewayNode()
    node.verifier = Verifier()
    life = a_life(route, node)
    subject = Subject(connection_id="c1", principal=Principal(user_id="42"), query={}, route="own")
    life.hold(OwnLease(OwnLeg(leg, subject.log, max_message_bytes=1000), "api"))

    answer = json.loads(life.control(REFRESH))

    assert answer["type"] == "gateway.refreshed"
    if isinstance(leg, Refreshed):
        assert leg.tokens == [json.loads(REFRESH)["token"]]
    failed = [vars(line) for line in caplog.records if line.message == "a route's hook failed"]
    assert [(line["hook"], line["connection_id"]) for line in failed] == (
        [("refreshed", "c1")] if getattr(leg, "failure", None) is not None else []
    )


def test_a_link_may_outlive_its_token_by_the_leeway_and_the_grace(settings: Any) -> None:
    settings.JWT_LEEWAY_SECONDS, settings.TOKEN_GRACE_SECONDS = 60, 5
    assert link_limits().token_grace_seconds == 65
