"""The opening handshake, without I/O: what the client asked for, and the bytes of each answer.

The rules of RFC 6455, section 4.2, are checked by the `websockets` library's sans-I/O `ServerProtocol`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.exceptions import (
    InvalidHandshake,
    InvalidHeaderValue,
    InvalidMethod,
    InvalidProtocol,
    InvalidUpgrade,
)
from websockets.http11 import Request
from websockets.server import ServerProtocol

from proxy.core.credentials import Subprotocols
from proxy.core.errors import BadRequest, Forbidden
from proxy.core.heads import CONTROL_BYTES, TOKEN, problem_of_head
from proxy.core.redaction import redacted
from proxy.core.refusals import Header, refusal_of

_log = logging.getLogger("websockets.server")
# Checks requests, one after the other: making a protocol for each costs as much as the check.
_rules = ServerProtocol(logger=_log)
# As `ServerProtocol.accept` answers them; that notes the error in the request, a cycle with all frames above.
_STATUSES: dict[type[InvalidHandshake], int] = {InvalidMethod: 405, InvalidProtocol: 505, InvalidUpgrade: 426}

_TOKENS = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z:]+")  # joined by colons
_OF_THE_HANDSHAKE = frozenset(
    (b"connection", b"upgrade", b"origin", b"sec-websocket-key", b"sec-websocket-version")
)
# What the server says itself in the 101. Extensions are between a client and the upstream of a splice.
_OURS = frozenset((b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol", b"date"))
_HOP_BY_HOP = frozenset((b"connection", b"content-length", b"transfer-encoding", b"date", b"keep-alive"))


@dataclass(slots=True, kw_only=True)
class UpgradeRequest:
    """One request to upgrade. Header names are lower case; `client` and `server` are [host, port] or None."""

    method: str
    target: bytes
    http_version: str
    headers: list[Header]
    client: list[Any] | None
    server: list[Any] | None
    early: bytes = b""
    subprotocols: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.subprotocols = [
            word.strip()
            for value in self.values_of(b"sec-websocket-protocol")
            for word in value.decode("latin-1").split(",")
            if word.strip()
        ]

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    def values_of(self, name: bytes) -> list[bytes]:
        """The values of every header `name`, in order of arrival."""
        return [value for each, value in self.headers if each == name]

    @property
    def wants_refusal_as_close(self) -> bool:
        """`?refuse=close`: the client cannot see a status; accept it, then close it."""
        return b"refuse=close" in self.query.split(b"&")


def scope_of(request: UpgradeRequest, *, offer: dict[str, Any]) -> dict[str, Any]:
    """The ASGI websocket scope, with paths decoded as Daphne does. `offer` is ours beside plain ASGI."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version,
        "scheme": "ws",
        "path": unquote(request.path.decode("ascii")),
        "raw_path": request.path,
        "root_path": "",
        "query_string": request.query,
        "headers": request.headers,
        "client": request.client,
        "server": request.server,
        "subprotocols": request.subprotocols,
        "extensions": {"websocket.http.response": {}, "sluicegate.splice": offer},
    }


def problem_of(request: UpgradeRequest) -> str | None:
    """Why the request cannot be served at all, before the WebSocket rules; None if it can."""
    if not request.target.isascii() or not request.target.startswith(b"/"):
        return "the request target must be an ASCII path"
    names = [name for name, _ in request.headers]
    if not _TOKENS.fullmatch(b":".join(names)):
        return "invalid header name"
    problem = problem_of_head(request.headers)
    if problem is not None:
        return problem
    lengths = {value for name, value in request.headers if name == b"content-length"}
    if b"transfer-encoding" in names or not lengths <= {b"0"}:
        return "an upgrade has no body"
    return None


def accept_key_of(request: UpgradeRequest) -> str:
    """The `Sec-WebSocket-Accept` for a valid request. Raises BadHandshake for one that breaks the rules."""
    problem = problem_of(request)
    if problem is not None:
        raise BadHandshake(400, problem)
    headers = Headers()
    for name, value in request.headers:
        if name in _OF_THE_HANDSHAKE:
            headers[name.decode("ascii")] = value.decode("latin-1")
    asked = Request(request.target.decode("ascii"), headers, request.method, f"HTTP/{request.http_version}")
    try:
        return _rules.process_request(asked)[0]
    except InvalidHandshake as error:
        raise BadHandshake(_status_of(error), str(error)) from None


def _status_of(error: InvalidHandshake) -> int:
    """Who speaks another version is told which one there is (RFC 6455, 4.2.2); the library says none."""
    if isinstance(error, InvalidHeaderValue) and error.name == "Sec-WebSocket-Version":
        return HTTPStatus.UPGRADE_REQUIRED
    return _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)


