"""Which messages are the gateway's own, and how they are read and written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.wire.control_messages import (
    MAX_CONTROL_MESSAGE_BYTES,
    encode,
    encode_error,
    is_control,
    parse_control,
)
from proxy.core.wire.frames import Scanner
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.messages import Message, MessageScanner
from proxy.core.wire.tests.frames import encode_frame

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
    '{ "type": "gateway.refresh", "token": "x',
    '{"type":"gateway.refresh","type":"chat"}',
    '{"type":"gateway.x","n":' + "[" * 8000 + "]" * 8000 + "}",
    '{"n":' + "[" * 8000 + "]" * 8000 + ',"type":"gateway.x"}',
    '{"n":' + "1" * 8000 + ',"type":"gateway.x"}',
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
    '{"text":"gateway.x","n":' + "1" * 8000 + "}",
    "[" * 8000 + '"gateway.x"' + "]" * 8000,
    '[["type","gateway.refresh"]]',
    r'{"text":"caf\u00e9 \u0067ateway"}',
    '{"token":"x","type":"gateway.refresh"',
    '{"type":"gateway.refresh","token":"' + "x" * MAX_CONTROL_MESSAGE_BYTES + '"}',
]

OUR_TYPES = ("gateway.", "gateway.refresh", "gateway.é/x")
THEIR_TYPES = ("", "gateway", "Gateway.refresh", "chat", "chat gateway.")
OTHER_MEMBERS = (
    '"token":"x"',
    '"Type":"gateway.refresh"',
    '"text":"gateway."',
    '"nested":{"type":"gateway.refresh","list":[{}]}',
    '"list":["type","gateway.refresh",[1,-2.5e9,true,null]]',
    '"quote":"\\"type\\":\\"gateway.refresh\\"\\\\"',
    r'"escaped":"\u0067ateway.\ud83d\ude00"',
    '"huge":' + "9" * 5000,
)


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


def quoted(draw: st.DrawFn, text: str) -> str:
    """`text` as a JSON string, any letters of it escaped."""
    escaped = draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    letters = (
        f"\\u{ord(letter):04x}" if is_so else letter for letter, is_so in zip(text, escaped, strict=True)
    )
    return '"' + "".join(letters) + '"'


@st.composite
def spelled(draw: st.DrawFn, kinds: tuple[str, ...]) -> tuple[list[str], str]:
    """One type or two, and an object that has them among other members, in any of JSON's spellings."""
    gap = draw(st.text(" \t\r\n", max_size=3))
    types = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2))
    members = [f"{quoted(draw, 'type')}{gap}:{gap}{quoted(draw, kind)}" for kind in types]
    members += draw(st.lists(st.sampled_from(OTHER_MEMBERS), max_size=4))
    joined = f"{gap},{gap}".join(draw(st.permutations(members)))
    return types, f"{gap}{{{gap}{joined}{gap}}}{gap}"


@given(message=spelled((*OUR_TYPES, *THEIR_TYPES)), cut=st.integers(1, 99))
def test_no_spelling_of_a_control_message_gets_past_either_scanner(
    message: tuple[list[str], str], cut: int
) -> None:
    types, text = message
    ours = any(kind in OUR_TYPES for kind in types)
    assert is_control(text) == ours
    payload, mask = text.encode(), b"\x11\x22\x33\x44"
    cut = cut % (len(payload) + 1)
    pieces = [
        encode_frame(TEXT, payload[:cut], mask=mask, fin=False),
        encode_frame(CONT, payload[cut:], mask=mask),
    ]
    for frames in ([encode_frame(TEXT, payload, mask=mask)], pieces):
        scanner = Scanner(masked=True, max_message_bytes=1 << 16, diverts=True)
        passed = b"".join(scanner.feed(frame) for frame in frames)
        assert (passed, [*scanner.controls]) == ((b"", [payload]) if ours else (b"".join(frames), []))
        (whole,) = MessageScanner(masked=True, max_message_bytes=1 << 16).feed(b"".join(frames))
        assert isinstance(whole, Message)
        assert whole.is_control == ours


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
