import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.credentials import MAX_QUERY_FIELDS, Query, Subprotocols, bearer_token, one_token
from proxy.core.errors import AuthenticationFailed, BadRequest


def test_the_query_keeps_the_first_value_of_each_parameter_and_sets_the_tokens_apart() -> None:
    query = Query.parse("experience=wylding-woods&token=abc&experience=other&empty=&a%20b=c+d")
    assert query.values == {"experience": "wylding-woods", "empty": "", "a b": "c d"}
    assert query.tokens == ("abc",)


def test_an_empty_query_is_empty() -> None:
    assert Query.parse("") == Query({}, ())


def test_a_query_of_too_many_parameters_is_a_bad_request() -> None:
    Query.parse("&".join(["a=1"] * MAX_QUERY_FIELDS))
    with pytest.raises(BadRequest):
        Query.parse("&".join(["a=1"] * (MAX_QUERY_FIELDS + 1)))


@given(st.text(max_size=200))
def test_any_query_string_is_read_or_refused(text: str) -> None:
    query = Query.parse(text[:MAX_QUERY_FIELDS])
    assert "token" not in query.values


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ((), Subprotocols(())),
        (("chat", "v2"), Subprotocols(("chat", "v2"))),
        (("bearer", "abc"), Subprotocols((), True, "abc")),
        (("bearer", "abc", "chat"), Subprotocols(("chat",), True, "abc")),
        (("chat", "bearer", "abc", "v2"), Subprotocols(("chat", "v2"), True, "abc")),
        (("chat", "bearer"), Subprotocols(("chat",), True, "")),
        (("Bearer", "abc"), Subprotocols(("Bearer", "abc"))),
    ],
)
def test_the_subprotocol_after_bearer_is_the_token_and_neither_goes_onward(
    offered: tuple[str, ...], expected: Subprotocols
) -> None:
    assert Subprotocols.split(list(offered)) == expected


@given(st.lists(st.sampled_from(["bearer", "a", "b", "c"]), max_size=6))
def test_no_subprotocol_is_lost_but_bearer_and_its_token(offered: list[str]) -> None:
    split = Subprotocols.split(offered)
    assert len(split.others) == len(offered) - (1 + bool(split.token) if split.bearer else 0)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer   abc ", "abc"),
        ("BEARER abc", "abc"),
        ("Bearer", ""),
        ("Basic dXNlcjpwYXNz", ""),
        ("abc", ""),
        ("", ""),
    ],
)
def test_the_authorization_header_holds_a_token_only_for_the_scheme_bearer(header: str, token: str) -> None:
    assert bearer_token(header) == token


def test_the_same_token_may_come_several_ways() -> None:
    assert one_token(["abc", "", " abc "]) == "abc"
    assert one_token(["", ""]) == ""


def test_two_different_tokens_are_refused_without_being_named() -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        one_token(["abc-secret", "def-secret"])
    assert refused.value.reason == "conflicting"
    assert "secret" not in repr(refused.value) + str(refused.value)


def test_what_holds_a_token_does_not_show_it() -> None:
    assert "abc-secret" not in repr(Query.parse("token=abc-secret")) + repr(
        Subprotocols.split(["bearer", "abc-secret"])
    )
