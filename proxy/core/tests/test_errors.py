"""Every failure and its consequences, as DESIGN's tables have them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from proxy.core import closes, errors, tickets
from proxy.core.closes import Close, ClosedBy, ComeBack, is_sendable
from proxy.core.errors import GatewayError, LegClosed
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import Rate

SECRET = "eyJ.secret.token at 10.1.2.3"

# error, status, close, code, Retry-After in seconds
TABLE: list[tuple[GatewayError, int, Close, str, float | None]] = [
    (errors.GatewayError(SECRET), 500, Close(1011, "internal error"), "internal_error", None),
    (
        errors.AuthenticationFailed(SECRET),
        401,
        Close(1008, "authentication failed"),
        "authentication_failed",
        None,
    ),
    (
        errors.TokenRefused("missing", why=SECRET),
        401,
        Close(1008, "authentication failed"),
        "authentication_failed",
        None,
    ),
    (errors.TokenExpired(), 401, Close(4010, "token expired"), "token_expired", None),
    (errors.TokenRevoked(), 401, Close(4011, "token revoked"), "token_revoked", None),
    (
        tickets.TicketRefused("ticket_gone"),
        401,
        Close(4010, "fetch a new ticket"),
        "ticket_refused",
        None,
    ),
    (tickets.TicketsUnavailable(SECRET), 503, Close(4013, "overloaded"), "tickets_unavailable", 2.0),
    (
        errors.KeysUnavailable(SECRET),
        503,
        Close(4013, "overloaded"),
        "keys_unavailable",
        2,
    ),
    (HookFailed("topics"), 500, Close(1011, "internal error"), "internal_error", None),
    (errors.Forbidden(SECRET), 403, Close(1008, "not permitted"), "forbidden", None),
    (errors.OriginRefused(SECRET), 403, Close(1008, "origin not allowed"), "origin_refused", None),
    (errors.Blocked(SECRET), 403, Close(4003, "blocked"), "blocked", None),
    (errors.BadRequest(SECRET), 400, Close(1008, "invalid data"), "bad_request", None),
    (errors.MalformedHead(SECRET), 400, Close(1008, "invalid data"), "bad_request", None),
    (errors.MalformedPath(SECRET), 400, Close(1008, "invalid data"), "bad_request", None),
    (errors.HostRefused(SECRET), 400, Close(1008, "invalid data"), "host_refused", None),
    (errors.NotFound(SECRET), 404, Close(1008, "not found"), "not_found", None),
    (
        errors.TooMany("per_ip", limit=10, retry_after_seconds=7),
        429,
        Close(4013, "too many connections of one address, at most 10"),
        "too_many",
        7,
    ),
    (errors.ServiceRefused(401), 401, Close(1008, "refused by the service"), "service_refused", None),
    (errors.UpstreamRefused(SECRET), 502, Close(1011, "upstream failed"), "upstream_refused", None),
    (errors.ServiceBusy(), 503, Close(4013, "service busy"), "service_busy", 2),
    (
        errors.UpstreamUnavailable("kb", why=SECRET),
        503,
        Close(1011, "upstream unavailable"),
        "upstream_unavailable",
        2,
    ),
    (
        errors.NoMembers("kb", why=SECRET),
        503,
        Close(1011, "upstream unavailable"),
        "upstream_unavailable",
        2,
    ),
    (errors.UpstreamTimeout(SECRET), 504, Close(1011, "upstream timeout"), "upstream_timeout", None),
    (errors.Overloaded(SECRET), 503, Close(4013, "overloaded"), "overloaded", 2),
    (errors.Draining(SECRET), 503, Close(1001, "draining"), "draining", 1),
    (errors.Disabled(SECRET), 503, Close(4013, "disabled"), "disabled", 30),
]
ERRORS = [row[0] for row in TABLE]


def _all_errors(root: type[GatewayError] = GatewayError) -> set[type[GatewayError]]:
    return {root}.union(*(_all_errors(kind) for kind in root.__subclasses__()))


def _name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, GatewayError) else None


def test_the_table_below_knows_every_failure() -> None:
    homes = {errors.__name__, tickets.__name__, HookFailed.__module__}
    assert {type(error) for error in ERRORS} == {kind for kind in _all_errors() if kind.__module__ in homes}


@pytest.mark.parametrize(("error", "status", "close", "code", "retry_after_seconds"), TABLE, ids=_name)
def test_a_failure_carries_its_status_its_close_and_its_code(
    error: GatewayError, status: int, close: Close, code: str, retry_after_seconds: float | None
) -> None:
    assert (error.status, error.close, error.code) == (status, close, code)
    assert error.retry_after_seconds == retry_after_seconds


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_what_a_client_is_told_is_a_sentence_and_holds_nothing_of_the_operators_text(
    error: GatewayError,
) -> None:
    for told in (error.message, error.code, error.close.reason, error.outcome):
        assert told
        assert "secret" not in told
        assert "10.1.2.3" not in told
    assert error.message.endswith(".")
    assert is_sendable(error.close.code)


def test_the_metric_label_is_the_code_and_says_which_limit_was_reached() -> None:
    assert errors.Blocked("x").outcome == "blocked"
    assert errors.TooMany("per_user", limit=5, retry_after_seconds=1).outcome == "too_many_per_user"


@pytest.mark.parametrize(
    ("error", "message", "reason"),
    [
        (
            errors.TooMany("per_user", limit=5, retry_after_seconds=5),
            "Too many connections of one user: at most 5.",
            "too many connections of one user, at most 5; retry in 5000 ms",
        ),
        (
            errors.TooMany("rate_per_ip", limit=Rate(20, 1), retry_after_seconds=0.0421),
            "Too many new connections of one address: at most 20/s.",
            "too many new connections of one address, at most 20/s; retry in 43 ms",
        ),
    ],
    ids=["cap", "rate"],
)
def test_a_cap_and_a_rate_say_which_bound_it_is_and_when_to_come_back(
    error: errors.TooMany, message: str, reason: str
) -> None:
    assert error.as_close() == Close(4013, reason)
    assert error.fields() == {
        "code": "too_many",
        "message": message,
        "retry_after_ms": math.ceil((error.retry_after_seconds or 0) * 1000),
        "bound": error.which,
    }


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_a_close_names_a_time_where_its_code_says_so_and_the_failure_has_one(error: GatewayError) -> None:
    told, meaning = error.as_close(), closes.MEANINGS[error.close.code]
    names_time = meaning.come_back is ComeBack.WHEN_TOLD and error.retry_after_seconds is not None
    assert told.code == error.close.code
    assert bool(re.search(r"; retry in \d+ ms$", told.reason)) is names_time
    assert closes.clip_reason(told.reason) == told.reason
    assert ("retry_after_ms" in error.fields()) is (error.retry_after_seconds is not None)


def test_no_two_failures_share_a_code() -> None:
    named = [error.code for error in ERRORS if "code" in vars(type(error))]
    assert len(set(named)) == len(named) >= len(ERRORS) - 5


def test_a_services_own_words_reach_the_client_as_a_body_and_as_a_reason() -> None:
    refused = errors.ServiceRefused(403, words="You are not in this guild." + "!" * 150)
    assert refused.fields()["message"].startswith("You are not in this guild.")
    assert refused.as_close().code == 1008
    assert refused.as_close().reason.startswith("refused by the service: You are not in this guild.")
    assert closes.clip_reason(refused.as_close().reason) == refused.as_close().reason


def test_a_routes_words_for_who_it_does_not_know_are_a_reason_of_a_close_too() -> None:
    refused = errors.AuthenticationFailed("k-1", message="No such API key." + "é" * 99)
    assert refused.as_close().code == 1008
    assert refused.as_close().reason.startswith("No such API key.")
    assert closes.clip_reason(refused.as_close().reason) == refused.as_close().reason
    assert str(errors.AuthenticationFailed(message="No such key.")) == "authentication failed: No such key."
    assert str(errors.AuthenticationFailed()) == "authentication failed: credentials"


def test_a_failure_whose_close_cannot_be_sent_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="no close frame has the code 1006; 3000 to 4999"):
        type("Lost", (GatewayError,), {"close": closes.LOST, "__module__": __name__})


def test_operators_read_what_happened() -> None:
    assert str(errors.TokenRefused("signature")) == "authentication failed: signature"
    assert str(errors.UpstreamUnavailable("kb", why="no members")) == "pool 'kb': no members"
    refused = errors.UpstreamRefused("status 500", upstream_status=500)
    assert (str(refused), refused.upstream_status) == ("upstream refused the handshake: status 500", 500)


def test_a_closed_leg_says_how_and_by_whom() -> None:
    ended = LegClosed(Close(4321, "over"), by=ClosedBy.UPSTREAM)
    assert (ended.close, ended.by) == (Close(4321, "over"), ClosedBy.UPSTREAM)
    assert str(ended) == "upstream closed: 4321 over"


@pytest.mark.parametrize(("close", "by"), [("4000", ClosedBy.UPSTREAM), (Close(4000), "somebody")])
def test_what_is_no_close_or_nobody_closes_no_leg(close: Any, by: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        LegClosed(close, by=by)


def test_a_products_failure_may_have_a_close_code_of_its_own() -> None:
    class Closed(errors.GatewayError):
        close = Close(4100, "the shop is closed")
        retry_after_seconds = 60.0

    assert Closed().as_close() == Close(4100, "the shop is closed")


def test_what_a_client_may_know_of_why_it_is_forbidden_is_told_and_nothing_else() -> None:
    told = errors.Forbidden(SECRET, message="Not yours. " + "é" * 100)
    assert SECRET not in str(told.fields()) + told.as_close().reason
    assert told.fields()["message"] == told.message
    assert told.as_close().reason.startswith("Not yours. é")
    assert len(told.as_close().reason.encode()) <= 123
