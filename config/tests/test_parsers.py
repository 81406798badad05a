"""What the gateway's own settings take, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import parsers
from proxy.env import Env, SettingError

PARSERS: list[tuple[Callable[[str], Any], dict[str, str], tuple[str, ...]]] = [
    (
        parsers.host,
        {"::1": "::1", "[::]": "::", "0.0.0.0": "0.0.0.0", "my-host_1": "my-host_1"},
        ("http://x", "a b", "x:1", "*", ".x", "a/b"),
    ),
    (parsers.host_pattern, {"*": "*", ".a.com": ".a.com", "[::1]": "[::1]"}, ("http://a", "a:1")),
    (parsers.site, {"https://*.a.com": "https://*.a.com"}, ("*", "a.com", "https://a.com/")),
    (parsers.peer, {"10.0.0.1/8": "10.0.0.0/8", "::1": "::1/128", "unix": "None"}, ("10.0.0.0/33", "proxy")),
    (
        parsers.dotted_path,
        {"orders.routes.ROUTES": "orders.routes.ROUTES"},
        ("ROUTES", "orders/routes", "1.a"),
    ),
    (parsers.package, {"proxy.core": "proxy.core"}, ("proxy.env", "no_such.app", ".", "a b")),
    (parsers.users_claim, {"sub": "sub", "email": "email"}, ("iat", "token_type")),
]


@pytest.mark.parametrize(("parse", "good", "wrong"), PARSERS, ids=range(len(PARSERS)))
def test_each_parser_takes_the_right_and_refuses_the_wrong(
    parse: Callable[[str], Any], good: dict[str, str], wrong: tuple[str, ...]
) -> None:
    assert {raw: str(parse(raw)) for raw in good} == good
    for raw in wrong:
        with pytest.raises(ValueError):  # noqa: PT011  that is all that a parser says
            parse(raw)


@given(st.text(st.characters(exclude_characters="\x00"), min_size=1), st.sampled_from(PARSERS))
def test_any_text_is_a_value_or_a_complaint(text: str, parser: tuple[Callable[[str], Any], Any, Any]) -> None:
    with suppress(ValueError):
        parser[0](text.strip() or "x")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hun#ter2@host:5432/name",
        "postgres://user:hun/ter2@host:5432/name",
        "postgres://user:12/ter2@host:5432/name",
        "postgres://user:12#ter2@host/name",
        "postgres://user:hun?ter2@host/name",
        "redis://:hun#ter2@host:6379/0",
        "redis://:hun/ter2@host:6379/0",
        "redis://:2/ter2@host",
    ],
)
def test_a_password_that_must_be_quoted_is_told_how(url: str) -> None:
    with pytest.raises(SettingError) as stopped:
        parsers.read_url(Env({"URL": url}), "URL", ("postgres", "redis"), host=False)
    assert stopped.value.code == (
        "URL: must be a URL that begins with postgres:// or redis://,"
        " with / as %2F, ? as %3F, # as %23, @ as %40 in a password"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hun%23ter2@host:5432/name",
        "postgres://user:p@ss@host/name",
        "postgres://host:5432/name?options=-csearch_path%3Da@b",
        "redis://host:6379/0",
        "postgres:///name",
    ],
)
def test_other_urls_are_taken(url: str) -> None:
    assert parsers.read_url(Env({"URL": url}), "URL", ("postgres", "redis"), host=False) == url
