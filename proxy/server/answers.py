"""What an application says before it accepts, turned into the one answer that the client gets. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.core.credentials import Subprotocols
from proxy.core.errors import Forbidden, GatewayError
from proxy.core.limits import LinkLimits
from proxy.core.refusals import Header, refusal_of
from proxy.engine.links.terms import SpliceRequest
from proxy.server import handshake
from proxy.server.handshake import UpgradeRequest


@dataclass(frozen=True, slots=True)
class Accepted:
    """Write `head`; the leg is open. `splice` and `limits` are the application's, or None."""

    head: bytes
    splice: SpliceRequest | None
    limits: LinkLimits | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Write `response` and end the connection."""

    status: int
    response: bytes


def refusal(error: GatewayError) -> Refused:
    """The server's own refusal, with the JSON body of DESIGN.md's table."""
    status, headers, body = refusal_of(error)
    return Refused(status, handshake.refusal_bytes(status, headers, body))


class PendingAnswer:
    """Collects the application's events until they make an answer."""

    __slots__ = ("_accept_key", "_body", "_headers", "_max_body_bytes", "_status", "request")

    def __init__(self, request: UpgradeRequest, accept_key: str, *, max_body_bytes: int) -> None:
        self.request, self._accept_key = request, accept_key
        self._max_body_bytes = max_body_bytes
        self._status: int | None = None
        self._headers: list[Header] = []
        self._body = b""

    def add(self, message: dict[str, Any]) -> Accepted | Refused | None:
        """The answer, once `message` completes it.

        Raises:
            ValueError: the event is malformed, or out of place before accept.
        """
        kind = message["type"]
        if kind == "websocket.http.response.body" and self._status is not None:
            return self._add_body(message)
        if self._status is not None:
            raise ValueError(f"{kind} in the middle of a refusal")
        if kind == "websocket.accept":
            return self._accept(message)
        if kind == "websocket.close":
            return refusal(Forbidden())
        if kind == "websocket.http.response.start":
            self._start(message)
            return None
        raise ValueError(f"{kind} before the connection was accepted")

    def _accept(self, message: dict[str, Any]) -> Accepted:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and subprotocol not in self.request.subprotocols:
            raise ValueError(f"the client did not offer the sub-protocol {subprotocol!r}")
        splice = message.get("sluicegate.splice")
        head = handshake.accept_bytes(
            self._accept_key,
            subprotocol=subprotocol,
            headers=message.get("headers") or (),
            spliced=splice is not None,
        )
        return Accepted(head, splice, message.get("sluicegate.limits"))

    def _start(self, message: dict[str, Any]) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"a refusal has a status from 200 to 599, got {status!r}")
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        for name, value in headers:
            handshake.check_header(name, value)
        self._status, self._headers = status, headers

    def _add_body(self, message: dict[str, Any]) -> Refused | None:
        self._body += message.get("body", b"")
        if len(self._body) > self._max_body_bytes:
            raise ValueError(f"the body of a refusal may have {self._max_body_bytes} bytes")
        if message.get("more_body", False):
            return None
        assert self._status is not None  # noqa: S101  add() has looked
        return Refused(self._status, handshake.refusal_bytes(self._status, self._headers, self._body))


def accept_to_refuse(request: UpgradeRequest, accept_key: str) -> bytes:
    """The 101 for a client that is to be closed at once."""
    subprotocol = Subprotocols.split(request.subprotocols).for_refusal
    return handshake.accept_bytes(accept_key, subprotocol=subprotocol, headers=(), spliced=False)
