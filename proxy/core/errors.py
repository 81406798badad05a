"""Every failure that ends in a refusal or a close, in one tree.

A failure carries its consequences: the HTTP status of a refusal before accept, the close after it, and the
bounded metric label. `str()` is for operators; clients see `code` and `message` only.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from proxy.core import closes
from proxy.core.answers import one_text
from proxy.core.closes import Close, ComeBack
from proxy.core.principal import Principal
from proxy.core.wire.control_messages import encode

# What a refused client is told, at most; the server takes a body of 64 KiB.
_MOST_TOLD_BYTES = 16 * 1024


class GatewayError(Exception):
    """A failure that ends in a refusal or a close. str() is for operators, never for clients."""

    status: int = 500
    close: Close = closes.INTERNAL_ERROR
    code: ClassVar[str] = "internal_error"
    message: str = "Internal error."
    retry_after_seconds: float | None = None
    upstream: str = ""  # the member whose answer it is, as it was declared
    was_of: Principal | None = None  # whom it refuses, where a verified token says so

    def check(self) -> None:
        """TypeError or ValueError if no client can be told of it: its fields are anybody's to set."""
        if not isinstance(self.status, int) or not 200 <= self.status <= 599:
            raise ValueError(f"a refusal has a status from 200 to 599, not {self.status!r}")
        wait_seconds = self.retry_after_seconds
        if wait_seconds is not None and not 0 <= wait_seconds < math.inf:
            raise ValueError(f"a client comes back after some seconds, not {wait_seconds!r}")
        if len(encode(**self.fields()).encode()) > _MOST_TOLD_BYTES:
            raise ValueError(f"a refused client is told at most {_MOST_TOLD_BYTES} bytes of JSON")
        for text in (self.message, self.code, self.outcome, self.upstream, str(self)):
            one_text(text)
        closes.check_sendable(self.as_close())

    def __init_subclass__(cls) -> None:
        """Raises ValueError for a product's failure with a close that cannot be sent."""
        closes.check_sendable(cls.close)

    @property
    def outcome(self) -> str:
        """The bounded metric label: the same word as the client's `code`."""
        return self.code

    @property
    def cause(self) -> str:
        """Why, for the record of refusals: one of a few words, which core/causes.py says in sentences."""
        return self.outcome

    def fields(self) -> dict[str, Any]:
        """What a refused client is told, as the JSON object of the refusal's body."""
        told: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.retry_after_seconds is not None:
            told["retry_after_ms"] = math.ceil(self.retry_after_seconds * 1000)
        return told

    def as_close(self) -> Close:
        """What a client that can see no status is told instead, when to come back included."""
        if self.retry_after_seconds is None or self.close.comes_back is not ComeBack.WHEN_TOLD:
            return self.close
        return closes.retry_in(self.close, self.retry_after_seconds)


# What a 405 says where there is only something to read.
READ_ONLY = "GET or HEAD, please."

# Why a token is not taken: a bounded label, and what its sender is told. Claims come after the signature,
# so that nobody learns from it what a token would need.
TOKEN_REASONS = {
    "missing": "No token was sent.",
    "conflicting": "Two different tokens were sent.",
    "malformed": "The token is not a valid JSON Web Token.",
    "algorithm": "The token is signed with an algorithm that is not accepted here.",
    "unknown_key": "The token names no key that its issuer has.",
    "signature": "The token's signature is not valid.",
    "expired": "The token has expired.",
    "revoked": "The token was revoked.",
    "no_expiry": "The token has no exp claim.",
    "absurd_time": "exp, nbf and iat must be seconds since 1970, as numbers; not milliseconds.",
    "not_yet_valid": "The token is not valid yet (nbf).",
    "issuer": "The token is from another issuer (iss).",
    "audience": "The token is meant for another audience (aud).",
    "not_access_token": "The token is not an access token (token_type).",
    "subject": "The token's user id must be printable text of 1 to 255 characters.",
}


class AuthenticationFailed(GatewayError):
    """Nobody can tell who the client is: what a route's own `authenticate` raises.

    The client gets the route's `unauthenticated_status`. `reason` is the metric's label, whatever is said.
    """

    status = 401
    close = closes.AUTHENTICATION_FAILED
    code = "authentication_failed"
    message = "The credentials are missing or not valid."
    reason: str = "credentials"

    def __init__(self, why: str = "", *, message: str = "") -> None:
        """`why` is for the log alone; `message`, which is not "", is told to the client, too: a sentence that
        helps nobody to guess. Neither may hold what the client has shown."""
        super().__init__(f"authentication failed: {why or message or self.reason}")
        if message:
            self.message, self.close = message, self.close.saying(message)

    def check(self) -> None:
        super().check()
        one_text(self.reason)


