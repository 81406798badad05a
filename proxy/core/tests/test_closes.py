"""Closes: what may stand in a close frame, and what the other end is told."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import closes
from proxy.core.closes import MAX_REASON_BYTES, Close, ComeBack, clip_reason, is_sendable

NAMED = {name: close for name, close in vars(closes).items() if isinstance(close, Close)}
OWN_CLOSES = [close for close in NAMED.values() if close != closes.LOST]
# Codes that only a parser closes with: the reason is what it found.
VIOLATIONS = {1002, 1007}
HOUSE = Path(closes.__file__).parents[1]
SOURCES = [
    path for path in HOUSE.rglob("*.py") if "tests" not in path.parts and path != Path(closes.__file__)
]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_code_that_may_not_stand_in_a_close_frame_is_known(code: int) -> None:
    assert not is_sendable(code)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4001, 4999])
def test_every_code_that_an_end_may_send_is_passed_through(code: int) -> None:
    assert Close(code, "why").for_wire() == Close(code, "why")


@pytest.mark.parametrize(
    ("code", "reason"), [("4000", "x"), (None, "x"), (4000.0, "x"), (4000, None), (4000, b"x"), (4000, 7)]
)
def test_what_is_no_code_and_no_reason_makes_no_close(code: Any, reason: Any) -> None:
    with pytest.raises(TypeError, match="a close has an int and a str"):
        Close(code, reason)


@given(code=st.integers(0, 70_000), reason=st.text())
def test_what_goes_on_the_wire_always_fits_a_close_frame(code: int, reason: str) -> None:
    sent = Close(code, reason).for_wire()
    assert sent == Close(1005, "") or is_sendable(sent.code)
    assert len(sent.reason.encode()) <= MAX_REASON_BYTES


@pytest.mark.parametrize("code", [1006, 1015, 0])
def test_a_lost_end_is_told_as_a_failure_and_not_as_a_clean_end(code: int) -> None:
    assert Close(code).for_wire() == closes.UPSTREAM_LOST
    assert Close(code).for_wire(lost=closes.CLIENT_LOST) == closes.CLIENT_LOST


def test_an_empty_close_stays_empty() -> None:
    assert Close(1005, "never sent").for_wire() == Close(1005, "")


@given(st.text(st.characters(codec="utf-8"), min_size=30, max_size=200))
def test_a_reason_is_cut_between_characters_and_only_as_far_as_needed(reason: str) -> None:
    clipped = clip_reason(reason)
    assert reason.startswith(clipped)
    if clipped != reason:
        assert MAX_REASON_BYTES - 4 < len(clipped.encode()) <= MAX_REASON_BYTES


def test_a_reason_that_is_no_valid_text_can_still_be_sent() -> None:
    assert clip_reason("bad \ud800 end") == "bad ? end"


@pytest.mark.parametrize("close", OWN_CLOSES)
def test_the_gateways_own_closes_reach_a_unity_client_and_fit_a_frame(close: Close) -> None:
    """Unity aborts at 1012, 1013 and 1014 and loses code and reason."""
    assert is_sendable(close.code)
    assert close.code not in {1012, 1013, 1014}
    assert clip_reason(close.reason) == close.reason


@pytest.mark.parametrize("close", OWN_CLOSES)
def test_every_close_of_the_gateway_has_one_meaning(close: Close) -> None:
    """All but 1000: whoever closes with it has said all it had to say."""
    assert close == closes.NORMAL or close.code in closes.MEANINGS


def test_every_code_that_has_a_meaning_is_closed_with() -> None:
    assert {close.code for close in OWN_CLOSES} | VIOLATIONS == closes.MEANINGS.keys() | {closes.NORMAL.code}


def test_no_close_is_declared_outside_of_the_table() -> None:
    calls = [
        (path.name, call)
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Close"
    ]
    assert len(calls) > 5
    assert not [
        (name, ast.unparse(call))
        for name, call in calls
        if call.args and (isinstance(call.args[0], ast.Constant) or "CloseCode" in ast.unparse(call.args[0]))
    ]


def test_every_close_of_the_table_is_used() -> None:
    words = {
        word
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        for word in (getattr(node, "attr", ""), getattr(node, "id", ""))
    }
    assert NAMED.keys() <= words


def test_a_close_says_whether_its_client_comes_back() -> None:
    assert closes.KICKED.saying("go away").comes_back is ComeBack.NO
    assert closes.TOKEN_EXPIRED.comes_back is ComeBack.FRESH_TOKEN
    assert closes.retry_in(closes.OVERLOADED, 1).comes_back is ComeBack.WHEN_TOLD
    assert Close(3333, "a service's own").comes_back is None
    assert Close().comes_back is None


def test_the_time_to_come_back_is_named_in_whole_milliseconds() -> None:
    assert closes.retry_in(closes.RESTART, 0.5) == Close(1001, "restart; retry in 500 ms")
    assert closes.retry_in(closes.RESTART, 0.0001).reason.endswith(" 1 ms")
