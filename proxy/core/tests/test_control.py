"""Which messages are the gateway's own, and how they are read and written."""

from __future__ import annotations

import json

import pytest

from proxy.core.control import MAX_CONTROL_MESSAGE_BYTES, encode, encode_error, is_control, parse_control

FOR_US = [
    '{"type":"gateway.refresh","token":"x"}',
    '{"type": "gateway.refresh", "token": "x"}',
    ' {"type":"gateway.refresh"}',
    '\r\n\t{ "type"\n:"gateway.refresh" } ',
    '{"token":"x","type":"gateway.refresh"}',
    '{"type":"chat","type":"gateway.refresh"}',
    r'{"type":"gatewa\u0079.refresh"}',
    r'{"\u0074ype":"\u0067\u0061\u0074\u0065\u0077\u0061\u0079\u002Erefresh"}',
    '{"type":"gateway."}',
    '{"type":"gateway.refresh","token":"x"',
    '{"type":"gateway.x","n":' + "[" * 8000 + "]" * 8000 + "}",
]
FOR_THE_SERVICE = [
    "",
    "gateway.",
    '"gateway.refresh"',
    '["gateway.refresh"]',
    '{"type":"gateway"}',
    '{"type":["gateway.refresh"]}',
    '{"type":"chat","text":"gateway.refresh"}',
    '{"message":{"type":"gateway.refresh"}}',
    '{"type":"gateway.refresh","type":"chat"}',
    r'{"text":"caf\u00e9 \u0067ateway"}',
    '{"token":"x","type":"gateway.refresh"',
    '{"type":"gateway.refresh","token":"' + "x" * MAX_CONTROL_MESSAGE_BYTES + '"}',
]


@pytest.mark.parametrize("message", FOR_US)
def test_an_object_whose_type_begins_with_gateway_is_for_the_gateway_however_it_is_spelled(
    message: str,
) -> None:
    assert is_control(message)
    assert is_control(message.encode())


@pytest.mark.parametrize("message", FOR_THE_SERVICE)
def test_anything_else_is_for_the_service(message: str) -> None:
    assert not is_control(message)
    assert not is_control(message.encode())


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "latin-1"])
def test_what_is_not_utf_8_is_for_the_service_to_judge(codec: str) -> None:
    assert not is_control('{"type":"gateway.refresh","who":"é"}'.encode(codec))


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
    room = (MAX_CONTROL_MESSAGE_BYTES - len(frame % "")) // len(letter.encode())
    assert parse_control(frame % (letter * room))["type"] == "gateway.x"
    with pytest.raises(ValueError, match="16 KiB"):
        parse_control(frame % (letter * (room + 1)))


def test_the_gateways_own_messages_are_compact_json() -> None:
    assert encode(type="gateway.x", name="é") == '{"type":"gateway.x","name":"é"}'
    assert json.loads(encode_error("a", "b")) == {"type": "error", "code": "a", "message": "b"}
    assert is_control(encode(type="gateway.refreshed"))
