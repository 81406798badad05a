"""Which messages are the gateway's own, and how they are read and written."""

from __future__ import annotations

import json

import pytest

from proxy.core.control import MAX_CONTROL_BYTES, encode, encode_error, is_control, parse_control


@pytest.mark.parametrize(
    "message", ['{"type":"gateway.refresh","token":"x"}', '{"type":"gateway.', '{"type":"gateway.}']
)
def test_a_text_that_begins_with_the_prefix_is_for_the_gateway(message: str) -> None:
    assert is_control(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        '{"type":"gateway"}',
        '{"type": "gateway.refresh"}',
        ' {"type":"gateway.refresh"}',
        '{"token":"x","type":"gateway.refresh"}',
        b'{"type":"gateway.refresh"}',
    ],
)
def test_anything_else_is_for_the_service(message: str | bytes) -> None:
    assert not is_control(message)


def test_a_control_message_is_read_as_an_object() -> None:
    assert parse_control('{"type":"gateway.refresh","token":"t"}') == {
        "type": "gateway.refresh",
        "token": "t",
    }


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "1",
        '{"type":1}',
        '{"token":"t"}',
        '{"type":"gateway.x","n":' + "[" * 8000 + "]" * 8000 + "}",
        '{"type":"gateway.x","n":' + "1" * 5000 + "}",
    ],
)
def test_what_is_no_object_with_a_type_is_an_error_of_one_kind(message: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever json says
        parse_control(message)


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_a_control_message_is_bounded_in_bytes(letter: str) -> None:
    frame = '{"type":"gateway.x","p":"%s"}'
    room = (MAX_CONTROL_BYTES - len(frame % "")) // len(letter.encode())
    assert parse_control(frame % (letter * room))["type"] == "gateway.x"
    with pytest.raises(ValueError, match="16 KiB"):
        parse_control(frame % (letter * (room + 1)))


def test_the_gateways_own_messages_are_compact_json() -> None:
    assert encode(type="gateway.x", name="é") == '{"type":"gateway.x","name":"é"}'
    assert json.loads(encode_error("a", "b")) == {"type": "error", "code": "a", "message": "b"}
    assert is_control(encode(type="gateway.refreshed"))
