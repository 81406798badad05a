"""What is let through of clients and of the service, and what is said of the rest. No sockets."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experience.chat import messages
from experience.chat.messages import (
    ConversationBlocked,
    ConversationChanged,
    ConversationTyping,
    ConversationUnblocked,
    Error,
    InvalidMessage,
    MessageCreated,
    MessageRead,
    MessageSend,
    Ping,
    Pong,
    ReadSet,
    ServicePing,
    ServicePong,
    StoredMessage,
    TypingSet,
    decode_client,
    decode_service,
    encode,
)

CLIENT = (
    MessageSend("c1", "grüezi\n\t\U0001f600 \u202eabc \" \\ 'x'", "key-1"),
    MessageSend("c1", "x"),
    MessageSend("\N{WOMAN}\u200d\N{GIRL}", "x", "user:\N{WOMAN}\u200d\N{GIRL}"),
    ReadSet("c1", "c1.7"),
    TypingSet("c1", "on"),
    TypingSet("c1", "off"),
    Ping(),
    Pong(),
)
SERVICE = (
    MessageCreated("c1", StoredMessage("c1.1", "alice", 'a "text"\r\n', 1_800_000_000)),
    MessageCreated("c1", StoredMessage("c1.2", "alice", "x", 0), "key-1"),
    MessageRead("c1", "bob", "c1.2", 1_800_000_000),
    ConversationTyping("c1", "bob", "on"),
    ConversationBlocked("c1", "alice", "bob"),
    ConversationUnblocked("c1", "alice", "bob"),
    ConversationChanged("c1", ()),
    ConversationChanged("c1", ("alice", "bob", "ü" * 255)),
    ServicePing(),
    ServicePong(),
    Error("blocked", "They do not want to hear from you."),
    Error("access_denied", "", "key-1"),
    Error("validation_error", "text: is missing", "key-1", "text"),
)


def send(**fields: Any) -> bytes:
    return json.dumps({"type": "message.send", "conversation_id": "c", "text": "t"} | fields).encode()


def created(**fields: Any) -> bytes:
    message = {"id": "c.1", "sender_id": "a", "text": "t", "created_at": 1} | fields
    return json.dumps({"type": "message.created", "conversation_id": "c", "message": message}).encode()


def mistake(payload: bytes, *, service: bool = False) -> tuple[str, str]:
    """The code, and the field that is named; of what has to be refused."""
    with pytest.raises(InvalidMessage) as raised:
        decode_service(payload) if service else decode_client(payload)
    error = raised.value
    assert 0 < len(error.message) <= 200
    error.message.encode()
    assert not error.field or error.message.startswith(f"{error.field}: ")
    return error.code, error.field


@pytest.mark.parametrize("message", CLIENT)
def test_a_clients_message_is_read_as_it_was_meant(message: messages.ClientMessage) -> None:
    assert decode_client(encode(message).encode()) == message
    assert decode_client(json.dumps(json.loads(encode(message)), indent=2).encode()) == message


@pytest.mark.parametrize("message", SERVICE)
def test_a_service_message_is_read_as_it_was_meant(message: messages.ServiceMessage) -> None:
    assert decode_service(encode(message).encode()) == message
    assert decode_service(json.dumps(json.loads(encode(message)), indent=2).encode()) == message


@pytest.mark.parametrize("message", [*CLIENT, *SERVICE])
def test_each_kind_says_how_many_quotes_its_json_has(message: messages.ServiceMessage) -> None:
    """By which it is known, at the cost of a count, that no field came twice and none beside."""
    assert len(re.findall(r'"(?:[^"\\]|\\.)*"', encode(message))) * 2 == message.quotes


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"{}", "type"),
        (b'{"type":"message.sent"}', "type"),
        (b'{"type":"message.created"}', "type"),
        (b'{"type":null}', "type"),
        (b'{"type":["ping"]}', "type"),
        (b'{"conversation_id":"c","text":"t"}', "type"),
        (b"[]", ""),
        (b'"ping"', ""),
        (b"null", ""),
        (b'{"type":"ping","at":1}', "at"),
        (b'{"type":"ping","at":1e400}', "at"),
        (b'{"type":"ping","at":' + b"9" * 9000 + b"}", "at"),
        (b'{"type":"ping","type":"ping"}', "type"),
        (b'{"type":"ping","type":"message.send"}', "type"),
        (b'{"type":"ping","typ\\u0065":"ping"}', "type"),
        (b'{"type":"ping","\\ud800":1}', "?"),
        (send()[:-1] + b',"text":"other"}', "text"),
        (send()[:-1] + b',"te\\u0078t":"other"}', "text"),
        (b'{"conversation_id":"other",' + send()[1:], "conversation_id"),
        (b'{"conversation_id":"\\"\\\\",' + send()[1:], "conversation_id"),
        (send(idempotency_key="k")[:-1] + b',"idempotency_key":"l"}', "idempotency_key"),
        (send(text=1), "text"),
        (send(text=None), "text"),
        (send(text=""), "text"),
        (send(text=" \n"), "text"),
        (send(text="x" * 4001), "text"),
        (send(text=["t"]), "text"),
        (send(text={"a": 1}), "text"),
        (send(text="a\x00b"), "text"),
        (send(text="a\x1b[31m"), "text"),
        (send(text="a\x7fb"), "text"),
        (send(text="a\x85b"), "text"),
        (send(text="\ud800"), "text"),
        (send(text="\udc00\ud800"), "text"),
        (b'{"type":"message.send","conversation_id":"c","text":"\x7f"}', "text"),
        ('{"type":"message.send","conversation_id":"c","text":"\x9b"}'.encode(), "text"),
        (b'{"type":"message.send","conversation_id":"c"}', "text"),
        (b'{"type":"message.send","text":"t"}', "conversation_id"),
        (send(conversation_id=7), "conversation_id"),
        (send(conversation_id=""), "conversation_id"),
        (send(conversation_id="c" * 129), "conversation_id"),
        (send(conversation_id="a\nb"), "conversation_id"),
        (send(conversation_id="\u202eabc"), "conversation_id"),
        (send(idempotency_key=None), "idempotency_key"),
        (send(idempotency_key="k\x00"), "idempotency_key"),
        (send(sender_id="bob"), "sender_id"),
        (send(Text="t"), "Text"),
        (b'{"type":"typing.set","conversation_id":"c","state":"On"}', "state"),
        (b'{"type":"typing.set","conversation_id":"c","state":true}', "state"),
        (b'{"type":"read.set","conversation_id":"c","up_to_message_id":7}', "up_to_message_id"),
        (send(text=json.loads("[" * 900 + "]" * 900)), ""),
        (b'{"type":"ping","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", ""),
    ],
)
def test_what_is_wrong_with_a_clients_message_is_named(payload: bytes, field: str) -> None:
    assert mistake(payload) == ("validation_error", field)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"type":"message.sent"}', "type: is one of message.send, read.set, typing.set, ping, pong"),
        (b'{"type":7}', "type: is one of message.send, read.set, typing.set, ping, pong"),
        (b'{"type":"typing.set","conversation_id":"c","state":"On"}', "state: is one of on, off"),
        (b'{"type":"typing.set","conversation_id":"c","state":true}', "state: is one of on, off"),
        (b'{"type":"typing.set","conversation_id":"c"}', "state: is missing"),
    ],
)
def test_of_a_field_that_takes_some_words_they_are_told(payload: bytes, said: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        decode_client(payload)
    assert raised.value.message == said


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ping",
        b'{"type":"ping"',
        b'{"type":"ping",}',
        b'{"type":"ping"}{"type":"ping"}',
        b'{"type":"ping"}\x00',
        b'\xef\xbb\xbf{"type":"ping"}',
        b"{'type':'ping'}",
        b'{"type":"ping","x":NaN}',
        b'{"type":"ping","x":-Infinity}',
        b'{"type":"ping","x":01}',
        b'{"type":"ping"/**/}',
        b'{"type":"message.send","conversation_id":"c","text":"a\nb"}',
        b'{"type":"message.send","conversation_id":"c","text":"\x00"}',
        b'{"type":"message.send","conversation_id":"c","text":"\\x41"}',
        b'{"type":"message.send","conversation_id":"c","text":"\xff"}',
        b'{"type":"message.send","conversation_id":"c","text":"\xc0\x80"}',
        b'{"type":"message.send","conversation_id":"c","text":"\xed\xa0\x80"}',
        b'{"type":"ping","\xff":1}',
        '{"type":"ping"}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_said_to_be_none(payload: bytes) -> None:
    assert mistake(payload) == ("invalid_json", "")
    assert mistake(payload, service=True) == ("invalid_json", "")


@pytest.mark.parametrize(
    "payload",
    [
        send(text="a\tb\r\nc"),
        send(text="\u202eabc\u2066\u200f"),
        send(text="\U0001f600" * 4000),
        send(text='"\\"\\\\"'),
        send(text='","text":"'),
        send(conversation_id='"\\'),
        b' \r\n\t{ "type" : "ping" }\n',
        b'{"typ\\u0065":"\\u0070ing"}',
    ],
)
def test_what_looks_odd_but_is_well_said_is_let_through(payload: bytes) -> None:
    given, read = json.loads(payload), json.loads(encode(decode_client(payload)))
    assert given == read


def test_a_texts_length_is_counted_in_characters() -> None:
    decode_client(send(text="\U0001f600\U0001f600"), most_characters=2)
    with pytest.raises(InvalidMessage) as raised:
        decode_client(send(text="abc"), most_characters=2)
    assert raised.value.message == "text: a text has at most 2 characters"


FULL = 60_000
COSTLY = {
    "brackets": b'{"type":"ping","x":[' + b"[]," * (FULL // 3) + b"[]]}",
    "objects": b'{"type":"ping","x":[' + b'{"a":1},' * (FULL // 8) + b"1]}",
    "strings": b'{"type":"ping","x":[' + b'"",' * (FULL // 3) + b"1]}",
    "names": b"{" + b",".join(b'"%d":1' % n for n in range(FULL // 8)) + b"}",
    "a name again, the last": b"{" + b",".join(b'"%d":1' % n for n in range(FULL // 8)) + b',"7499":1}',
    "strings that do not end": b'"\\' * (FULL // 2),
    "depth": b'{"type":"ping","x":' + b"[" * (FULL // 2) + b"]" * (FULL // 2) + b"}",
    "brackets that do not end": b'{"type":"ping","x":' + b"[" * FULL,
    "a number": b'{"type":"ping","x":' + b"9" * FULL + b"}",
    "escapes": b'{"type":"message.send","conversation_id":"c","text":"' + b"\\n" * (FULL // 2) + b'"}',
}


@pytest.mark.parametrize("kind", COSTLY)
def test_no_message_takes_the_loop_for_long(kind: str) -> None:
    """Of as many bytes as the route lets in. The bound is for a busy machine; some took seconds once."""
    taken = []
    for _ in range(5):
        for decode in (decode_client, decode_service):
            began = time.thread_time()
            with suppress(InvalidMessage):  # of a service some of it would be said beyond what is known
                decode(COSTLY[kind])
            taken.append(time.thread_time() - began)
    assert min(taken[::2]) < 0.025
    assert min(taken[1::2]) < 0.025


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (send(text=1, idempotency_key="k"), "k"),
        (send(text="\x00", idempotency_key="k"), "k"),
        (send(text="\ud800", idempotency_key="k"), "k"),
        (send(text="x" * 5000, idempotency_key="k"), "k"),
        (send(text=1), None),
        (send(text=1, idempotency_key="k\x00"), None),
        (send(text=1, idempotency_key="k" * 129), None),
        (send(text=1, idempotency_key=["k"]), None),
    ],
)
def test_a_mistake_carries_the_key_of_the_message(payload: bytes, key: str | None) -> None:
    with pytest.raises(InvalidMessage) as raised:
        decode_client(payload)
    assert raised.value.idempotency_key == key


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'{"type":"message.send","conversation_id":"c","text":"t"}', "type"),
        (b'{"type":"gateway.closing"}', "type"),
        (b'{"type":"pong","type":"ping"}', "type"),
        (b'{"type":"pong","more":{"a":1,"a":2}}', "a"),
        (b'{"type":"pong","more":' + b"[" * 16 + b"]" * 16 + b"}", ""),
        (b'{"type":"pong","more":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
        (b'{"type":"message.created","conversation_id":"c"}', "message"),
        (created(id=1), "message.id"),
        (created(text=""), "message.text"),
        (created(text="\x00"), "message.text"),
        (created(sender_id="a\n"), "message.sender_id"),
        (created(created_at="1"), "message.created_at"),
        (created(created_at=1.5), "message.created_at"),
        (created(created_at=True), "message.created_at"),
        (created(created_at=-1), "message.created_at"),
        (created(created_at=1_800_000_000_000), "message.created_at"),
        (created(created_at=10**30), "message.created_at"),
        (created().replace(b'"created_at": 1', b'"created_at": 1e400'), "message.created_at"),
        (created().replace(b'"id": "c.1"', b'"id": "c.1", "id": "c.2"'), "id"),
        (b'{"type":"error","code":"blocked"}', "message"),
        (b'{"type":"error","code":"blocked\\u0000","message":""}', "code"),
        (b'{"type":"error","code":"blocked","message":"","field":"\\u0001"}', "field"),
        (b'{"type":"conversation.changed","conversation_id":"c","participants":[1]}', "participants[0]"),
        (b'{"type":"conversation.changed","conversation_id":"c","participants":"ab"}', "participants"),
        (b'{"type":"conversation.changed","conversation_id":"c","participants":["a\\n"]}', "participants"),
    ],
)
def test_what_is_wrong_with_a_message_of_the_service_is_named(payload: bytes, field: str) -> None:
    code, named = mistake(payload, service=True)
    assert (code, named.replace("[...]", "[0]")) == ("validation_error", field)


def test_a_service_may_say_more_than_was_agreed_on() -> None:
    more = {"at": [1, {"a": 'x"\\'}], "n": None, "deep": json.loads("[" * 15 + "]" * 15)}
    assert decode_service(json.dumps({"type": "pong"} | more).encode()) == ServicePong()
    assert decode_service(created(edited=True)).conversation_id == "c"  # type: ignore[union-attr]
    assert decode_service(b'{"type":"pong","n":1e400}') == ServicePong()


def test_bytes_that_are_no_utf8_do_not_hide_in_what_a_service_says_beyond() -> None:
    assert mistake(b'{"type":"pong","more":"\xff"}', service=True) == ("invalid_json", "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["type", "conversation_id", "text", "idempotency_key", "state", "up_to_message_id"])
types = st.sampled_from(["message.send", "read.set", "typing.set", "ping", "pong"])
members = st.tuples(names | st.text(max_size=8), types | st.text(max_size=8) | json_values)


def spelled(text: str, *, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(each):04x}" for each in text) + '"' if escaped else json.dumps(text)


@settings(max_examples=400, deadline=None)
@given(
    message=st.sampled_from(CLIENT),
    more=st.lists(members, max_size=2),
    first=st.booleans(),
    escaped=st.booleans(),
)
def test_what_is_let_through_every_parser_reads_alike(
    message: messages.ClientMessage, more: list[tuple[str, Any]], first: bool, escaped: bool
) -> None:
    """One that keeps the first of two fields of a name, one that keeps the last, and ours."""
    own = list(json.loads(encode(message)).items())
    pairs = [*more, *own] if first else [*own, *more]
    escaped = escaped and all(ord(each) < 0x10000 for name, _ in pairs for each in name)
    told = ",".join(f"{spelled(name, escaped=escaped)}:{json.dumps(value)}" for name, value in pairs)
    payload = f"{{{told}}}".encode()
    try:
        read = msgspec.to_builtins(decode_client(payload))
    except InvalidMessage:
        assert more
        return
    assert read == dict(pairs) == dict(reversed(pairs))


@settings(max_examples=400, deadline=None)
@given(payload=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_said_to_be_invalid(payload: bytes) -> None:
    for decode in (decode_client, decode_service):
        with suppress(InvalidMessage):
            decode(payload)


@settings(max_examples=400, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=80))
def test_any_text_without_control_characters_is_let_through(text: str) -> None:
    if not text.isspace():
        for ascii_only in (True, False):
            fields = {"type": "message.send", "conversation_id": "c", "text": text}
            payload = json.dumps(fields, ensure_ascii=ascii_only).encode()
            assert decode_client(payload) == MessageSend("c", text)


@settings(deadline=None)
@given(
    text=st.text(max_size=20),
    control=st.characters(categories=["Cc"], exclude_characters="\t\n\r"),
    ascii_only=st.booleans(),
)
def test_a_control_character_is_found_wherever_it_stands(text: str, control: str, ascii_only: bool) -> None:
    fields = {"type": "message.send", "conversation_id": "c", "text": f"{text}{control}x"}
    payload = json.dumps(fields, ensure_ascii=ascii_only).encode()
    assert mistake(payload) == ("validation_error", "text")
