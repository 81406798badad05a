"""What a live link's own code may do to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy import registry
from proxy.core.principal import Principal
from proxy.core.records import ConnectionRecord
from proxy.core.routes import Route, Upstream
from proxy.engine.links.link import Link
from proxy.node import GatewayNode, link_limits
from proxy.socket.life import Life
from proxy.tests.tokens import issue

ROUTE = Route(name="experience", paths=("ws",), upstream=Upstream.of("kb", "http://127.0.0.1:1"))


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
    record = ConnectionRecord(id="c1", route="experience", opened_at=datetime.now(UTC), request_id="r1")
    life = Life(node, node.served["experience"])
    life.link = Link(record, topics=())

    answer = json.loads(life.control(json.dumps({"type": "gateway.refresh", "token": issue()})))

    assert (answer["type"], answer["code"]) == ("error", "internal_error")
    (logged,) = [line for line in caplog.records if line.message == "a control message failed"]
    assert vars(logged)["connection_id"] == "c1"


def test_a_link_may_outlive_its_token_by_the_leeway_and_the_grace(settings: Any) -> None:
    settings.JWT_LEEWAY_SECONDS, settings.TOKEN_GRACE_SECONDS = 60, 5
    assert link_limits().token_grace_seconds == 65
