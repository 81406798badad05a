"""Why a message of the chat is not let through. Asked of bad messages only, and so allowed to cost more."""

from __future__ import annotations

import json
import re
from typing import Any

INVALID_JSON = "invalid_json"
VALIDATION_ERROR = "validation_error"
MOST_NESTING = 16
# Of names and values that a message brought along, so much comes back with the answer.
_MOST_TOLD_CHARACTERS = 200
_MOST_FIELD_CHARACTERS = 64
_MOST_KEY_CHARACTERS = 128


class InvalidMessage(ValueError):
    """`code` is `invalid_json` or `validation_error`, `message` says why to people, `field` names the field:
    "" for the message as a whole. `idempotency_key` is the message's own, None if it has none.
    """

    def __init__(
        self, code: str, message: str, *, field: str = "", idempotency_key: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message, self.field = _sendable(message), _sendable(field)
        self.idempotency_key = idempotency_key

    @classmethod
    def of(cls, field: str, why: str, *, payload: bytes | None = None) -> InvalidMessage:
        """A `validation_error` of that field, of a message that is well-formed JSON."""
        field = field[:_MOST_FIELD_CHARACTERS]
        said = f"{field}: {why}" if field else why
        key = None if payload is None else _key_of(_parsed(payload))
        return cls(VALIDATION_ERROR, said[:_MOST_TOLD_CHARACTERS], field=field, idempotency_key=key)


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs, which names of fields may have."""
    return text if text.isascii() else text.encode(errors="replace").decode()


class _Twice(Exception):
    """A name stands twice in one object."""


def explain(payload: bytes, why: str) -> InvalidMessage:
    """What is wrong with a message that could not be read; `why` is what msgspec says of it."""
    mistake = look_through(payload)
    if mistake is not None:
        return mistake
    parsed = _parsed(payload)
    if not isinstance(parsed, dict):
        return InvalidMessage.of("", "a message is a JSON object")
    for name, value in parsed.items():
        if _is_halved(name) or _is_halved(value):
            return InvalidMessage.of(name, "half of a surrogate pair is no character", payload=payload)
    return InvalidMessage.of(*_field_and_reason(why), payload=payload)


def look_through(payload: bytes) -> InvalidMessage | None:
    """What no message may be, whatever its fields are: no JSON, nested too deeply, a name given twice."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return InvalidMessage(INVALID_JSON, "a message is UTF-8")
    try:
        if _is_nested_deeper(text, MOST_NESTING):
            return InvalidMessage.of("", f"a message has at most {MOST_NESTING} levels")
        _parse(text)
    except _Twice as twice:
        return InvalidMessage.of(str(twice), "is given twice")
    except RecursionError:
        return InvalidMessage.of("", f"a message has at most {MOST_NESTING} levels")
    except ValueError as error:
        return InvalidMessage(INVALID_JSON, f"a message is one JSON object: {error}"[:_MOST_TOLD_CHARACTERS])
    return None


_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_ROUND = str.maketrans("[]{}", "()()")


def _is_nested_deeper(text: str, most: int) -> bool:
    """Of JSON. What is none may be called deep or not."""
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text)).translate(_ROUND)
    for _ in range(most):
        brackets = brackets.replace("()", "")
    return "()" in brackets


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _number(_: str) -> int:
    """No number is looked at; one of thousands of digits would be costly, or raise."""
    return 0


def _parse(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_no_name_twice,
        parse_constant=_refuse,
        parse_int=_number,
        parse_float=_number,
    )


def _parsed(payload: bytes) -> Any:
    """Of what was looked through."""
    return _parse(payload.decode())


def _key_of(parsed: Any) -> str | None:
    """The idempotency key, so that its sender finds the message again; None if there is none to be sent."""
    key = parsed.get("idempotency_key") if isinstance(parsed, dict) else None
    is_key = isinstance(key, str) and 0 < len(key) <= _MOST_KEY_CHARACTERS and key.isprintable()
    return key if is_key else None


_HALF = re.compile("[\ud800-\udfff]")


def _is_halved(value: object) -> bool:
    return isinstance(value, str) and _HALF.search(value) is not None


_AT = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_NAMED = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)


def _field_and_reason(why: str) -> tuple[str, str]:
    """The field that msgspec names, with those that it stands in, and what it says of it."""
    at = _AT.search(why)
    path, said = (at[1], why[: at.start()]) if at else ("", why)
    named = _NAMED.match(said)
    if named is None:
        return path, said
    field = f"{path}.{named[1]}" if path else named[1]
    return field, "is missing" if "missing" in said else "is unknown"