class BadHandshake(BadRequest):
    """The request breaks the rules of the opening handshake. `detail` comes from the request itself."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.message = redacted(f"The handshake is not valid: {detail}.")


class PendingAnswer:
    """Collects what an application says before it accepts, until that makes an answer."""

    __slots__ = ("_accept_key", "_body", "_headers", "_max_body_bytes", "_status", "_subprotocols")

    def __init__(self, accept_key: str, subprotocols: list[str], *, max_body_bytes: int) -> None:
        """`subprotocols`: what the client offers."""
        self._accept_key, self._subprotocols = accept_key, subprotocols
        self._max_body_bytes = max_body_bytes
        self._status: int | None = None
        self._headers: list[Header] = []
        self._body = b""

    def add(self, message: dict[str, Any]) -> bytes | None:
        """What to write once `message` completes the answer: a 101 after `websocket.accept`, else a refusal.

        Raises ValueError for an event that is malformed, or out of place before accept.
        """
        kind = message["type"]
        if self._status is not None:
            if kind != "websocket.http.response.body":
                raise ValueError(f"{kind} in the middle of a refusal")
            return self._add_body(self._status, message)
        if kind == "websocket.accept":
            return self._accept(message)
        if kind == "websocket.close":
            return refusal_bytes(*refusal_of(Forbidden()))
        if kind != "websocket.http.response.start":
            raise ValueError(f"{kind} before the connection was accepted")
        self._start(message)
        return None

    def _accept(self, message: dict[str, Any]) -> bytes:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and subprotocol not in self._subprotocols:
            raise ValueError(f"the client did not offer the sub-protocol {subprotocol!r}")
        return accept_bytes(
            self._accept_key,
            subprotocol=subprotocol,
            headers=message.get("headers") or (),
            spliced=message.get("sluicegate.splice") is not None,
        )

    def _start(self, message: dict[str, Any]) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"a refusal has a status from 200 to 599, got {status!r}")
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        for name, value in headers:
            check_header(name, value)
        self._status, self._headers = status, headers

    def _add_body(self, status: int, message: dict[str, Any]) -> bytes | None:
        self._body += message.get("body", b"")
        if len(self._body) > self._max_body_bytes:
            raise ValueError(f"the body of a refusal may have {self._max_body_bytes} bytes")
        if message.get("more_body", False):
            return None
        return refusal_bytes(status, self._headers, self._body)


def accept_to_refuse(request: UpgradeRequest, accept_key: str) -> bytes:
    """The 101 for a client that is to be closed at once."""
    subprotocol = Subprotocols.split(request.subprotocols).for_refusal
    return accept_bytes(accept_key, subprotocol=subprotocol, headers=(), spliced=False)


def accept_bytes(
    accept_key: str, *, subprotocol: str | None, headers: Iterable[Header], spliced: bool
) -> bytes:
    """The 101 on the wire. Raises ValueError for a header that is malformed or only the server's to set."""
    # `Connection` must be exactly this for Unity's runtime.
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key}\r\n"
    ).encode("ascii")
    if subprotocol is not None:
        head += b"Sec-WebSocket-Protocol: " + subprotocol.encode("latin-1") + b"\r\n"
    for name, value in headers:
        lowered = check_header(name, value)
        if lowered in _OURS or (lowered == b"sec-websocket-extensions" and not spliced):
            raise ValueError(f"websocket.accept may not set the header {name!r}")
        head += name + b": " + value + b"\r\n"
    return head + b"\r\n"


def check_header(name: bytes, value: bytes) -> bytes:
    """The lower-case name of a response header; ValueError if it would break or split the response."""
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise ValueError(f"header names and values are bytes, got {name!r}: {value!r}")
    if not TOKEN.fullmatch(name) or CONTROL_BYTES.search(value):
        raise ValueError(f"invalid header {name!r}")
    return name.lower()


def refusal_bytes(status: int, headers: Iterable[Header], body: bytes) -> bytes:
    """A whole HTTP response that ends the connection."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
    head = f"HTTP/1.1 {status} {phrase}\r\nDate: {formatdate(usegmt=True)}\r\n".encode("ascii")
    for name, value in headers:
        if check_header(name, value) not in _HOP_BY_HOP:
            head += name + b": " + value + b"\r\n"
    options = b"Upgrade, close" if status == HTTPStatus.UPGRADE_REQUIRED else b"close"  # RFC 9110, 7.8
    return head + b"Connection: %b\r\nContent-Length: %d\r\n\r\n" % (options, len(body)) + body
