"""What clients of a session say, and what the gateway itself tells them. No I/O."""

from __future__ import annotations

import json
import re
from base64 import b64encode

import msgspec

PONG = '{"type":"pong"}'
RESYNC = '{"type":"gateway.resync","reason":"messages of the session may have been lost"}'


def error(code: str, message: str) -> str:
    """What a client is told of a message of its own."""
    return json.dumps({"type": "error", "code": code, "message": message}, separators=(",", ":"))


INVALID_JSON = error("invalid_json", "A message is one JSON value.")
NOT_DELIVERED = error("not_delivered", "The message may not have reached the agent.")


def too_large(most_bytes: int) -> str:
    return error("too_large", f"A message is at most {most_bytes} bytes.")


def is_ping(message: str | bytes) -> bool:
    """Whether it is an object of the type `ping`. Raises ValueError for what is no JSON."""
    found = _looked_at(message if isinstance(message, str) else message.decode())
    if found is None:
        return False
    type_ = bytes(found.type)
    return len(type_) <= _PING_BYTES and msgspec.json.decode(type_) == "ping"


def as_published(payload: bytes) -> str | bytes:
    """Text as text; what is not UTF-8 is binary."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload


def position(since: bytes, *, recovered: bool) -> str:
    """What the client of a durable session is told at its start, and where something is missing;
    that of a live one, if it comes with such a place.
    """
    told = {"type": "gateway.recovered", "recovered": recovered, "since": since.decode()}
    return json.dumps(told, separators=(",", ":"))


def positioned(payload: bytes, since: bytes) -> str:
    """A message of a durable session with its place in it, its last member; what is no object is wrapped."""
    place = f'"since":"{since.decode()}"'
    wrapped = f'{{"type":"gateway.message",{place},'
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return f'{wrapped}"base64":"{b64encode(payload).decode()}"}}'
    try:
        found = _looked_at(text)
    except ValueError:
        return f'{wrapped}"text":{json.dumps(text, ensure_ascii=False)}}}'
    if found is None:
        return f'{wrapped}"data":{text}}}'
    return f"{text.rstrip()[:-1]}{'' if _EMPTY_OBJECT.fullmatch(text) else ','}{place}}}"


def left_out(since: bytes, *, size_bytes: int) -> str:
    """In place of a message that no client may be sent."""
    told = {"type": "gateway.message", "since": since.decode(), "too_large": size_bytes}
    return json.dumps(told, separators=(",", ":"))


class _Object(msgspec.Struct):
    """What has to be known of an object: the JSON of its `type`."""

    type: msgspec.Raw = msgspec.Raw(b"null")


# Nothing else is made of a message, however big: to parse one takes the loop ten times as long.
_object = msgspec.json.Decoder(_Object).decode
_any = msgspec.json.Decoder(msgspec.Raw).decode
_IS_OBJECT = re.compile(r"[ \t\n\r]*\{")
_EMPTY_OBJECT = re.compile(r"\s*\{\s*\}\s*")
_PING_BYTES = len(r'"\u0070\u0069\u006e\u0067"')  # in its longest spelling


def _looked_at(text: str) -> _Object | None:
    """An object; None for other JSON. Raises ValueError for what is none."""
    try:
        if _IS_OBJECT.match(text):
            return _object(text)
        _any(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return None
