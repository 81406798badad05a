import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.credentials import MAX_QUERY_FIELDS, Query, Subprotocols, bearer_token, one_token
from proxy.core.errors import AuthenticationFailed, BadRequest

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln"


def test_the_query_keeps_the_first_value_of_each_parameter_and_sets_the_tokens_apart() -> None:
    query = Query.parse("experience=wylding-woods&token=abc&experience=other&empty=&a%20b=c+d")
    assert query.values == {"experience": "wylding-woods", "empty": "", "a b": "c d"}
    assert query.tokens == ("abc",)


def test_the_query_sets_the_tickets_apart_too_and_shows_none() -> None:
    query = Query.parse("ticket=first&a=b&ticket=&ticket=second")
    assert (query.values, query.tickets) == ({"a": "b"}, ("first", "second"))
    assert "first" not in repr(query)


def test_an_empty_query_is_empty() -> None:
    assert Query.parse("") == Query({}, ())


def test_a_query_of_too_many_parameters_is_a_bad_request() -> None:
    Query.parse("&".join(["a=1"] * MAX_QUERY_FIELDS))
    with pytest.raises(BadRequest):
        Query.parse("&".join(["a=1"] * (MAX_QUERY_FIELDS + 1)))


@given(st.text(max_size=200))
def test_any_query_string_is_read_or_refused(text: str) -> None:
    query = Query.parse(text[:MAX_QUERY_FIELDS])
    assert query.values.keys().isdisjoint({"token", "ticket"})


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ((), Subprotocols(())),
        (("chat", "v2"), Subprotocols(("chat", "v2"))),
        (("bearer", "abc"), Subprotocols((), True, ("abc",))),
        (("bearer", "abc", "chat"), Subprotocols(("chat",), True, ("abc",))),
        (("chat", "bearer", "abc", "v2"), Subprotocols(("chat", "v2"), True, ("abc",))),
        (("chat", "bearer"), Subprotocols(("chat",), True, ("",))),
        (("Bearer", "abc"), Subprotocols(("Bearer", "abc"))),
        ((JWT,), Subprotocols((), False, (JWT,))),
        (("chat", JWT, "v2"), Subprotocols(("chat", "v2"), False, (JWT,))),
        (("Bearer", JWT), Subprotocols(("Bearer",), False, (JWT,))),
        (("bearer", JWT, JWT), Subprotocols((), True, (JWT, JWT))),
        (("v1.graphql.example", "a.b.c", "eyJ.a"), Subprotocols(("v1.graphql.example", "a.b.c", "eyJ.a"))),
    ],
)
def test_a_token_among_the_subprotocols_is_found_and_does_not_go_onward(
    offered: tuple[str, ...], expected: Subprotocols
) -> None:
    assert Subprotocols.split(list(offered)) == expected


@given(st.lists(st.sampled_from(["bearer", JWT, "a", "b", "c"]), max_size=6))
def test_a_token_is_answered_to_nobody_and_shown_by_nothing(offered: list[str]) -> None:
    split = Subprotocols.split(offered)
    assert not {JWT, "bearer"} & set(split.others)
    assert split.for_refusal in {"bearer"} if split.bearer else {None, *split.others}
    assert JWT not in repr(split)
    assert {word for word in offered if word in {"a", "b", "c"}} <= {*split.others, *split.tokens}


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