class TokenRefused(AuthenticationFailed):
    """No JSON Web Token, or one that is not valid here. `reason` is one of TOKEN_REASONS, never the token."""

    def __init__(self, reason: str, *, why: str = "") -> None:
        """`why`: what operators should know beside the reason."""
        super().__init__(why or reason)
        self.reason, self.message = reason, TOKEN_REASONS[reason]

    @property
    def cause(self) -> str:
        return f"token_{self.reason}"


class TokenExpired(TokenRefused):
    """The token was valid once, that of `was_of`, its signature verified. Come back with a fresh one."""

    close = closes.TOKEN_EXPIRED
    code = "token_expired"

    def __init__(self, why: str = "", *, was_of: Principal | None = None) -> None:
        super().__init__("expired", why=why)
        self.was_of = was_of


class TokenRevoked(TokenRefused):
    """The token was taken back, or all of its user's were. Only a new login helps."""

    close = closes.TOKEN_REVOKED
    code = "token_revoked"

    def __init__(self) -> None:
        super().__init__("revoked")


class KeysUnavailable(GatewayError):
    """The token issuer's keys are not at hand yet, so nobody can tell whether the token is valid."""

    status = 503
    close = closes.OVERLOADED
    code = "keys_unavailable"
    message = "Tokens cannot be checked right now; try again."
    retry_after_seconds: float = 2.0

    def __init__(self, why: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(why)
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class Forbidden(GatewayError):
    """Known, but not allowed: a refused origin, a route's own `authorize`."""

    status = 403
    close = closes.NOT_PERMITTED
    code = "forbidden"
    message = "Not permitted."

    def __init__(self, why: str = "", *, message: str = "") -> None:
        """`why` is for the log alone; `message`, which is not "", is told to the client, too."""
        super().__init__(why or message)
        if message:
            self.message, self.close = message, self.close.saying(message)


class OriginRefused(Forbidden):
    """The Origin header names another site, and one that is not on ALLOWED_ORIGINS."""

    close = closes.ORIGIN_REFUSED  # all that a page ever sees of it
    code = "origin_refused"
    message = "This origin is not allowed."


class Blocked(Forbidden):
    """A Block row matches the user or the address."""

    close = closes.BLOCKED
    code = "blocked"
    message = "Blocked."


class BadRequest(GatewayError):
    """The handshake lacks something that the route needs."""

    status = 400
    close = closes.INVALID_DATA
    code = "bad_request"
    message = "The request is not valid for this route."


class MalformedHead(BadRequest):
    """The handshake's headers hold what HTTP or WebSocket does not allow."""

    message = "The headers of the request are not valid."


class MalformedPath(BadRequest):
    """The path is not UTF-8 once it is decoded: two such would be the same to whoever reads it."""

    message = "The path of the request is not UTF-8."


class HostRefused(BadRequest):
    """The Host is missing, twice there, malformed or not on ALLOWED_HOSTS; or X-Forwarded-Host is not."""

    code = "host_refused"
    message = "This host name is not one of the gateway's."


class NotFound(GatewayError):
    """No such path, or the service knows nothing by the name that was asked for."""

    status = 404
    close = closes.NOT_FOUND
    code = "not_found"
    message = "Nothing is here by that name."


_BOUNDS = {
    "per_ip": "connections of one address",
    "per_user": "connections of one user",
    "rate_per_ip": "new connections of one address",
    "http_per_ip": "HTTP requests of one address at once",
    "calls_per_user": "such calls of one caller",
    "refused_calls": "refused calls of one caller or address",
}


class TooMany(GatewayError):
    """A cap or a rate was reached: `which` of the bounds above, and its `limit` as people write it."""

    status = 429
    code = "too_many"

    def __init__(self, which: str, *, limit: object, retry_after_seconds: float) -> None:
        super().__init__(f"{which} limit reached: {limit}")
        self.which, self.retry_after_seconds = which, retry_after_seconds
        what = _BOUNDS[which]
        self.message = f"Too many {what}: at most {limit}."
        self.close = closes.TOO_MANY_CONNECTIONS.saying(f"too many {what}, at most {limit}")

    @property
    def outcome(self) -> str:
        return f"too_many_{self.which}"

    def fields(self) -> dict[str, Any]:
        return {**super().fields(), "bound": self.which}


# However long a service says that it will be busy, its clients ask again after this.
_LONGEST_BUSY_SECONDS = 3600.0


class UpstreamRefused(GatewayError):
    """The upstream answered the handshake with a status that nothing else here stands for, or broke it."""

    status = 502
    close = closes.UPSTREAM_FAILED
    code = "upstream_refused"
    message = "The service refused the connection."

    def __init__(self, why: str, *, upstream_status: int | None = None) -> None:
        super().__init__(f"upstream refused the handshake: {why}")
        self.upstream_status = upstream_status


class ServiceRefused(GatewayError):
    """The service itself says that this client may not come in (401, 403). `words`: its own, or ""."""

    status = 403
    code = "service_refused"
    message = "The service does not let this client in."

    def __init__(self, status: int, *, words: str = "") -> None:
        super().__init__(f"the service refused the client: status {status} {words}".rstrip())
        self.status, self.message = status, words or self.message
        reason = f"refused by the service: {words}" if words else "refused by the service"
        self.close = closes.AUTHENTICATION_FAILED.saying(reason)


class ServiceBusy(GatewayError):
    """The service itself asks for patience (429, 503), and perhaps says how much."""

    status = 503
    close = closes.SERVICE_BUSY
    code = "service_busy"
    message = "The service takes no more clients right now; try again later."
    retry_after_seconds: float = 2.0

    def __init__(self, status: int = 503, *, retry_after_seconds: float | None = None) -> None:
        """`retry_after_seconds`: what the service says, taken within bounds; None if it does not."""
        super().__init__(f"the service is busy: status {status}")
        if retry_after_seconds is not None:
            self.retry_after_seconds = min(max(retry_after_seconds, 1.0), _LONGEST_BUSY_SECONDS)


class UpstreamUnavailable(GatewayError):
    """No member of the pool could be dialled. Clients may come back."""

    status = 503
    close = closes.UPSTREAM_UNAVAILABLE
    code = "upstream_unavailable"
    message = "The service is not available."
    retry_after_seconds = 2.0

    def __init__(self, pool: str, *, why: str, wait_seconds: float = 0.0) -> None:
        """`wait_seconds`: before that, there is no use in coming back."""
        super().__init__(f"pool {pool!r}: {why}")
        self.pool = pool
        self.retry_after_seconds = max(self.retry_after_seconds, wait_seconds)


class NoMembers(UpstreamUnavailable):
    """The pool has no member, since nobody has named any. Who comes back may find that somebody has."""

    message = "No service is configured for this path."


class UpstreamTimeout(GatewayError):
    """The upstream, or Redis, did not answer in time."""

    status = 504
    close = closes.UPSTREAM_TIMEOUT
    code = "upstream_timeout"
    message = "No answer came in time."


class Overloaded(GatewayError):
    """This node is full, or its dial queue is."""

    status = 503
    close = closes.OVERLOADED
    code = "overloaded"
    message = "The gateway is full; try again later."
    retry_after_seconds = 2.0


class Draining(GatewayError):
    """This node takes no new links."""

    status = 503
    close = closes.DRAINING
    code = "draining"
    message = "The gateway is restarting; try again."
    retry_after_seconds = 1.0


class Disabled(GatewayError):
    """WEBSOCKET_ENABLED is false."""

    status = 503
    close = closes.DISABLED
    code = "disabled"
    message = "WebSockets are switched off here."
    retry_after_seconds = 30.0


class LegClosed(Exception):
    """A leg is closed; carries the close as received on it (1005: empty, 1006: lost).

    Raises TypeError for what is no Close, ValueError for nobody who closes.
    """

    def __init__(self, close: Close, *, by: closes.ClosedBy) -> None:
        if not isinstance(close, Close):
            raise TypeError(f"a leg is closed with a Close, not {type(close).__name__}")
        super().__init__(f"{by} closed: {close.code} {close.reason}")
        self.close, self.by = close, closes.ClosedBy(by)


class ClientLeft(Exception):
    """The client went away before the application answered it, or the server answered in its place."""
