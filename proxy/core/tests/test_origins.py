import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.origins import Origin, OriginPattern, is_origin_allowed, parse_origin


def allowed(header: str | None, *patterns: str, host: str = "gateway.example.com") -> bool:
    return is_origin_allowed(header, host=host, allowed=[OriginPattern.parse(text) for text in patterns])


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.com", Origin("https", "example.com", 443)),
        ("HTTPS://Example.COM:443", Origin("https", "example.com", 443)),
        ("http://localhost:3000", Origin("http", "localhost", 3000)),
        ("http://[::1]:3000", Origin("http", "[::1]", 3000)),
        ("capacitor://localhost", Origin("capacitor", "localhost", None)),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(text: str, origin: Origin) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "example.com", "https://", "https://example.com/", "https://a@example.com",
        "https://exa mple.com", "https://example.com:port", "https://*.example.com", "https://example.com\n",
        "https://.example.com",
    ],
)  # fmt: skip
def test_anything_else_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    ("header", "patterns", "answer"),
    [
        (None, ("https://example.com",), True),
        ("https://example.com", ("https://example.com",), True),
        ("https://EXAMPLE.com:443", ("https://example.com",), True),
        ("http://example.com", ("https://example.com",), False),
        ("https://example.com:8443", ("https://example.com",), False),
        ("https://example.com.evil.net", ("https://example.com",), False),
        ("https://evilexample.com", ("https://*.example.com",), False),
        ("https://play.example.com", ("https://*.example.com",), True),
        ("https://a.b.example.com", ("https://*.example.com",), True),
        ("https://example.com", ("https://*.example.com",), False),
        ("https://play.example.com:444", ("https://*.example.com:444",), True),
        ("https://two.example", ("https://one.example", "https://two.example"), True),
        ("null", ("https://one.example",), False),
        ("null", ("null",), True),
        ("https://one.example", ("null",), False),
        ("null", ("*",), True),
        ("https://any.example", ("*",), True),
        ("not an origin", ("*",), True),
        ("not an origin", ("null",), False),
        ("", ("https://one.example",), False),
    ],
)
def test_a_listed_origin_may_connect_and_no_other(
    header: str | None, patterns: tuple[str, ...], answer: bool
) -> None:
    assert allowed(header, *patterns) is answer


@pytest.mark.parametrize(
    ("header", "host", "answer"),
    [
        (None, "gateway.example.com", True),
        ("https://gateway.example.com", "gateway.example.com", True),
        ("https://gateway.example.com", "Gateway.Example.com:8666", True),
        ("http://localhost:3000", "localhost:8666", True),
        ("http://[::1]:3000", "[::1]:8666", True),
        ("https://evil.example", "gateway.example.com", False),
        ("null", "gateway.example.com", False),
        ("not an origin", "gateway.example.com", False),
        ("https://gateway.example.com", "", False),
        ("https://gateway.example.com", "[", False),
    ],
)
@pytest.mark.parametrize("patterns", [(), ("https://one.example",), ("null",)])
def test_a_page_of_the_same_host_may_connect_whatever_else_is_listed(
    header: str | None, host: str, answer: bool, patterns: tuple[str, ...]
) -> None:
    assert allowed(header, *patterns, host=host) is (answer or header in patterns)


@pytest.mark.parametrize(
    "text", ["", "example.com", "https://example.com/", "https://*", "*.example.com", "https://*.*.com"]
)
def test_a_wrong_entry_says_what_an_entry_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"an origin is like https://example\.com"):
        OriginPattern.parse(text)


@given(header=st.text(max_size=50), host=st.text(max_size=50))
def test_any_header_is_answered(header: str, host: str) -> None:
    assert allowed(header, "https://example.com", host=host) in {True, False}
    assert allowed(header, host=host) in {True, False}


@given(st.text(alphabet="abc.-:/@", max_size=30))
def test_a_wildcard_takes_only_what_ends_in_its_domain(prefix: str) -> None:
    if allowed(f"https://{prefix}example.com", "https://*.example.com"):
        assert prefix.endswith(".")
