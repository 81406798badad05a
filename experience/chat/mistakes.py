"""Why a message of the chat is not let through. Asked of bad messages only, and so allowed to cost more."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proxy.api import is_printable

INVALID_JSON = "invalid_json"
VALIDATION_ERROR = "validation_error"
MOST_NESTING = 16
# Brackets and colons of a message that is parsed; a valid one of a client has five, beside those in its text.
MOST_PARSED = 500
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
    def of(cls, field: str, why: str, *, idempotency_key: str | None = None) -> InvalidMessage:
        """A `validation_error` of that field, of a message that is well-formed JSON."""
        field = field[:_MOST_FIELD_CHARACTERS]
        said = f"{field}: {why}" if field else why
        return cls(
            VALIDATION_ERROR, said[:_MOST_TOLD_CHARACTERS], field=field, idempotency_key=idempotency_key
        )


def _sendable(text: str) -> str:
    """Without halves of surrogate pairs, which names of fields may have."""
    return text if text.isascii() else text.encode(errors="replace").decode()


class _Twice(Exception):
    """A name stands twice in one object."""


def explain(payload: bytes, why: str, *, choices: Mapping[str, Sequence[str]]) -> InvalidMessage:
    """What is wrong with a message that could not be read; `why` is what msgspec says of it.

    `choices` has what is taken by fields that take some words only.
    """
    try:
        parsed = look_through(payload)
    except InvalidMessage as mistake:
        return mistake
    if parsed is not None and not isinstance(parsed, dict):
        return InvalidMessage.of("", "a message is a JSON object")
    for name, value in (parsed or {}).items():
        if _is_halved(name) or _is_halved(value):
            why = "half of a surrogate pair is no character"
            return InvalidMessage.of(name, why, idempotency_key=_key_of(parsed))
    field, said = _field_and_reason(why)
    if field in choices and said != "is missing":
        said = f"is one of {', '.join(choices[field])}"
    return InvalidMessage.of(field, said, idempotency_key=_key_of(parsed))


def look_through(payload: bytes) -> Any:
    """The JSON, numbers left aside; None of one so full that to parse it would hold the loop.

    Raises InvalidMessage for what no message may be: no JSON, nested too deeply, with a name that comes twice
    (in what is parsed).
    """
    try:
        text = payload.decode()
        parsed = None if _is_full(payload) else _parse(text)
        if parsed is None:
            _check(payload)
        if _is_nested_deeper(payload, MOST_NESTING):
            raise RecursionError
    except UnicodeDecodeError:
        raise InvalidMessage(INVALID_JSON, "a message is UTF-8") from None
    except _Twice as twice:
        raise InvalidMessage.of(str(twice), "is given twice") from None
    except RecursionError:
        raise InvalidMessage.of("", f"a message has at most {MOST_NESTING} levels") from None
    except ValueError as error:  # a JSONDecodeError, and msgspec's, are such
        why = f"a message is one JSON object: {error}"
        raise InvalidMessage(INVALID_JSON, why[:_MOST_TOLD_CHARACTERS]) from None
    return parsed


# Well-formed or not, at a hundredth of the cost.
_check = msgspec.json.Decoder(msgspec.Raw).decode


def _is_full(payload: bytes) -> bool:
    return payload.count(b"[") + payload.count(b"{") + payload.count(b":") > MOST_PARSED


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def _is_nested_deeper(payload: bytes, most: int) -> bool:
    """Of well-formed JSON: what is none would take the search for strings a time that grows as its square."""
    if payload.count(b"[") + payload.count(b"{") <= most:
        return False
    brackets = _STRING.sub(b"", payload).translate(_ROUND, _NO_BRACKET)
    for _ in range(most):
        brackets = brackets.replace(b"()", b"")
    return b"()" in brackets


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
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


def _key_of(parsed: Any) -> str | None:
    """The idempotency key, so that its sender finds the message again; None if there is none to be sent."""
    key = parsed.get("idempotency_key") if isinstance(parsed, dict) else None
    is_key = isinstance(key, str) and 0 < len(key) <= _MOST_KEY_CHARACTERS and is_printable(key)
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
