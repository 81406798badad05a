"""How loudly a refusal is logged: what staff or operators wished for wants nobody's look."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from proxy.core.errors import Disabled, Draining, GatewayError, Overloaded, UpstreamTimeout
from proxy.core.topic_rules import ClosedForMaintenance, Full
from proxy.socket.handshake_log import log_refused

SCOPE: dict[str, Any] = {
    "principal": None,
    "request_id": "r",
    "path": "/ws",
    "client_address": "192.0.2.1",
    "headers": [],
}


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ClosedForMaintenance("experience:mill is closed", message="Back at nine."), logging.INFO),
        (Full("experience:mill has room for 3 links"), logging.INFO),
        (Disabled(), logging.INFO),
        (Draining(), logging.INFO),
        (Overloaded(), logging.WARNING),
        (UpstreamTimeout(), logging.WARNING),
    ],
    ids=lambda each: getattr(each, "code", ""),
)
def test_what_was_wished_for_is_no_warning(
    caplog: pytest.LogCaptureFixture, error: GatewayError, level: int
) -> None:
    with caplog.at_level(logging.INFO):
        log_refused(SCOPE, error, route="game", status=error.status, started=0.0)
    (record,) = caplog.records
    assert record.levelno == level
    assert getattr(record, "outcome", "") == error.code
