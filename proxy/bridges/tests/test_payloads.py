"""What clients read of what others publish."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.publishing import encode_event
from proxy.core.bridging.payloads import events_of


def event(payload: bytes) -> dict[str, Any]:
    """What clients read: the first that can be published."""
    for each in events_of(payload, bridge="nats", source="a.b"):
        try:
            found: dict[str, Any] = json.loads(encode_event(each))
        except ValueError:
            continue
        return found
    raise AssertionError("nothing can be published")


def test_an_event_passes_as_it_is() -> None:
    assert event(b'{"type": "moved", "to": [1, 2.5, null, "\xc3\xa9"]}') == {
        "type": "moved",
        "to": [1, 2.5, None, "é"],
    }


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"to": 1}', {"data": {"to": 1}}),
        (b'{"type": 7}', {"data": {"type": 7}}),
        (b'{"type": ""}', {"data": {"type": ""}}),
        (b'{"type": "gateway.resync"}', {"data": {"type": "gateway.resync"}}),
        (b'{"type": "a", "type": "gateway.b"}', {"data": {"type": "gateway.b"}}),
        (b"[1]", {"data": [1]}),
        (b"null", {"data": None}),
        (b"hello", {"text": "hello"}),
        (b"", {"text": ""}),
        (b'{"type": "a", "x": NaN}', {"text": '{"type": "a", "x": NaN}'}),
        (b'{"type": "a", "x": 1e999}', {"text": '{"type": "a", "x": 1e999}'}),
        (b'{"type": "a", "x": "\\ud800"}', {"text": '{"type": "a", "x": "\\ud800"}'}),
        (b"[" * 100_000, {"text": "[" * 100_000}),
        (b"\xff\x00", {"base64": "/wA="}),
    ],
)
def test_anything_else_is_wrapped(payload: bytes, said: dict[str, Any]) -> None:
    assert event(payload) == {"type": "bridge.message", "bridge": "nats", "source": "a.b", **said}


@given(payload=st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_there_is_an_event_for_every_payload(payload: bytes) -> None:
    assert event(payload)["type"] == "bridge.message"
