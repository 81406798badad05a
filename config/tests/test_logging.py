"""The last line of defence: no token in a log line, however it came there."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

import pytest

from config.logging import ClientsFault, redact_tokens
from proxy.tests.tokens import issue

TOKEN = issue()


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f"dialling ws://kb/ws?token={TOKEN}&experience=x failed",
        ["kb.v1", TOKEN],
        (b"sec-websocket-protocol", f"bearer, {TOKEN}".encode()),
        {"token": TOKEN},
        "GET /ws?token=an-opaque-one&experience=x",
        ["/ws?token=an-opaque-one"],
        b"GET /ws?token=an-opaque-one",
        ValueError("cannot dial /ws?token=an-opaque-one"),
        {TOKEN},
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_token_stays_in_a_log_line(value: Any) -> None:
    event = redact_tokens(None, "", {"event": "x", "field": value})
    assert "[redacted]" in event["field"]
    assert TOKEN.rpartition(".")[2] not in event["field"]
    assert "opaque" not in event["field"]


@pytest.mark.parametrize("value", ["a.b.c", 7, None, ["kb.v1"], {"links": 3}, b"x", 1.5, True])
def test_what_is_no_token_stays_as_it_is(value: Any) -> None:
    assert redact_tokens(None, "", {"field": value})["field"] == value


@pytest.mark.parametrize(("level", "shown"), [(logging.WARNING, True), (logging.ERROR, False)])
def test_a_clients_fault_is_a_warning_and_shown_where_warnings_are(
    request: pytest.FixtureRequest, level: int, shown: bool
) -> None:
    request.addfinalizer(partial(logging.root.setLevel, logging.root.level))
    logging.root.setLevel(level)
    try:
        raise ValueError
    except ValueError:
        record = logging.makeLogRecord({"name": "django.security.DisallowedHost", "exc_info": sys.exc_info()})
    assert ClientsFault().filter(record) is shown
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
