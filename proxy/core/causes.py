"""Why a link has ended, or was refused, as one of a few words: what staff filter and count by, beside the
free reason.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy


class Cause(StrEnum):
    """Why a link has ended. WORDS says each in a sentence."""

    CLIENT_LEFT = "client_left"
    CLIENT_LOST = "client_lost"
    CLIENT_FAILED = "client_failed"
    SERVICE_ENDED = "service_ended"
    SERVICE_LEAVES = "service_leaves"
    SERVICE_REFUSED = "service_refused"
    SERVICE_FAILED = "service_failed"
    SERVICE_LOST = "service_lost"
    SERVICE_AWAY = "service_away"
    RESTART = "restart"
    MEMBER_DRAINS = "member_drains"
    IDLE = "idle"
    NO_PONG = "no_pong"
    SLOW_CONSUMER = "slow_consumer"
    PROTOCOL_ERROR = "protocol_error"
    INVALID_DATA = "invalid_data"
    MESSAGE_RATE = "message_rate"
    MESSAGE_TOO_BIG = "message_too_big"
    NOT_PERMITTED = "not_permitted"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  no password
    REVOKED = "revoked"
    REPLACED = "replaced"
    OVERLOADED = "overloaded"
    DISABLED = "disabled"
    MAINTENANCE = "maintenance"
    KICKED = "kicked"
    BLOCKED = "blocked"
    NODE_LOST = "node_lost"
    GATEWAY_FAILED = "gateway_failed"
    OTHER = "other"


WORDS = {
    Cause.CLIENT_LEFT: "the client closed it",
    Cause.CLIENT_LOST: "the client was lost: no close came from it",
    Cause.CLIENT_FAILED: "the client closed it for a failure of its own, or of what it heard",
    Cause.SERVICE_ENDED: "the service closed it",
    Cause.SERVICE_LEAVES: "the service stops, or restarts",
    Cause.SERVICE_REFUSED: "the service does not permit it",
    Cause.SERVICE_FAILED: "the service failed",
    Cause.SERVICE_LOST: "the service was lost: no close came from it",
    Cause.SERVICE_AWAY: "the service could not be reached",
    Cause.RESTART: "the gateway was stopped, or restarted",
    Cause.MEMBER_DRAINS: "staff moved the links of its member of the pool",
    Cause.IDLE: "nothing crossed it for too long",
    Cause.NO_PONG: "the client answered no ping",
    Cause.SLOW_CONSUMER: "one end read more slowly than the other wrote",
    Cause.PROTOCOL_ERROR: "the client broke the WebSocket protocol",
    Cause.INVALID_DATA: "messages were not what the route takes",
    Cause.MESSAGE_RATE: "the client sent more messages than it may",
    Cause.MESSAGE_TOO_BIG: "a message was too big",
    Cause.NOT_PERMITTED: "the route does not permit it",
    Cause.TOKEN_EXPIRED: "its token has expired",
    Cause.REVOKED: "its token was revoked, or all of its user's were",
    Cause.REPLACED: "a newer connection of the user took its place",
    Cause.OVERLOADED: "the gateway or the service was full",
    Cause.DISABLED: "the route was switched off",
    Cause.MAINTENANCE: "closed for maintenance by staff",
    Cause.KICKED: "staff kicked it",
    Cause.BLOCKED: "staff blocked it",
    Cause.NODE_LOST: "its node was lost",
    Cause.GATEWAY_FAILED: "the gateway failed",
    Cause.OTHER: "something else: see the reason",
}

# Closes of the gateway's own are known by how their reasons begin.
_OWN = {
    closes.CLIENT_LOST: Cause.CLIENT_LOST,
    closes.DRAINING: Cause.RESTART,
    closes.GOING_AWAY: Cause.RESTART,
    closes.MEMBER_DRAINS: Cause.MEMBER_DRAINS,
    closes.RESTART: Cause.RESTART,
    closes.INVALID_DATA: Cause.INVALID_DATA,
    closes.MESSAGE_RATE: Cause.MESSAGE_RATE,
    closes.SLOW_CONSUMER: Cause.SLOW_CONSUMER,
    closes.PING_TIMEOUT: Cause.NO_PONG,
    closes.UPSTREAM_FAILED: Cause.SERVICE_FAILED,
    closes.UPSTREAM_LOST: Cause.SERVICE_LOST,
    closes.UPSTREAM_TIMEOUT: Cause.SERVICE_AWAY,
    closes.UPSTREAM_UNAVAILABLE: Cause.SERVICE_AWAY,
    closes.DISABLED: Cause.DISABLED,
    closes.MAINTENANCE: Cause.MAINTENANCE,
}
# Others by their codes alone.
_GATEWAY = {
    1000: Cause.SERVICE_ENDED,
    1002: Cause.PROTOCOL_ERROR,
    1007: Cause.PROTOCOL_ERROR,
    1008: Cause.NOT_PERMITTED,
    1009: Cause.MESSAGE_TOO_BIG,
    1011: Cause.GATEWAY_FAILED,
    4001: Cause.KICKED,
    4003: Cause.BLOCKED,
    4008: Cause.IDLE,
    4009: Cause.REPLACED,
    4010: Cause.TOKEN_EXPIRED,
    4011: Cause.REVOKED,
    4013: Cause.OVERLOADED,
}
_CLIENT = {1000: Cause.CLIENT_LEFT, 1001: Cause.CLIENT_LEFT, 1005: Cause.CLIENT_LEFT, 1006: Cause.CLIENT_LOST}
_SERVICE = {
    1000: Cause.SERVICE_ENDED,
    1001: Cause.SERVICE_LEAVES,
    1005: Cause.SERVICE_ENDED,
    1006: Cause.SERVICE_LOST,
    1008: Cause.SERVICE_REFUSED,
    1009: Cause.MESSAGE_TOO_BIG,
    1012: Cause.SERVICE_LEAVES,
    1013: Cause.OVERLOADED,
}


# Why a handshake was refused: the `cause` of each failure. Routes may have words of their own.
REFUSED = {
    "authentication_failed": "the route does not know who it is",
    "token_missing": "no token was sent",
    "token_conflicting": "two different tokens were sent",
    "token_malformed": "the token is no JSON Web Token",
    "token_algorithm": "the token is signed with an algorithm that is not taken",
    "token_unknown_key": "the token names a key that its issuer does not have",
    "token_signature": "the token's signature is not valid: another key, or a forgery",
    "token_expired": "the token had expired",
    "token_revoked": "the token was revoked, or all of its user's were",
    "token_no_expiry": "the token has no end (exp)",
    "token_absurd_time": "the token's times are no seconds since 1970",
    "token_not_yet_valid": "the token is not valid yet (nbf)",
    "token_issuer": "the token is from another issuer (iss)",
    "token_audience": "the token is for another audience (aud)",
    "token_not_access_token": "the token is no access token, but a refresh token, say",
    "token_subject": "the token names no user as it should",
    "ticket_gone": "the ticket was used, had expired, or was none",
    "ticket_route": "the ticket was for another route",
    "ticket_address": "the ticket was for a client of another address",
    "ticket_conflicting": "two different tickets were sent, or a token beside one",
    "tickets_unavailable": "Redis was away, and nobody could say whether the ticket was used",
    "keys_unavailable": "the issuer's keys could not be had",
    "forbidden": "the route does not permit it",
    "origin_refused": "a page of a site that is not on ALLOWED_ORIGINS",
    "blocked": "a block of staff keeps it out",
    "bad_request": "the handshake was not as it should be",
    "host_refused": "a host name that is not on ALLOWED_HOSTS",
    "not_found": "nothing is at that path, or the service knows nothing by that name",
    "too_many_per_ip": "its address had as many connections as one may have",
    "too_many_per_user": "the user had as many connections as one may have",
    "too_many_rate_per_ip": "its address came too often",
    "upstream_refused": "the service refused it, or broke the handshake",
    "service_refused": "the service does not let it in",
    "service_busy": "the service was busy",
    "upstream_unavailable": "no member of the pool could be reached",
    "upstream_timeout": "the service did not answer in time",
    "overloaded": "the gateway was full",
    "draining": "the gateway was stopped, or restarted",
    "disabled": "WebSockets were switched off",
    "closed_for_maintenance": "closed for maintenance by staff",
    "full": "what it asked for was full",
    "internal_error": "the gateway failed",
}


def refused_words_of(cause: str) -> str:
    """What the `cause` of a refusal means, in words; a route's own stands for itself."""
    return REFUSED.get(cause, cause.replace("_", " "))


def words_of(cause: str) -> str:
    """What `cause` means, in words; one that this release does not know stands for itself."""
    known = cause in set(Cause)
    return WORDS[Cause(cause)] if known else cause


def cause_of(close: Close, by: ClosedBy) -> Cause:
    """Why a link that ended so has ended; never raises, whatever a client or a service has said."""
    if by is ClosedBy.NODE_LOST:
        return Cause.NODE_LOST
    if by is ClosedBy.CLIENT:
        return _CLIENT.get(close.code, Cause.CLIENT_LEFT if close.code >= 3000 else Cause.CLIENT_FAILED)
    if by is ClosedBy.UPSTREAM:
        return _SERVICE.get(close.code, Cause.SERVICE_ENDED if close.code >= 3000 else Cause.SERVICE_FAILED)
    for known, cause in _OWN.items():
        if close.code == known.code and close.reason.startswith(known.reason):
            return cause
    return _GATEWAY.get(close.code, Cause.OTHER)
