"""The policy of a link: what a route's own code says about each whole message that crosses it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from proxy.core.answers import one_text, wrong
from proxy.core.closes import Close, check_sendable


class Verdict(NamedTuple):
    """Forward the message, or drop it; also send `reply` to its sender; or close the link, which drops it.

    `payload` goes on in place of the message's own, as text if that was text. Nothing more is read of the
    sender for `pause_seconds`, unless it leaves: then what it said before is heard at once.
    """

    forward: bool
    payload: bytes | None = None
    reply: str | None = None
    close: Close | None = None
    pause_seconds: float = 0.0


FORWARD = Verdict(forward=True)
DROP = Verdict(forward=False)
Judge = Callable[..., Verdict]
_KINDS: tuple[tuple[str, type], ...] = (("payload", bytes), ("reply", str), ("close", Close))


def check(verdict: object, *, is_text: bool) -> None:
    """Raise if it cannot be obeyed: here it is still the policy's failure, later it would be the link's."""
    if verdict is FORWARD or verdict is DROP:
        return
    if not isinstance(verdict, Verdict):
        raise wrong(verdict, "a policy answers a Verdict, at once")
    for name, kind in _KINDS:
        value = getattr(verdict, name)
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"a verdict's {name} is {kind.__name__} or None, not {type(value).__name__}")
    if not 0 <= verdict.pause_seconds < math.inf:
        raise ValueError(f"a verdict's pause is seconds, not {verdict.pause_seconds!r}")
    if verdict.close is not None:
        check_sendable(verdict.close)
    if verdict.reply is not None:
        one_text(verdict.reply)
    if verdict.payload is not None and is_text:
        verdict.payload.decode()  # what is put in place of a text has to be one


class Policy:
    """Is asked about each whole message of one link, once the rate has let it in. Override one way, or both.

    There is one for each link, so that it may keep state; a way that is not overridden is not looked at, and
    costs nothing. It is called on the event loop: no database, no waiting. It may raise a GatewayError, which
    ends the link with that error's close; whatever else it raises ends it with 1011.
    """

    __slots__ = ()

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        """What becomes of a message of the client. Text is not checked to be UTF-8."""
        return FORWARD

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        """What becomes of a message of the service. Text is not checked to be UTF-8."""
        return FORWARD


def judges(policy: Policy | None) -> tuple[Judge | None, Judge | None]:
    """What to ask about the client's messages, and about the service's; None where they need not be read."""
    if policy is None:
        return None, None
    return (
        _overridden(policy.from_client, Policy.from_client),
        _overridden(policy.from_service, Policy.from_service),
    )


def _overridden(judge: Judge, default: Judge) -> Judge | None:
    """`judge`, by its class or by this one policy; None if it is the default."""
    return None if getattr(judge, "__func__", None) is default else judge


class LinkLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines name a link, beside what each call says in its own `extra`."""

    def __init__(self, names: Mapping[str, object]) -> None:
        super().__init__(logging.getLogger("policy"), names)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}
