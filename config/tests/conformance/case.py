"""What a case is: frames that a client sends, and what has to become of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from config.tests.conformance.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Heard, frame, message

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT", "Case", "Judge", "echoed", "frame", "message"]


class Judge(StrEnum):
    """Who fails the connection: always the gateway, or, where that does not look, the service behind.

    A splice passes on, as it is, what is the service's to judge, and then the service's close. A relay reads
    messages with a WebSocket library, so that there it is always the gateway.
    """

    GATEWAY = "gateway"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case of Autobahn's, by its number.

    `sends` are the client's frames, written `at_once`, or one by one, or `octets` at a time where that is
    not 0. `hears` is what comes back, in order. `fails` is None where the connection stays usable, else the
    code that it is failed with, by `judge`. `ends` is what may answer a close among `sends`. Where one ends
    the connection, what was sent before it is still answered, or cut off.
    """

    number: str
    sends: tuple[bytes, ...]
    hears: tuple[Heard, ...] = ()
    fails: int | None = None
    judge: Judge = Judge.GATEWAY
    ends: frozenset[int] = field(default=frozenset())
    at_once: bool = True
    octets: int = 0

    def writes(self) -> Iterable[bytes]:
        """What is written to the socket, piece by piece."""
        if self.octets:
            sent = b"".join(self.sends)
            return (sent[at : at + self.octets] for at in range(0, len(sent), self.octets))
        return (b"".join(self.sends),) if self.at_once else self.sends

    def __str__(self) -> str:
        return self.number


def echoed(opcode: int, payload: bytes | str) -> Heard:
    return Heard(opcode, payload.encode() if isinstance(payload, str) else payload)
