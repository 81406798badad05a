"""Every close has one of a few causes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import closes
from proxy.core.causes import REFUSED, WORDS, Cause, cause_of, refused_words_of
from proxy.core.closes import MEANINGS, Close, ClosedBy
from proxy.core.errors import TOKEN_REASONS, GatewayError
from proxy.core.tickets import TICKET_REASONS, TicketRefused
from proxy.core.topic_rules import Full

OWN = [each for name, each in vars(closes).items() if name.isupper() and isinstance(each, Close)]


def test_every_cause_is_said_in_words() -> None:
    assert set(WORDS) == set(Cause)


@pytest.mark.parametrize("close", [each for each in OWN if each.code != closes.ABNORMAL], ids=str)
def test_no_close_of_the_gateways_own_is_something_else(close: Close) -> None:
    for said in (close, closes.retry_in(close, 1.5)):
        assert cause_of(said, ClosedBy.GATEWAY) is not Cause.OTHER


@pytest.mark.parametrize("code", MEANINGS)
def test_no_code_of_the_gateways_own_is_something_else_but_a_products_1001(code: int) -> None:
    assert (cause_of(Close(code, "a product's words"), ClosedBy.GATEWAY) is Cause.OTHER) == (code == 1001)


@pytest.mark.parametrize(
    ("close", "by", "cause"),
    [
        (closes.KICKED.saying("be nice"), ClosedBy.STAFF, Cause.KICKED),
        (closes.BLOCKED, ClosedBy.STAFF, Cause.BLOCKED),
        (closes.TOKEN_REVOKED, ClosedBy.GATEWAY, Cause.REVOKED),
        (closes.retry_in(closes.RESTART, 2), ClosedBy.GATEWAY, Cause.RESTART),
        (closes.retry_in(closes.MEMBER_DRAINS, 2), ClosedBy.GATEWAY, Cause.MEMBER_DRAINS),
        (closes.too_big(ClosedBy.UPSTREAM), ClosedBy.GATEWAY, Cause.MESSAGE_TOO_BIG),
        (closes.UPSTREAM_LOST, ClosedBy.GATEWAY, Cause.SERVICE_LOST),
        (closes.INTERNAL_ERROR, ClosedBy.GATEWAY, Cause.GATEWAY_FAILED),
        (closes.LOST, ClosedBy.CLIENT, Cause.CLIENT_LOST),
        (closes.LOST, ClosedBy.UPSTREAM, Cause.SERVICE_LOST),
        (closes.LOST, ClosedBy.NODE_LOST, Cause.NODE_LOST),
        (Close(1005), ClosedBy.CLIENT, Cause.CLIENT_LEFT),
        (Close(1011, "oops"), ClosedBy.UPSTREAM, Cause.SERVICE_FAILED),
        (Close(4000, "the game is over"), ClosedBy.UPSTREAM, Cause.SERVICE_ENDED),
        (Close(4010, "token expired"), ClosedBy.UPSTREAM, Cause.SERVICE_ENDED),
    ],
)
def test_what_a_close_comes_from(close: Close, by: ClosedBy, cause: Cause) -> None:
    assert cause_of(close, by) is cause


def failures(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from failures(each)


def test_each_refusal_of_the_gateways_own_is_said_in_words() -> None:
    homes = {"proxy.core.errors", TicketRefused.__module__, Full.__module__}
    own = {each.code for each in failures() if each.__module__ in homes}
    causes = own - {"too_many", "ticket_refused"} | {f"token_{reason}" for reason in TOKEN_REASONS}
    causes |= TICKET_REASONS.keys()
    causes |= {f"too_many_{which}" for which in ("per_ip", "per_user", "rate_per_ip")}
    assert causes == set(REFUSED)


def test_a_cause_of_a_routes_own_stands_for_itself() -> None:
    assert refused_words_of("game_is_full") == "game is full"


@given(st.integers(0, 70_000), st.text(), st.sampled_from(ClosedBy))
def test_whatever_is_said_has_a_cause(code: int, reason: str, by: ClosedBy) -> None:
    assert cause_of(Close(code, reason), by) in Cause
