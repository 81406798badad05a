"""Every close has one of a few causes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import closes
from proxy.core.causes import WORDS, Cause, cause_of
from proxy.core.closes import MEANINGS, Close, ClosedBy

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


@given(st.integers(0, 70_000), st.text(), st.sampled_from(ClosedBy))
def test_whatever_is_said_has_a_cause(code: int, reason: str, by: ClosedBy) -> None:
    assert cause_of(Close(code, reason), by) in Cause
