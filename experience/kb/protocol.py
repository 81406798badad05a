"""The KB's messages: parsing what clients send, encoding what they get (docs/kb-protocol.md). Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from experience.kb.game import Collect, Move, Player, Talk, Turn, describe_player, describe_world
from experience.kb.world import World

MAX_ID_CHARS = 128
MAX_TEXT_CHARS = 2_000
# Of numbers: more than that are infinity, and integers of so many digits that no float is like them.
_GREATEST = sys.float_info.max


class InvalidMessage(Exception):
    """A message that cannot be understood. It is answered with an `error`; the socket stays."""

    def __init__(self, code: str, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.request_id = code, message, request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """`timestamp` is the client's own, answered as it came; None when it sent none."""

    timestamp: int | float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetState:
    """Asks for the player's state and the world around."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message of a client. `request_id` is whatever it wants back with the answer."""

    content: Ping | GetState | Move
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What whoever passes a message on may know of it: that it is an object, and what its answer carries."""

    fields: Mapping[str, Any]
    request_id: str | None = None

    def ping(self) -> Ping | None:
        """The ping that it is; None if it is anything else.

        Raises:
            InvalidMessage: it is one, and its timestamp is none.
        """
        if self.fields.get("type") != "ping":
            return None
        with self._named():
            return Ping(timestamp=_timestamp(self.fields))

    def request(self) -> Request:
        """What it asks for. Raises InvalidMessage: of an unknown type, or a field is missing or wrong."""
        with self._named():
            return Request(content=_content(self.fields), request_id=self.request_id)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever is found to be wrong with the message names it."""
        try:
            yield
        except InvalidMessage as invalid:
            invalid.request_id = self.request_id
            raise


def parse(message: str | bytes) -> Request:
    """The request that a text message holds.

    Raises:
        InvalidMessage: it is binary, no JSON object, of an unknown type, or a field is missing or wrong.
    """
    return unfold(message).request()


def unfold(message: str | bytes) -> Envelope:
    """The message as an object.

    Raises:
        InvalidMessage: it is binary, no JSON object, or its request id is none.
    """
    if isinstance(message, bytes):
        raise InvalidMessage("text_expected", "Messages are JSON text; this one is binary.")
    fields = _load(message)
    return Envelope(fields=fields, request_id=_optional_text(fields, "request_id"))


def _load(message: str) -> dict[str, Any]:
    try:
        fields = json.loads(message, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidMessage("invalid_json", "The message is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidMessage("invalid_message", "A message is a JSON object with a type.")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _content(fields: Mapping[str, Any]) -> Ping | GetState | Move:
    kind = _text(fields, "type")
    if kind == "ping":
        return Ping(timestamp=_timestamp(fields))
    if kind == "get_state":
        return GetState()
    # `talk` stands for an action of that name, so that a dialogue box need not know of actions.
    action = _text(fields, "action") if kind == "action" else kind
    if kind not in ("action", "talk"):
        raise InvalidMessage("unknown_type", "The message's type is not known.")
    if action not in _MOVES:
        raise InvalidMessage("unknown_action", "The action is not known.")
    return _MOVES[action](fields)


def _collect(fields: Mapping[str, Any]) -> Move:
    return Collect(item_id=_text(fields, "item_id"), spot_id=_text(fields, "spot_id"))


def _talk(fields: Mapping[str, Any]) -> Move:
    text = _optional_text(fields, "text", most_chars=MAX_TEXT_CHARS)
    return Talk(npc_id=_text(fields, "npc_id"), text=text or "")


_MOVES: Mapping[str, Callable[[Mapping[str, Any]], Move]] = {"collect_bottle": _collect, "talk": _talk}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = _optional_text(fields, name)
    if not value:
        raise InvalidMessage("invalid_message", f"{name} is missing or empty.")
    return value


def _optional_text(fields: Mapping[str, Any], name: str, *, most_chars: int = MAX_ID_CHARS) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most_chars:
        raise InvalidMessage("invalid_message", f"{name} must be a text of at most {most_chars} characters.")
    if not is_unicode(value):
        raise InvalidMessage("invalid_message", f"{name} must be valid Unicode.")
    return value


def is_unicode(value: str) -> bool:
    """False for half a surrogate pair, which JSON can spell and a text message cannot carry."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _timestamp(fields: Mapping[str, Any]) -> int | float | str | None:
    value = fields.get("timestamp")
    if value is None or isinstance(value, str):
        return _optional_text(fields, "timestamp")
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _GREATEST:
        raise InvalidMessage("invalid_message", "timestamp must be a number or a text.")
    return value


# --- What clients get. Timestamps are Unix milliseconds. -----


def connected(*, connection_id: str, user_id: str, experience: str, timestamp: int) -> str:
    return _encode(
        None,
        type="connected",
        connection_id=connection_id,
        user_id=user_id,
        experience=experience,
        timestamp=timestamp,
    )


def pong(ping: Ping, *, request_id: str | None, timestamp: int) -> str:
    """`timestamp` is the service's clock; the ping's own, when it had one, comes back in its place."""
    answered = timestamp if ping.timestamp is None else ping.timestamp
    return _encode(request_id, type="pong", timestamp=answered, server_timestamp=timestamp)


def state(world: World, player: Player, *, request_id: str | None) -> str:
    return _encode(
        request_id,
        type="state",
        experience=world.name,
        **describe_player(world, player),
        world=describe_world(world, player),
    )


def turn_taken(world: World, move: Move, turn: Turn, *, request_id: str | None) -> str:
    if isinstance(move, Talk):
        return _encode(request_id, type="npc_response", **turn.reply)
    return _encode(
        request_id,
        type="action_response",
        action="collect_bottle",
        success=True,
        item_id=move.item_id,
        spot_id=move.spot_id,
        **turn.reply,
        **describe_player(world, turn.player),
    )


def move_refused(move: Move, *, code: str, message: str, request_id: str | None) -> str:
    action = "talk" if isinstance(move, Talk) else "collect_bottle"
    return _encode(
        request_id, type="action_response", action=action, success=False, code=code, message=message
    )


def error(code: str, message: str, *, request_id: str | None = None) -> str:
    return _encode(request_id, type="error", code=code, message=message)


def state_changed(world: World, player: Player, *, timestamp: int) -> dict[str, Any]:
    """The event published to the user's topic after a change."""
    return {
        "type": "state.changed",
        "experience": world.name,
        **describe_player(world, player),
        "timestamp": timestamp,
    }


def _encode(request_id: str | None, **fields: Any) -> str:
    if request_id is not None:
        fields["request_id"] = request_id
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
