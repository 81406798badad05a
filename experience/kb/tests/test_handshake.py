"""Which handshakes are accepted."""

from __future__ import annotations

import pytest

from experience.kb.handshake import Visit, admit
from proxy.core.errors import AuthenticationFailed, BadRequest, GatewayError, NotFound
from proxy.core.principal import Principal


def verify(raw: str) -> Principal:
    if raw != "good":
        raise AuthenticationFailed("signature")
    return Principal(user_id="42")


def visit(query: str, authorization: str = "") -> Visit:
    return admit(query, authorization, verify=verify, connection_id="c1")


def test_a_valid_token_and_a_known_experience_are_let_in() -> None:
    came = visit("token=good&experience=wylding-woods")
    assert (came.user_id, came.world.name, came.connection_id) == ("42", "wylding-woods", "c1")


def test_the_token_may_come_as_a_header() -> None:
    assert visit("experience=wylding-woods", "Bearer good").user_id == "42"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("experience=wylding-woods", AuthenticationFailed),
        ("token=bad&experience=wylding-woods", AuthenticationFailed),
        ("token=bad&experience=moon", AuthenticationFailed),
        ("token=good", BadRequest),
        ("token=good&experience=", BadRequest),
        ("token=good&experience=moon", NotFound),
        ("" + "&".join(f"a{n}=1" for n in range(40)), BadRequest),
    ],
)
def test_others_are_refused_and_strangers_do_not_learn_which_worlds_there_are(
    query: str, error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        visit(query)
